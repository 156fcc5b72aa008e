/* optimistic.c - the state in Redis that a click is answered from.
 *
 * It is what Postgres had when it was loaded plus what is on its way. All of it can be lost at any
 * time: the next click loads it again. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/hash.h"
#include "vote/scripts.h"
#include "vote/states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOAD_TRIES = 5, NUMBER_SIZE = 24, TOUCH_AGAIN_US = 1000 * 1000 };

static const char *const value_names[] = {"-1", "0", "1"};

/* Notes, before the step is taken, that the project will have a vote on its way: should we die
 * before Kafka has it, whoever sweeps finds the ghost there. */
static void touch_add(struct redis_batch *batch, const char *project_id)
{
    char now_ms[NUMBER_SIZE];
    snprintf(now_ms, NUMBER_SIZE, "%" PRId64, clock_wall_ms());
    redis_add(batch, KEY_TOUCHED, "ZADD " KEY_TOUCHED " %s %s", now_ms, project_id);
}

/* Once a second a project is enough. */
static bool is_touched(struct ingest *ingest, const char *project_id)
{
    uint64_t hash = hash_text(project_id);
    uint64_t mark = hash + (uint64_t)(clock_mono_us() / TOUCH_AGAIN_US); /* project and second */
    return atomic_exchange(&ingest->touched[hash % TOUCH_SLOTS], mark) == mark;
}

static void step_add(struct ingest *ingest, struct click *click)
{
    const struct request *request = &click->request;
    struct project_keys keys;
    project_keys_make(&keys, request->project_id);
    const char *arguments[] = {keys.state,
                               keys.voters,
                               keys.pending,
                               request->user_id,
                               value_names[click->body.vote_type + 1],
                               click->body.toggle ? "1" : "0",
                               request->request_id};
    if (!is_touched(ingest, request->project_id))
        touch_add(&click->redis, request->project_id);
    redis_add_script(&click->redis, &script_vote, 3, 7, arguments);
}

static void step_read(struct click *click, const redisReply *reply)
{
    struct request *request = &click->request;
    request->seq = redis_reply_int(reply->element[1]);
    request->previous = vote_type_from(redis_reply_int(reply->element[2]));
    request->vote_type = vote_type_from(redis_reply_int(reply->element[3]));
    request->action = vote_action_between(request->previous, request->vote_type);
    click->upvotes = redis_reply_int(reply->element[4]);
    click->downvotes = redis_reply_int(reply->element[5]);
    click->in_redis = true;
}

static enum optimistic optimistic_load(struct ingest *ingest, struct click *click,
                                       struct error *error)
{
    struct span span;
    span_begin(ingest->tracer, &span, "postgres load", SPAN_CLIENT, &click->post.context,
               clock_mono_us());
    enum optimistic loaded = load_project(ingest, click, error);
    span_text(&span, "db.system.name", "postgresql");
    if (loaded == OPTIMISTIC_UNAVAILABLE)
        span_fail(&span);
    span_end(ingest->tracer, &span, clock_mono_us());
    return loaded;
}

/* In a worker: Redis is away, or cannot be made to have the project. */
static void step_without_redis(struct http_request *http)
{
    struct click *click = http->state;
    metric_add(click->ingest->metrics.without_redis, 1);
    switch (load_step(click->ingest, click, &click->error)) {
    case OPTIMISTIC_OK: publish_click(click); break;
    case OPTIMISTIC_UNKNOWN_PROJECT: click_decided(click, NO_PROJECT); break;
    case OPTIMISTIC_UNAVAILABLE: click_decided(click, NOT_KEPT); break;
    }
}

/* In a worker: Redis does not have the project. */
static void load_and_step(struct http_request *http)
{
    struct click *click = http->state;
    enum optimistic loaded = click->loads++ < LOAD_TRIES
                                 ? optimistic_load(click->ingest, click, &click->error)
                                 : OPTIMISTIC_UNAVAILABLE;
    if (loaded == OPTIMISTIC_UNKNOWN_PROJECT) {
        click_decided(click, NO_PROJECT);
    } else if (loaded == OPTIMISTIC_UNAVAILABLE) {
        step_without_redis(http);
    } else {
        click->redis_until_us = clock_mono_us() + click->ingest->config->redis.timeout_us;
        optimistic_vote(click);
    }
}

static void step_on_reply(struct redis_batch *batch)
{
    struct click *click = batch->owner;
    const redisReply *reply = redis_reply(batch, batch->count - 1);
    bool answered = redis_outcome(batch, &click->error), taken = reply && reply->elements >= 6;
    if (taken)
        step_read(click, reply);
    span_text(&click->asked, "db.system.name", "redis");
    if (!answered)
        span_fail(&click->asked);
    span_end(click->ingest->tracer, &click->asked, clock_mono_us());
    redis_batch_clear(batch);
    if (taken)
        publish_click(click);
    else
        http_work(click->http, answered ? load_and_step : step_without_redis);
}

void optimistic_vote(struct click *click)
{
    span_begin(click->ingest->tracer, &click->asked, "redis step", SPAN_CLIENT,
               &click->post.context, clock_mono_us());
    step_add(click->ingest, click);
    click_ask(click, click->redis_until_us, step_on_reply);
}

