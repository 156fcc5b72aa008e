/* api_vote.c - POST /api/votes. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Reads and checks the body; answers and returns false when it is no vote. */
static bool body_read(struct http_request *request, struct vote_body *body)
{
    const char *json;
    size_t size;
    struct buf problems = {0};
    if (!body_receive(request, &json, &size))
        return false;
    bool parsed = vote_body_parse(body, json, size, &problems);
    if (!parsed)
        problem_reply(request, 400, "malformed", "the vote is malformed: see errors", problems.data,
                      NULL);
    buf_free(&problems);
    return parsed;
}

/* The Idempotency-Key: absent, or 1 to 255 printable ASCII characters. */
static bool key_read(struct http_request *request, const char **key)
{
    struct buf problems = {0};
    *key = http_header(request, "Idempotency-Key");
    size_t size = *key ? strlen(*key) : 1;
    bool valid = size >= 1 && size <= IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; *key && i < size; i++)
        valid = valid && (*key)[i] >= ' ' && (*key)[i] <= '~';
    if (valid)
        return true;
    problem_add(&problems, "Idempotency-Key", "is not 1 to 255 printable characters");
    problem_reply(request, 400, "malformed", "a header is malformed: see errors", problems.data,
                  NULL);
    buf_free(&problems);
    return false;
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

static void click_answer_encode(const struct click *click, struct buf *body)
{
    const struct request *vote = &click->request;
    buf_text(body, "{\"status\":\"success\",\"message\":\"Vote recorded\",\"data\":{");
    buf_member_text(body, "id", vote->project_id);
    buf_member_int(body, "upvotes", click->upvotes);
    buf_member_int(body, "downvotes", click->downvotes);
    buf_member_int(body, "voteCount", click->upvotes - click->downvotes);
    buf_member_text(body, "user_vote",
                    vote->vote_type == VOTE_NONE ? NULL : vote_type_name(vote->vote_type));
    buf_member_text(body, "request_id", vote->request_id);
    buf_member_text(body, "action", vote_action_name(vote->action));
    buf_text(body, "}}");
}

static void click_reply(struct http_request *http, const struct click *click,
                        const struct quota *quota, const struct buf *body, bool replayed)
{
    struct buf headers = {0};
    buf_format(&headers, "Location: /api/votes/status/%s\r\n", click->request.request_id);
    if (replayed)
        buf_text(&headers, "Idempotent-Replayed: true\r\n");
    quota_put(http->context, quota, &headers);
    http_reply(http, 202, "application/json", headers.data, body->data, body->size);
    buf_free(&headers);
}

static void reply_limited(struct http_request *http, const struct quota *quota)
{
    struct ingest *ingest = http->context;
    struct buf headers = {0};
    metric_add(ingest->metrics.limited, 1);
    buf_format(&headers, "Retry-After: %lld\r\n", (long long)seconds_up(quota->wait_us));
    quota_put(ingest, quota, &headers);
    problem_reply(http, 429, "too-many-requests", "too many votes in a short time", NULL,
                  headers.data);
    buf_free(&headers);
}

/* Answers what the guard does not let through; false then. */
static bool click_is_let_through(struct http_request *http, struct click *click,
                                 struct quota *quota)
{
    struct ingest *ingest = http->context;
    struct buf answer = {0};
    char retry_after[48];
    struct error unknown;
    enum guard verdict = guard_check(ingest, click, quota, &answer);
    switch (verdict) {
    case GUARD_GO: break;
    case GUARD_LIMITED: reply_limited(http, quota); break;
    case GUARD_REPLAY:
        metric_add(ingest->metrics.replayed, 1);
        click_reply(http, click, quota, &answer, true);
        break;
    case GUARD_DIFFERS:
        problem_reply(http, 422, "idempotency-key-reused",
                      "the Idempotency-Key was used with another vote", NULL, NULL);
        break;
    case GUARD_UNKNOWN:
        error_set(&unknown, ERROR_RETRY,
                  "redis: no answer says whether the Idempotency-Key was used before");
        problem_unavailable(http, &unknown);
        break;
    case GUARD_BUSY:
        snprintf(retry_after, sizeof retry_after, "Retry-After: %lld\r\n",
                 (long long)seconds_up(quota->wait_us));
        problem_reply(http, 409, "idempotency-key-in-flight",
                      "the first call with this Idempotency-Key is still in flight", NULL,
                      retry_after);
        break;
    }
    buf_free(&answer);
    return verdict == GUARD_GO;
}

enum acceptance { ACCEPTED, NO_PROJECT, NOT_KEPT, MAY_BE_KEPT };

/* Takes the step that the click is answered with. */
static enum acceptance click_step(struct ingest *ingest, struct click *click, struct error *error)
{
    enum recall recall = click->again ? click_recall(ingest, click, error) : RECALL_NOTHING;
    click->may_be_kept = recall == RECALL_FOUND; /* by the earlier attempt */
    if (recall != RECALL_NOTHING)
        return recall == RECALL_FOUND ? ACCEPTED : MAY_BE_KEPT;
    switch (optimistic_vote(ingest, click, error)) {
    case OPTIMISTIC_OK: return ACCEPTED;
    case OPTIMISTIC_UNKNOWN_PROJECT: return NO_PROJECT;
    case OPTIMISTIC_UNAVAILABLE: break;
    }
    return NOT_KEPT;
}

