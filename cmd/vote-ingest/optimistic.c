/* optimistic.c - the state in Redis that a click is answered from.
 *
 * It is what Postgres had when it was loaded plus what is on its way. All of it can be lost at any
 * time: the next click loads it again. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZE = 32 + VOTE_ID_SIZE, LOAD_TRIES = 5, LOAD_RETRY_US = 10 * 1000 };

struct project_keys {
    char state[KEY_SIZE], voters[KEY_SIZE], pending[KEY_SIZE], settled[KEY_SIZE];
};

/* The braces make Redis Cluster keep a project's keys on one node, where a script can reach all. */
static void keys_make(struct project_keys *keys, const char *project_id)
{
    snprintf(keys->state, KEY_SIZE, "vote:state:{%s}", project_id);
    snprintf(keys->voters, KEY_SIZE, "vote:voters:{%s}", project_id);
    snprintf(keys->pending, KEY_SIZE, "vote:pending:{%s}", project_id);
    snprintf(keys->settled, KEY_SIZE, "vote:settled:{%s}", project_id);
}

static const char *const value_names[] = {"-1", "0", "1"};

static int64_t reply_int(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER ? reply->integer : reply->str ? atoll(reply->str) : 0;
}

/* Runs vote.lua; *missing says that the project is not in Redis. */
static bool optimistic_step(struct ingest_redis *redis, struct request *request, bool toggle,
                            struct shown *shown, bool *missing, struct error *error)
{
    struct project_keys keys;
    keys_make(&keys, request->project_id);
    const char *arguments[] = {keys.state,
                               keys.voters,
                               keys.pending,
                               request->user_id,
                               value_names[request->vote_type + 1],
                               toggle ? "1" : "0",
                               request->request_id};
    redisReply *reply = redis_run(&redis->client, &redis->vote, 3, 7, arguments, error);
    if (!reply)
        return false;
    *missing = reply->elements < 6;
    if (!*missing) {
        request->seq = reply_int(reply->element[1]);
        request->previous = (enum vote_type)reply_int(reply->element[2]);
        request->vote_type = (enum vote_type)reply_int(reply->element[3]);
        shown->upvotes = reply_int(reply->element[4]);
        shown->downvotes = reply_int(reply->element[5]);
        request->action = vote_action_between(request->previous, request->vote_type);
    }
    freeReplyObject(reply);
    return true;
}

/* Counts, voters and the newest seq in one statement, so in one snapshot: no rows when there is no
 * such project; one row with a NULL user when nobody has voted. */
static const char load_sql[] =
    "select p.upvotes, p.downvotes, p.version, v.user_id, v.value, "
    "       coalesce(max(v.seq) over (), 0) "
    "  from vote.projects p left join vote.votes v using (project_id) where p.project_id = $1";

static bool load_into_redis(struct ingest_redis *redis, const char *project_id, PGresult *rows,
                            bool *loaded, struct error *error)
{
    struct project_keys keys;
    size_t count = 8;
    keys_make(&keys, project_id);
    const char **arguments = malloc((8 + 2 * (size_t)PQntuples(rows)) * sizeof *arguments);
    if (!arguments)
        abort();
    const char *head[] = {keys.state,
                          keys.voters,
                          keys.pending,
                          keys.settled,
                          PQgetvalue(rows, 0, 0),
                          PQgetvalue(rows, 0, 1),
                          PQgetvalue(rows, 0, 2),
                          PQgetvalue(rows, 0, 5)};
    memcpy(arguments, head, sizeof head);
    for (int row = 0; row < PQntuples(rows); row++) {
        if (PQgetisnull(rows, row, 3))
            continue;
        arguments[count++] = PQgetvalue(rows, row, 3);
        arguments[count++] = PQgetvalue(rows, row, 4);
    }
    redisReply *reply = redis_run(&redis->client, &redis->load, 4, (int)count, arguments, error);
    free(arguments);
    *loaded = reply && reply->integer == 1;
    freeReplyObject(reply);
    return reply != NULL;
}

static PGresult *load_read(struct ingest *ingest, struct pg *pg, const char *project_id,
                           struct error *error)
{
    const char *parameters[] = {project_id};
    if (ingest->config->unknown_project == UNKNOWN_CREATE) {
        PGresult *made = pg_query(
            pg, "insert into vote.projects (project_id) values ($1) on conflict do nothing", 1,
            parameters, error);
        if (!made)
            return NULL;
        PQclear(made);
    }
    return pg_query(pg, load_sql, 1, parameters, error);
}

/* Reads Postgres and fills Redis, again while a commit slips in between. */
static enum optimistic load_try(struct ingest *ingest, struct ingest_redis *redis, struct pg *pg,
                                const char *project_id, struct error *error)
{
    bool loaded = false;
    for (int i = 0; i < LOAD_TRIES && !loaded; i++) {
        if (i > 0)
            clock_sleep_us(LOAD_RETRY_US);
        PGresult *rows = load_read(ingest, pg, project_id, error);
        if (!rows)
            return OPTIMISTIC_UNAVAILABLE;
        bool known = PQntuples(rows) > 0;
        bool answered = known && load_into_redis(redis, project_id, rows, &loaded, error);
        PQclear(rows);
        if (!known)
            return OPTIMISTIC_UNKNOWN_PROJECT;
        if (!answered)
            return OPTIMISTIC_UNAVAILABLE;
    }
    if (!loaded)
        error_set(error, ERROR_RETRY, "project state changes faster than it can be loaded");
    return loaded ? OPTIMISTIC_OK : OPTIMISTIC_UNAVAILABLE;
}