/* The user's own view, ahead of the commit: value, accepted_at_ms and seq by project. */
static void recent_add(struct redis_batch *batch, const struct request *request)
{
    char recent[KEY_SIZE], upvotes[KEY_SIZE], step[3 * NUMBER_SIZE];
    key_of_recent(recent, request->user_id);
    key_of_upvotes(upvotes, request->user_id);
    snprintf(step, sizeof step, "%d,%" PRId64 ",%" PRId64, (int)request->vote_type,
             request->accepted_at_ms, request->seq);
    redis_add_words(batch, recent, 4, (const char *[]){"HSET", recent, request->project_id, step});
    redis_add_words(batch, recent, 3, (const char *[]){"EXPIRE", recent, REQUEST_KEPT_S_TEXT});
    redis_add_words(batch, upvotes, 3,
                    (const char *[]){request->vote_type == VOTE_UP ? "SADD" : "SREM", upvotes,
                                     request->project_id});
}

/* A step that Redis does not know is noted there as one that went with its state: whoever sweeps
 * finds by it what else the click has left. Entries are vote.lua's. */
static void note_add(struct redis_batch *batch, const struct request *request)
{
    struct project_keys keys;
    project_keys_make(&keys, request->project_id);
    touch_add(batch, request->project_id);
    redis_add(batch, keys.pending, "HSET %s d:%s 0,0,%" PRId64 ",%" PRId64 ",%d,%d,%s",
              keys.pending, request->request_id, request->accepted_at_ms, request->seq,
              (int)request->previous, (int)request->vote_type, request->user_id);
}

/* HSETNX: the commit may have been faster and have written the final state. */
static void status_add(struct redis_batch *batch, const struct request *request)
{
    char accepted_at[CLOCK_TEXT_SIZE], key[KEY_SIZE], seq[NUMBER_SIZE];
    clock_format_ms(request->accepted_at_ms, accepted_at);
    snprintf(seq, sizeof seq, "%" PRId64, request->seq);
    key_of_request(key, request->request_id);
    const char *words[] = {"HSET",        key,
                           "user_id",     request->user_id,
                           "project_id",  request->project_id,
                           "vote_type",   vote_type_name(request->vote_type),
                           "previous",    vote_type_name(request->previous),
                           "action",      vote_action_name(request->action),
                           "seq",         seq,
                           "accepted_at", accepted_at};
    redis_add_words(batch, key, 4, (const char *[]){"HSETNX", key, "state", "pending"});
    redis_add_words(batch, key, sizeof words / sizeof *words, words);
    redis_add_words(batch, key, 3, (const char *[]){"EXPIRE", key, REQUEST_KEPT_S_TEXT});
}

static void events_add(struct redis_batch *batch, const struct request *request)
{
    const char *words[] = {"XADD",       KEY_EVENTS,
                           "MAXLEN",     "~",
                           "10000",      "*",
                           "request_id", request->request_id,
                           "user_id",    request->user_id,
                           "project_id", request->project_id,
                           "vote_type",  vote_type_name(request->vote_type),
                           "action",     vote_action_name(request->action)};
    redis_add_words(batch, KEY_EVENTS, sizeof words / sizeof *words, words);
}

void optimistic_record(struct ingest *ingest, struct click *click,
                       void (*then)(struct redis_batch *batch))
{
    click->record.then = then;
    click->record.owner = click;
    if (!click->in_redis)
        note_add(&click->record, &click->request);
    status_add(&click->record, &click->request);
    events_add(&click->record, &click->request);
    recent_add(&click->record, &click->request);
    redis_submit(ingest->redis, &click->record);
}

void optimistic_recorded(struct ingest *ingest, struct click *click)
{
    struct error error;
    bool recorded = click->record.then ? redis_outcome(&click->record, &error)
                                       : redis_wait(&click->record, &error);
    if (!recorded && click->in_redis)
        log_error(ingest->log, LOG_WARN, "status not recorded", &error);
    redis_batch_clear(&click->record);
}

void optimistic_undo(struct ingest *ingest, struct click *click)
{
    const struct request *request = &click->request;
    struct redis_batch *batch = &click->redis;
    char request_key[KEY_SIZE], recent[KEY_SIZE], upvotes[KEY_SIZE];
    struct error error;
    key_of_request(request_key, request->request_id);
    key_of_recent(recent, request->user_id);
    key_of_upvotes(upvotes, request->user_id);
    redis_add(batch, request_key, "DEL %s", request_key);
    redis_add(batch, recent, "HDEL %s %s", recent, request->project_id);
    redis_add(batch, upvotes, "%s %s %s", request->previous == VOTE_UP ? "SADD" : "SREM", upvotes,
              request->project_id);
    /* Last: as long as the step is there, the sweep finds what is left of the click. */
    state_add_undo(batch, request->project_id, request->request_id);
    if (!redis_run(ingest->redis, batch, &error) && click->in_redis)
        log_error(ingest->log, LOG_WARN, "optimistic change not taken back", &error);
    redis_batch_clear(batch);
}
