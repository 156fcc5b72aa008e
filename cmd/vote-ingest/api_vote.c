/* api_vote.c - POST /api/votes. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The Idempotency-Key: absent (NULL), or 1 to 255 printable ASCII characters. */
static const char *key_read(struct http_request *request, struct buf *problems)
{
    const char *key = http_header(request, "Idempotency-Key");
    size_t size = key ? strlen(key) : 1;
    bool valid = size >= 1 && size <= IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; key && i < size; i++)
        valid = valid && key[i] >= ' ' && key[i] <= '~';
    if (!valid)
        problem_add(problems, "Idempotency-Key", "is not 1 to 255 printable characters");
    return key;
}

/* Reads and checks body and key; answers and returns false when they are no vote. */
static bool vote_read(struct http_request *request, struct vote_body *body, const char **key)
{
    const char *json;
    size_t size;
    struct buf problems = {0};
    if (!body_receive(request, &json, &size))
        return false;
    bool parsed = vote_body_parse(body, json, size, &problems);
    *key = key_read(request, &problems);
    bool valid = parsed && problems.size == 0;
    if (!valid)
        problem_reply(request, 400, "malformed", "the vote is malformed: see errors", problems.data,
                      NULL);
    buf_free(&problems);
    return valid;
}

static int64_t seconds_up(int64_t us)
{
    return (us + 999999) / 1000000;
}

/* RateLimit and RateLimit-Policy (IETF draft-ietf-httpapi-ratelimit-headers). */
static void quota_put(const struct ingest *ingest, const struct quota *quota, struct buf *headers)
{
    const struct option_quota *limit = &ingest->config->rate_limit;
    if (!quota->known)
        return;
    buf_format(headers,
               "RateLimit-Policy: \"user\";q=%lld;w=%lld\r\nRateLimit: \"user\";r=%lld;t=%lld\r\n",
               (long long)limit->count, (long long)seconds_up(limit->window_us),
               (long long)quota->remaining, (long long)seconds_up(quota->reset_us));
}

static void click_reply(const struct click *click, bool replayed)
{
    struct buf headers = {0};
    buf_format(&headers, "Location: /api/votes/status/%s\r\n", click->request.request_id);
    if (replayed)
        buf_text(&headers, "Idempotent-Replayed: true\r\n");
    quota_put(click->ingest, &click->quota, &headers);
    http_reply(click->http, 202, "application/json", headers.data, click->answer.data,
               click->answer.size);
    buf_free(&headers);
}

static void reply_limited(const struct click *click)
{
    const struct quota *quota = &click->quota;
    struct buf headers = {0};
    metric_add(click->ingest->metrics.limited, 1);
    buf_format(&headers, "Retry-After: %lld\r\n", (long long)seconds_up(quota->wait_us));
    quota_put(click->ingest, quota, &headers);
    problem_reply(click->http, 429, "too-many-requests", "too many votes in a short time", NULL,
                  headers.data);
    buf_free(&headers);
}

static void reply_busy(const struct click *click)
{
    char retry_after[48];
    snprintf(retry_after, sizeof retry_after, "Retry-After: %lld\r\n",
             (long long)seconds_up(click->quota.wait_us));
    problem_reply(click->http, 409, "idempotency-key-in-flight",
                  "the first call with this Idempotency-Key is still in flight", NULL, retry_after);
}

static void reply_unsure(const struct click *click)
{
    struct error unknown;
    error_set(&unknown, ERROR_RETRY,
              "redis: no answer says whether the Idempotency-Key was used before");
    problem_unavailable(click->http, &unknown);
}

/* The caller's trace goes on, or one begins. A call that is refused as malformed has none. */
static void click_trace(struct click *click)
{
    struct trace_context caller;
    bool is_known = trace_context_parse(&caller, http_header(click->http, "traceparent"));
    span_begin(click->ingest->tracer, &click->post, "POST /api/votes", SPAN_SERVER,
               is_known ? &caller : NULL, click->start_us);
    span_text(&click->post, "http.request.method", "POST");
    span_text(&click->post, "http.route", "/api/votes");
}