static pthread_mutex_t *load_lock(struct ingest *ingest, const char *project_id)
{
    size_t hash = 5381;
    for (; *project_id; project_id++)
        hash = hash * 33 + (unsigned char)*project_id;
    return &ingest->load_locks[hash % LOAD_LOCKS];
}

static enum optimistic optimistic_load(struct ingest *ingest, struct ingest_redis *redis,
                                       const char *project_id, struct error *error)
{
    pthread_mutex_t *lock = load_lock(ingest, project_id);
    pthread_mutex_lock(lock);
    struct pg *pg = pool_take(&ingest->pg_pool);
    enum optimistic outcome = load_try(ingest, redis, pg, project_id, error);
    pool_give(&ingest->pg_pool, pg);
    pthread_mutex_unlock(lock);
    return outcome;
}

enum optimistic optimistic_vote(struct ingest *ingest, struct request *request, bool toggle,
                                struct shown *shown, struct error *error)
{
    struct ingest_redis *redis = pool_take(&ingest->redis_pool);
    enum optimistic outcome = OPTIMISTIC_OK;
    bool missing = true;
    for (int i = 0; i < LOAD_TRIES && missing && outcome == OPTIMISTIC_OK; i++) {
        if (!optimistic_step(redis, request, toggle, shown, &missing, error))
            outcome = OPTIMISTIC_UNAVAILABLE;
        else if (missing)
            outcome = optimistic_load(ingest, redis, request->project_id, error);
    }
    atomic_store(&ingest->redis_check->ready, redis->client.context != NULL);
    pool_give(&ingest->redis_pool, redis);
    if (outcome == OPTIMISTIC_OK && missing) {
        error_set(error, ERROR_RETRY, "redis drops the project's state as fast as it is loaded");
        return OPTIMISTIC_UNAVAILABLE;
    }
    return outcome;
}

void optimistic_record(struct ingest *ingest, const struct request *request)
{
    struct ingest_redis *redis = pool_take(&ingest->redis_pool);
    struct error error;
    char accepted_at[CLOCK_TEXT_SIZE];
    const char *id = request->request_id, *type = vote_type_name(request->vote_type);
    clock_format_ms(request->accepted_at_ms, accepted_at);
    if (redis_connect(&redis->client, &error)) {
        /* HSETNX: the commit may have been faster and have written the final state. */
        redis_queue(&redis->client, "HSETNX vote:request:%s state pending", id);
        redis_queue(
            &redis->client,
            "HSET vote:request:%s user_id %s project_id %s vote_type %s action %s accepted_at %s",
            id, request->user_id, request->project_id, type, vote_action_name(request->action),
            accepted_at);
        redis_queue(&redis->client, "EXPIRE vote:request:%s 86400", id);
        redis_queue(&redis->client,
                    "XADD vote:events MAXLEN ~ 10000 * request_id %s user_id %s project_id %s "
                    "vote_type %s action %s",
                    id, request->user_id, request->project_id, type,
                    vote_action_name(request->action));
        redis_queue(&redis->client, "%s user:%s:upvotes %s",
                    request->vote_type == VOTE_UP ? "SADD" : "SREM", request->user_id,
                    request->project_id);
        if (!redis_collect(&redis->client, 5, &error))
            log_error(ingest->log, LOG_WARN, "status not recorded", &error);
    }
    pool_give(&ingest->redis_pool, redis);
}

void optimistic_undo(struct ingest *ingest, const struct request *request)
{
    struct ingest_redis *redis = pool_take(&ingest->redis_pool);
    struct project_keys keys;
    struct error error;
    keys_make(&keys, request->project_id);
    const char *arguments[] = {keys.state,          keys.voters,
                               keys.pending,        request->user_id,
                               request->request_id, value_names[request->previous + 1]};
    redisReply *reply = redis_run(&redis->client, &redis->undo, 3, 6, arguments, &error);
    if (!reply)
        log_error(ingest->log, LOG_WARN, "optimistic change not taken back", &error);
    freeReplyObject(reply);
    if (redis_connect(&redis->client, &error)) {
        redis_queue(&redis->client, "DEL vote:request:%s", request->request_id);
        redis_queue(&redis->client, "%s user:%s:upvotes %s",
                    request->previous == VOTE_UP ? "SADD" : "SREM", request->user_id,
                    request->project_id);
        if (!redis_collect(&redis->client, 2, &error))
            log_error(ingest->log, LOG_WARN, "status not taken back", &error);
    }
    pool_give(&ingest->redis_pool, redis);
}
