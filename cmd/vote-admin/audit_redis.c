/* audit_redis.c - does each state in Redis show what Postgres has, its counts and its voters?
 *
 * All states are looked at, by SCAN. One with votes on their way is no difference, nor is one that
 * agrees a moment later: a commit reaches Postgres first. What differs is dropped by a repair, as
 * is the state of what was repaired in Postgres: the next click loads it again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"

#include "base/clock.h"
#include "redis/scan.h"
#include "vote/consistency.h"
#include "vote/states.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_PREFIX "vote:state:{"

enum { WAIT_US = 2000000, SETTLE_US = 1000000, DROP_US = 5000000, CHUNK = 1000, SHOWN_MAX = 100 };

/* States that were found and wait to be compared together. */
struct chunk {
    struct audit *audit;
    char ids[CHUNK][VOTE_ID_SIZE];
    size_t count;
    struct buf stale; /* an array of those that differ */
    bool failed;
    struct error *error;
};

static const char table_sql[] = "create temporary table audit_stale (project_id text primary key)";

/* What was found in Postgres already is no second difference in Redis, nor is a state that SCAN
 * gives twice. */
static const char choose_sql[] =
    "select distinct w from unnest($1::text[]) w "
    " where not exists (select from audit_found f where f.project_id = w) "
    "   and not exists (select from audit_stale s where s.project_id = w)";

static const char note_sql[] = "insert into audit_stale select unnest($1::text[])";

static const char drop_sql[] =
    "select s.project_id, coalesce(p.version, 0) "
    "  from (select project_id from audit_repaired union select project_id from audit_stale) s "
    "  left join vote.projects p using (project_id)";

static void state_differs(void *context, const char *project_id, const char *sentence,
                          int64_t lasted_us, bool still)
{
    struct chunk *chunk = context;
    (void)lasted_us;
    if (!still)
        return;
    pg_array_text(&chunk->stale, project_id);
    if (++chunk->audit->stale <= SHOWN_MAX)
        printf("%s: %s\n", project_id, sentence);
}

static bool chunk_compare(struct chunk *chunk, PGresult *rows, struct error *error)
{
    size_t count = (size_t)PQntuples(rows);
    const char **ids = calloc(count + 1, sizeof *ids);
    if (!ids)
        abort();
    for (size_t i = 0; i < count; i++)
        ids[i] = PQgetvalue(rows, (int)i, 0);
    struct consistency check = {.pg = &chunk->audit->pg,
                                .redis = chunk->audit->redis,
                                .projects = ids,
                                .project_count = count,
                                .voters = true,
                                .timeout_us = SETTLE_US,
                                .tell = state_differs,
                                .context = chunk};
    bool fine = count == 0 || consistency_check(&check, error);
    chunk->audit->states += check.sampled;
    free(ids);
    return fine;
}

static bool chunk_note(struct chunk *chunk, struct error *error)
{
    if (!chunk->stale.size)
        return true;
    const char *parameters[] = {pg_array_end(&chunk->stale)};
    PGresult *rows = pg_query(&chunk->audit->pg, note_sql, 1, parameters, error);
    bool fine = rows != NULL;
    PQclear(rows);
    buf_clear(&chunk->stale);
    return fine;
}

static bool chunk_end(struct chunk *chunk, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < chunk->count; i++)
        pg_array_text(&ids, chunk->ids[i]);
    const char *parameters[] = {pg_array_end(&ids)};
    PGresult *rows = pg_query(&chunk->audit->pg, choose_sql, 1, parameters, error);
    bool fine = rows && chunk_compare(chunk, rows, error) && chunk_note(chunk, error);
    chunk->count = 0;
    PQclear(rows);
    buf_free(&ids);
    return fine;
}

static void chunk_add(void *context, const char *key)
{
    struct chunk *chunk = context;
    const char *id = key + sizeof STATE_PREFIX - 1;
    size_t size = strlen(id);
    if (chunk->failed || size < 2 || id[size - 1] != '}' || !id_is_valid(id, size - 1))
        return;
    snprintf(chunk->ids[chunk->count++], VOTE_ID_SIZE, "%.*s", (int)size - 1, id);
    chunk->failed = chunk->count == CHUNK && !chunk_end(chunk, chunk->error);
}

static bool states_compare(struct audit *audit, struct error *error)
{
    struct chunk *chunk = calloc(1, sizeof *chunk);
    size_t left = SIZE_MAX;
    if (!chunk)
        abort();
    chunk->audit = audit;
    chunk->error = error;
    bool fine = audit_execute(audit, table_sql, error) &&
                redis_scan(audit->redis, STATE_PREFIX "*", &left, chunk_add, chunk, error) &&
                !chunk->failed && (chunk->count == 0 || chunk_end(chunk, error));
    buf_free(&chunk->stale);
    free(chunk);
    return fine;
}

bool audit_redis_open(struct audit *audit, const struct redis_config *config, struct error *error)
{
    if (!redis_open(&audit->redis, config, error))
        return false;
    if (redis_wait_up(audit->redis, WAIT_US))
        return true;
    redis_close(audit->redis);
    audit->redis = NULL;
    return error_set(error, ERROR_RETRY, "unable to connect to redis");
}

bool audit_redis_compare(struct audit *audit, struct error *error)
{
    if (!states_compare(audit, error))
        return false;
    if (audit->stale > SHOWN_MAX)
        printf("and %lld more states in Redis\n", (long long)(audit->stale - SHOWN_MAX));
    audit->differences += audit->stale;
    printf("redis: %lld states compared, %lld differ\n", (long long)audit->states,
           (long long)audit->stale);
    return true;
}

static bool states_drop(struct redis *redis, PGresult *rows, struct error *error)
{
    struct redis_batch batch = {0};
    bool fine = true;
    for (int row = 0; fine && row < PQntuples(rows); row++) {
        state_add_drop(&batch, PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1));
        if (batch.count < CHUNK && row + 1 < PQntuples(rows))
            continue;
        batch.deadline_us = clock_mono_us() + DROP_US;
        fine = redis_run(redis, &batch, error);
        redis_batch_clear(&batch);
    }
    redis_batch_free(&batch);
    return fine;
}

bool audit_redis_repair(struct audit *audit, struct error *error)
{
    PGresult *rows = pg_query(&audit->pg, drop_sql, 0, NULL, error);
    bool fine = rows && (PQntuples(rows) == 0 || states_drop(audit->redis, rows, error));
    if (fine && PQntuples(rows))
        printf("redis: dropped the state of %d projects, to be loaded again\n", PQntuples(rows));
    PQclear(rows);
    return fine;
}
