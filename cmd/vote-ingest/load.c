/* load.c - a project's state from Postgres: into Redis when it has none, or for one click when
 * Redis is away. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/hash.h"
#include "vote/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOAD_TRIES = 5,
    LOAD_RETRY_US = 10 * 1000,
    VOTERS_A_PART = 1000,
    PARTS_AT_ONCE = 4,
    NUMBER_SIZE = 24
};

/* Each load fills a hash of its own: loads of several instances do not mix. */
struct load_keys {
    struct project_keys project;
    char loading[KEY_SIZE + REQUEST_ID_SIZE];
};

static void load_keys_make(struct load_keys *keys, const struct request *request)
{
    project_keys_make(&keys->project, request->project_id);
    snprintf(keys->loading, sizeof keys->loading, "vote:loading:{%s}:%s", request->project_id,
             request->request_id);
}

static struct timespec timespec_of(int64_t mono_us)
{
    return (struct timespec){mono_us / 1000000, mono_us % 1000000 * 1000};
}

/* Makes the project where the service is told to make unknown ones; false when that failed. */
static bool project_make(struct ingest *ingest, struct pg *pg, const char *project_id,
                         struct error *error)
{
    const char *parameters[] = {project_id};
    if (ingest->config->unknown_project != UNKNOWN_CREATE)
        return true;
    PGresult *made =
        pg_query(pg, "insert into vote.projects (project_id) values ($1) on conflict do nothing", 1,
                 parameters, error);
    PQclear(made);
    return made != NULL;
}

static int voters_count(const PGresult *rows)
{
    return PQgetisnull(rows, 0, 3) ? 0 : PQntuples(rows);
}

/* Queues up to PARTS_AT_ONCE parts of the voters from row `from` on; returns the row after them. */
static int voters_add(struct redis_batch *batch, const struct load_keys *keys, PGresult *rows,
                      int from)
{
    const char *arguments[3 + 2 * VOTERS_A_PART];
    int total = voters_count(rows);
    for (int part = 0; part < PARTS_AT_ONCE && (from < total || from == 0); part++) {
        int count = 3, until = from + VOTERS_A_PART < total ? from + VOTERS_A_PART : total;
        arguments[0] = keys->project.state;
        arguments[1] = keys->loading;
        arguments[2] = from == 0 ? "1" : "0";
        for (; from < until; from++) {
            arguments[count++] = PQgetvalue(rows, from, 3);
            arguments[count++] = PQgetvalue(rows, from, 4);
        }
        redis_add_script(batch, &script_voters, 2, count, arguments);
        if (until == total)
            break;
    }
    return from;
}

/* Each part is its own wait: a project with many voters takes longer than one answer may. */
static bool voters_send(struct ingest *ingest, struct click *click, const struct load_keys *keys,
                        PGresult *rows, struct error *error)
{
    int total = voters_count(rows), row = 0;
    bool sent = true;
    do {
        row = voters_add(&click->redis, keys, rows, row);
        sent = redis_run(ingest->redis, &click->redis, error);
        redis_batch_clear(&click->redis);
    } while (sent && row < total);
    return sent;
}

/* *loaded is false when Postgres has moved on since `rows` were read. */
static bool load_send(struct ingest *ingest, struct click *click, PGresult *rows, bool *loaded,
                      struct error *error)
{
    struct load_keys keys;
    char count[NUMBER_SIZE];
    load_keys_make(&keys, &click->request);
    if (!voters_send(ingest, click, &keys, rows, error))
        return false;
    snprintf(count, sizeof count, "%d", voters_count(rows));
    const char *arguments[] = {keys.project.state,     keys.project.pending,
                               keys.project.settled,   keys.project.voters,
                               keys.loading,           PQgetvalue(rows, 0, 0),
                               PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 2),
                               PQgetvalue(rows, 0, 5), count};
    redis_add_script(&click->redis, &script_load, 5, 10, arguments);
    bool sent = redis_run(ingest->redis, &click->redis, error);
    *loaded = redis_reply_int(redis_reply(&click->redis, 0)) == 1;
    redis_batch_clear(&click->redis);
    return sent;
}

/* Counts, voters and the newest seq in one statement, so in one snapshot: no rows when there is no
 * such project; one row with a NULL user when nobody has voted. */
static const char load_sql[] =
    "select p.upvotes, p.downvotes, p.version, v.user_id, v.value, "
    "       coalesce(max(v.seq) over (), 0) "
    "  from vote.projects p left join vote.votes v using (project_id) where p.project_id = $1";

