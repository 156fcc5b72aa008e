/* guard.c - may this user's vote go on? The rate limit and the idempotency record, in one script on
 * the user's own keys. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "vote/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_SIZE = 24,
    IDEM_KEY_SIZE = 16 + VOTE_ID_SIZE + IDEMPOTENCY_KEY_MAX,
    LEASE_SPARE_MS = 1000
};
#define KEPT_MS "86400000"

static void idem_key_make(char key[IDEM_KEY_SIZE], const struct click *click)
{
    snprintf(key, IDEM_KEY_SIZE, "vote:idem:{%s}:%s", click->request.user_id,
             click->idempotency_key);
}

/* What makes two bodies the same: their meaning, not their spaces. */
static void body_describe(const struct vote_body *body, struct buf *text)
{
    buf_format(text, "%s %s %s %s", body->project_id, vote_type_name(body->vote_type),
               body->toggle ? "toggle" : "set", body->variant);
}

/* How long an attempt may take at most; behind it, it has died. */
static int64_t lease_ms(const struct ingest_config *config)
{
    return (config->kafka_timeout_us + 2 * config->database_timeout_us +
            4 * config->redis.timeout_us) /
               1000 +
           LEASE_SPARE_MS;
}

static void guard_add(const struct ingest *ingest, struct click *click, const struct buf *body)
{
    const struct ingest_config *config = ingest->config;
    const struct option_quota *limit = &config->rate_limit;
    char rate_key[KEY_SIZE], idem_key[IDEM_KEY_SIZE], interval[NUMBER_SIZE], burst[NUMBER_SIZE],
        accepted_at[NUMBER_SIZE], lease[NUMBER_SIZE];
    key_of_rate(rate_key, click->request.user_id);
    snprintf(interval, NUMBER_SIZE, "%" PRId64, limit->count ? limit->window_us / limit->count : 0);
    snprintf(burst, NUMBER_SIZE, "%" PRId64, config->rate_burst);
    snprintf(accepted_at, NUMBER_SIZE, "%" PRId64, click->request.accepted_at_ms);
    snprintf(lease, NUMBER_SIZE, "%" PRId64, lease_ms(config));
    if (!click->idempotency_key) {
        const char *arguments[] = {rate_key, interval, burst};
        redis_add_script(&click->redis, &script_guard, 1, 3, arguments);
        return;
    }
    idem_key_make(idem_key, click);
    const char *arguments[] = {rate_key,    idem_key,   interval,
                               burst,       body->data, click->request.request_id,
                               accepted_at, lease,      KEPT_MS};
    redis_add_script(&click->redis, &script_guard, 2, 9, arguments);
}

static const char *element_text(const redisReply *reply, size_t at)
{
    return at < reply->elements && reply->element[at]->str ? reply->element[at]->str : "";
}

static int64_t element_int(const redisReply *reply, size_t at)
{
    return at < reply->elements ? redis_reply_int(reply->element[at]) : 0;
}

static enum guard guard_go(struct click *click, const redisReply *reply)
{
    click->quota.remaining = element_int(reply, 1);
    click->quota.reset_us = element_int(reply, 2);
    if (!click->idempotency_key)
        return GUARD_GO;
    const char *request_id = element_text(reply, 3);
    if (request_id_is_valid(request_id, strlen(request_id)))
        memcpy(click->request.request_id, request_id, REQUEST_ID_SIZE);
    click->request.accepted_at_ms = element_int(reply, 4);
    click->again = element_int(reply, 5) == 1;
    return GUARD_GO;
}

static enum guard guard_read(struct click *click, const redisReply *reply)
{
    struct quota *quota = &click->quota;
    const char *verdict = element_text(reply, 0);
    if (!strcmp(verdict, "limited")) {
        *quota = (struct quota){
            .known = true, .reset_us = element_int(reply, 2), .wait_us = element_int(reply, 3)};
        return GUARD_LIMITED;
    }
    if (!strcmp(verdict, "replay")) {
        const char *request_id = element_text(reply, 2);
        quota->known = false; /* nothing is asked of it */
        buf_text(&click->answer, element_text(reply, 1));
        if (request_id_is_valid(request_id, strlen(request_id)))
            memcpy(click->request.request_id, request_id, REQUEST_ID_SIZE);
        return GUARD_REPLAY;
    }
    if (!strcmp(verdict, "busy")) {
        quota->wait_us = element_int(reply, 1) * 1000;
        return GUARD_BUSY;
    }
    return !strcmp(verdict, "differs") ? GUARD_DIFFERS : guard_go(click, reply);
}

/* A vote that is set may be set twice. */
static enum guard guard_without_redis(const struct click *click)
{
    bool toggles = click->body.toggle && click->body.vote_type != VOTE_NONE;
    return click->idempotency_key && toggles ? GUARD_UNKNOWN : GUARD_GO;
}

static void guard_on_reply(struct redis_batch *batch)
{
    struct click *click = batch->owner;
    struct ingest *ingest = click->ingest;
    struct error error;
    enum guard verdict;
    if (redis_outcome(batch, &error)) {
        click->quota.known = ingest->config->rate_limit.count > 0;
        verdict = guard_read(click, redis_reply(batch, 0));
    } else {
        span_fail(&click->asked);
        verdict = guard_without_redis(click);
    }
    span_text(&click->asked, "db.system.name", "redis");
    span_end(ingest->tracer, &click->asked, clock_mono_us());
    redis_batch_clear(batch);
    click_guarded(click, verdict);
}

void guard_check(struct click *click)
{
    struct ingest *ingest = click->ingest;
    struct buf body = {0};
    if (!ingest->config->rate_limit.count && !click->idempotency_key) {
        click_guarded(click, GUARD_GO);
        return;
    }
    span_begin(ingest->tracer, &click->asked, "redis guard", SPAN_CLIENT, &click->post.context,
               clock_mono_us());
    body_describe(&click->body, &body);
    guard_add(ingest, click, &body);
    buf_free(&body);
    click_ask(click, click->redis_until_us, guard_on_reply);
}

static void guard_on_answered(struct redis_batch *batch)
{
    struct click *click = batch->owner;
    struct error error;
    if (!redis_outcome(batch, &error))
        log_error(click->ingest->log, LOG_WARN, "answer not kept for replays", &error);
    redis_batch_clear(batch);
    click_finish(click);
}

void guard_answer(struct click *click)
{
    char idem_key[IDEM_KEY_SIZE];
    if (!click->idempotency_key) {
        click_finish(click);
        return;
    }
    idem_key_make(idem_key, click);
    const char *arguments[] = {idem_key, click->request.request_id,
                               click->answer.data ? click->answer.data : ""};
    redis_add_script(&click->redis, &script_answered, 1, 3, arguments);
    click_ask(click, 0, guard_on_answered);
}