static void click_end_trace(struct click *click)
{
    struct span *post = &click->post;
    span_text(post, "vote.request_id", click->request.request_id); /* a retry has its first one's */
    span_number(post, "http.response.status_code", click->http->status);
    if (click->http->status >= 500)
        span_fail(post);
    span_end(click->ingest->tracer, post, clock_mono_us());
}

static void click_end(struct click *click)
{
    struct http_request *http = click->http;
    click_end_trace(click);
    atomic_fetch_sub(&click->ingest->in_flight, 1);
    redis_batch_free(&click->redis);
    redis_batch_free(&click->record);
    buf_free(&click->answer);
    free(click);
    http_done(http);
}

void click_refuse(struct click *click, enum guard verdict)
{
    switch (verdict) {
    case GUARD_GO: break;
    case GUARD_LIMITED: reply_limited(click); break;
    case GUARD_REPLAY:
        metric_add(click->ingest->metrics.replayed, 1);
        click_reply(click, true);
        break;
    case GUARD_DIFFERS:
        problem_reply(click->http, 422, "idempotency-key-reused",
                      "the Idempotency-Key was used with another vote", NULL, NULL);
        break;
    case GUARD_UNKNOWN: reply_unsure(click); break;
    case GUARD_BUSY: reply_busy(click); break;
    }
    click_end(click);
}

static void click_count(struct click *click)
{
    struct ingest *ingest = click->ingest;
    int64_t latency_us = clock_mono_us() - click->start_us;
    metric_add(ingest->metrics.accepted[click->request.action], 1);
    histogram_record(ingest->metrics.latency_us, latency_us);
    span_exemplar(&click->post, ingest->metrics.latency_us, latency_us);
    totals_accepted(ingest->totals, latency_us);
    LOG_EVENT(ingest->log, LOG_DEBUG, "accepted", LOG_STR("request_id", click->request.request_id),
              LOG_REAL("latency_ms", (double)latency_us / 1000));
}

void click_finish(struct click *click)
{
    switch (click->acceptance) {
    case ACCEPTED:
        click_reply(click, false);
        click_count(click);
        break;
    case NO_PROJECT:
        problem_reply(click->http, 404, "unknown-project", "there is no such project", NULL, NULL);
        break;
    case NOT_KEPT: problem_unavailable(click->http, &click->error); break;
    case MAY_BE_KEPT: problem_unknown(click->http, click->request.request_id, &click->error); break;
    }
    click_end(click);
}

static struct click *click_new(struct http_request *http, const struct token *token,
                               const struct vote_body *body, const char *key)
{
    struct click *click = calloc(1, sizeof *click);
    struct request *vote = &click->request;
    if (!click)
        abort();
    click->ingest = http->context;
    click->http = http;
    http->state = click;
    click->body = *body;
    click->idempotency_key = key;
    click->redis_until_us = clock_mono_us() + click->ingest->config->redis.timeout_us;
    request_id_make(vote->request_id);
    memcpy(vote->user_id, token->user_id, sizeof vote->user_id);
    memcpy(vote->project_id, body->project_id, sizeof vote->project_id);
    memcpy(vote->variant, body->variant, sizeof vote->variant);
    vote->vote_type = body->vote_type;
    vote->accepted_at_ms = clock_wall_ms();
    return click;
}

/* More than can be carried is told so at once: a queue would only make everybody wait. */
static bool is_room_taken(struct http_request *http)
{
    struct ingest *ingest = http->context;
    struct error busy;
    if (atomic_fetch_add(&ingest->in_flight, 1) < ingest->config->max_in_flight)
        return true;
    atomic_fetch_sub(&ingest->in_flight, 1);
    error_set(&busy, ERROR_RETRY, "more than --max-in-flight votes at once");
    problem_unavailable(http, &busy);
    return false;
}

void api_post_vote(struct http_request *http)
{
    struct token token;
    struct vote_body body;
    const char *key;
    int64_t start_us = clock_mono_us();
    if (!auth_check(http, &token) || !vote_read(http, &body, &key) || !is_room_taken(http)) {
        http_done(http);
        return;
    }
    struct click *click = click_new(http, &token, &body, key);
    click->start_us = start_us;
    click_trace(click);
    guard_check(click);
}