static enum optimistic load_try(struct ingest *ingest, struct click *click, struct pg *pg,
                                bool *loaded, struct error *error)
{
    const char *parameters[] = {click->request.project_id};
    enum optimistic outcome = OPTIMISTIC_OK;
    PGresult *rows = project_make(ingest, pg, parameters[0], error)
                         ? pg_query(pg, load_sql, 1, parameters, error)
                         : NULL;
    if (!rows)
        return OPTIMISTIC_UNAVAILABLE;
    if (PQntuples(rows) == 0)
        outcome = OPTIMISTIC_UNKNOWN_PROJECT;
    else if (!load_send(ingest, click, rows, loaded, error))
        outcome = OPTIMISTIC_UNAVAILABLE;
    PQclear(rows);
    return outcome;
}

static enum optimistic load_with(struct ingest *ingest, struct click *click, struct pg *pg,
                                 struct error *error)
{
    bool loaded = false;
    enum optimistic outcome = OPTIMISTIC_OK;
    for (int i = 0; i < LOAD_TRIES && !loaded && outcome == OPTIMISTIC_OK; i++) {
        if (i > 0)
            clock_sleep_us(LOAD_RETRY_US);
        outcome = load_try(ingest, click, pg, &loaded, error);
    }
    if (outcome != OPTIMISTIC_OK || loaded)
        return outcome;
    error_set(error, ERROR_RETRY, "project state changes faster than it can be loaded");
    return OPTIMISTIC_UNAVAILABLE;
}

enum optimistic load_project(struct ingest *ingest, struct click *click, struct error *error)
{
    enum optimistic outcome = OPTIMISTIC_UNAVAILABLE;
    uint64_t hash = hash_text(click->request.project_id);
    pthread_mutex_t *lock = &ingest->load_locks[hash % LOAD_LOCKS];
    struct timespec until = timespec_of(clock_mono_us() + ingest->config->database_timeout_us);
    if (pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until)) {
        error_set(error, ERROR_RETRY, "too many wait for the project's state");
        return outcome;
    }
    struct pg *pg = ingest_take_pg(ingest, error);
    if (pg) {
        outcome = load_with(ingest, click, pg, error);
        ingest_give_pg(ingest, pg);
    }
    pthread_mutex_unlock(lock);
    return outcome;
}

static const char step_sql[] =
    "select p.upvotes, p.downvotes, coalesce(v.value, 0), coalesce(v.seq, 0) "
    "  from vote.projects p left join vote.votes v on v.project_id = p.project_id and v.user_id = "
    "$2 "
    " where p.project_id = $1";

/* `rows` is one of step_sql's. seq comes from our clock: as Redis' would, but for its last step. */
static void step_take(struct click *click, PGresult *rows)
{
    struct request *request = &click->request;
    int64_t row_seq = strtoll(PQgetvalue(rows, 0, 3), NULL, 10);
    int64_t now_us = clock_wall_us();
    request->previous = (enum vote_type)strtol(PQgetvalue(rows, 0, 2), NULL, 10);
    request->vote_type = click->body.vote_type;
    if (click->body.toggle && request->vote_type == request->previous)
        request->vote_type = VOTE_NONE;
    request->action = vote_action_between(request->previous, request->vote_type);
    request->seq = now_us > row_seq ? now_us : row_seq + 1;
    click->upvotes = strtoll(PQgetvalue(rows, 0, 0), NULL, 10) + (request->vote_type == VOTE_UP) -
                     (request->previous == VOTE_UP);
    click->downvotes = strtoll(PQgetvalue(rows, 0, 1), NULL, 10) +
                       (request->vote_type == VOTE_DOWN) - (request->previous == VOTE_DOWN);
}

enum optimistic load_step(struct ingest *ingest, struct click *click, struct error *error)
{
    const char *parameters[] = {click->request.project_id, click->request.user_id};
    struct pg *pg = ingest_take_pg(ingest, error);
    if (!pg)
        return OPTIMISTIC_UNAVAILABLE;
    PGresult *rows = project_make(ingest, pg, parameters[0], error)
                         ? pg_query(pg, step_sql, 2, parameters, error)
                         : NULL;
    ingest_give_pg(ingest, pg);
    if (!rows)
        return OPTIMISTIC_UNAVAILABLE;
    bool known = PQntuples(rows) > 0;
    if (known)
        step_take(click, rows);
    PQclear(rows);
    return known ? OPTIMISTIC_OK : OPTIMISTIC_UNKNOWN_PROJECT;
}