/* Makes the vote durable: in Kafka, or while that is away in Postgres. A crash behind the step
 * leaves a ghost in Redis that nothing stands for; vote-commit sweeps it. What may be kept is not
 * taken back either: the commit settles it, or the sweep finds it, and a retry goes on with it. */
static enum acceptance click_keep(struct ingest *ingest, struct click *click, struct error *error)
{
    if (publish_click(ingest, click, error) || sync_click(ingest, click, error))
        return ACCEPTED;
    if (click->may_be_kept)
        return MAY_BE_KEPT;
    optimistic_undo(ingest, click);
    return NOT_KEPT;
}

static void click_refuse(struct http_request *http, const struct click *click,
                         enum acceptance acceptance, const struct error *error)
{
    if (acceptance == NO_PROJECT)
        problem_reply(http, 404, "unknown-project", "there is no such project", NULL, NULL);
    else if (acceptance == MAY_BE_KEPT)
        problem_unknown(http, click->request.request_id, error);
    else
        problem_unavailable(http, error);
}

/* The key is free, or has its answer, before the client hears of it: it may come again at once. */
static bool click_accept(struct http_request *http, struct click *click, const struct quota *quota)
{
    struct ingest *ingest = http->context;
    struct buf answer = {0};
    struct error error = {0};
    enum acceptance acceptance = click_step(ingest, click, &error);
    if (acceptance == ACCEPTED)
        acceptance = click_keep(ingest, click, &error);
    if (acceptance == ACCEPTED)
        click_answer_encode(click, &answer);
    guard_answered(ingest, click, answer.data);
    if (acceptance == ACCEPTED)
        click_reply(http, click, quota, &answer, false);
    else
        click_refuse(http, click, acceptance, &error);
    buf_free(&answer);
    return acceptance == ACCEPTED;
}

void click_sleep(struct click *click)
{
    while (sem_wait(&click->woken) && errno == EINTR)
        ;
}

void click_wake(struct click *click)
{
    if (atomic_fetch_sub(&click->left, 1) == 1)
        sem_post(&click->woken);
}

/* The caller's trace goes on, or one begins. A call that is refused as malformed has none. */
static void click_trace(struct click *click, const struct http_request *http, int64_t start_us)
{
    struct trace_context caller;
    bool is_known = trace_context_parse(&caller, http_header(http, "traceparent"));
    span_begin(click->ingest->tracer, &click->post, "POST /api/votes", SPAN_SERVER,
               is_known ? &caller : NULL, start_us);
    span_text(&click->post, "http.request.method", "POST");
    span_text(&click->post, "http.route", "/api/votes");
}

static void click_end_trace(struct click *click, const struct http_request *http)
{
    struct span *post = &click->post;
    span_text(post, "vote.request_id", click->request.request_id); /* a retry has its first one's */
    span_number(post, "http.response.status_code", http->status);
    if (http->status >= 500)
        span_fail(post);
    span_end(click->ingest->tracer, post, clock_mono_us());
}

static void click_start(struct click *click, struct ingest *ingest, const struct token *token)
{
    struct request *vote = &click->request;
    click->ingest = ingest;
    sem_init(&click->woken, 0, 0);
    request_id_make(vote->request_id);
    memcpy(vote->user_id, token->user_id, sizeof vote->user_id);
    memcpy(vote->project_id, click->body.project_id, sizeof vote->project_id);
    memcpy(vote->variant, click->body.variant, sizeof vote->variant);
    vote->vote_type = click->body.vote_type;
    vote->accepted_at_ms = clock_wall_ms();
    click->redis_until_us = clock_mono_us() + ingest->config->redis.timeout_us;
}

static void click_run(struct http_request *http, struct click *click, int64_t start_us)
{
    struct ingest *ingest = http->context;
    struct quota quota;
    if (!click_is_let_through(http, click, &quota) || !click_accept(http, click, &quota))
        return;
    int64_t latency_us = clock_mono_us() - start_us;
    metric_add(ingest->metrics.accepted[click->request.action], 1);
    histogram_record(ingest->metrics.latency_us, latency_us);
    span_exemplar(&click->post, ingest->metrics.latency_us, latency_us);
    totals_accepted(ingest->totals, latency_us);
    LOG_EVENT(ingest->log, LOG_DEBUG, "accepted", LOG_STR("request_id", click->request.request_id),
              LOG_REAL("latency_ms", (double)latency_us / 1000));
}

void api_post_vote(struct http_request *http)
{
    struct ingest *ingest = http->context;
    int64_t start_us = clock_mono_us();
    struct click click = {0};
    struct token token;
    struct error busy = {0};
    if (!auth_check(http, &token) || !body_read(http, &click.body) ||
        !key_read(http, &click.idempotency_key))
        return;
    /* More than can be carried is told so at once: a queue would only make everybody wait. */
    if (atomic_fetch_add(&ingest->in_flight, 1) < ingest->config->max_in_flight) {
        click_start(&click, ingest, &token);
        click_trace(&click, http, start_us);
        click_run(http, &click, start_us);
        click_end_trace(&click, http);
        sem_destroy(&click.woken);
    } else {
        error_set(&busy, ERROR_RETRY, "more than --max-in-flight votes at once");
        problem_unavailable(http, &busy);
    }
    atomic_fetch_sub(&ingest->in_flight, 1);
    redis_batch_free(&click.redis);
    redis_batch_free(&click.record);
}
