/* forget.c - a person is forgotten: rows and totals in one transaction, then what Redis has of
 * them, then their name in the ledger.
 *
 * All of it happens before the offset moves past the wish, and each step finds what an earlier try
 * left undone: the ledger's name goes last, since it tells which projects to look after. That the
 * totals moved is announced through vote.outbox, which is written with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "vote/scripts.h"
#include "vote/states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { VOTES_AT_ONCE = 500, ROWS_AT_ONCE = 5000, NUMBER_SIZE = 24 };

/* One wish, with its numbers as Postgres and Redis read them. */
struct wish {
    struct forget forget;
    char seq[NUMBER_SIZE], accepted_at[CLOCK_TEXT_SIZE];
};

static const char forget_sql[] =
    "select project_id, version, is_gone from vote.forget($1, $2, $3, $4, $5)";

/* The requests that Redis may still have. */
static const char requests_sql[] =
    "select request_id from vote.log "
    " where user_id = $1 and seq <= $2 and accepted_at > now() - interval '25 hours'";

static const char standing_sql[] =
    "select project_id from vote.votes where user_id = $1 and value = 1";

static const char rename_sql[] = "select vote.forget_log($1, $2, $3)";

static PGresult *wish_query(struct commit *commit, const struct wish *wish, const char *sql,
                            int count, struct error *error)
{
    char limit[NUMBER_SIZE];
    snprintf(limit, sizeof limit, "%d", ROWS_AT_ONCE);
    const char *parameters[] = {wish->forget.user_id, wish->seq, limit};
    return pg_query(&commit->side_pg, sql, count, parameters, error);
}

/* Their next click loads these projects again, without the one who was forgotten. */
static void projects_drop(struct redis_batch *batch, PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++)
        state_add_drop(batch, PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1));
}

/* What stands of later votes is put back: a set does not say which are older. */
static void user_drop(struct redis_batch *batch, const struct wish *wish, PGresult *standing)
{
    char upvotes[KEY_SIZE], recent[KEY_SIZE], cache[KEY_SIZE];
    key_of_upvotes(upvotes, wish->forget.user_id);
    key_of_recent(recent, wish->forget.user_id);
    key_of_user_cache(cache, wish->forget.user_id);
    redis_add_words(batch, upvotes, 2, (const char *[]){"DEL", upvotes});
    for (int row = 0; row < PQntuples(standing); row++)
        redis_add_words(batch, upvotes, 3,
                        (const char *[]){"SADD", upvotes, PQgetvalue(standing, row, 0)});
    redis_add_script(batch, &script_recent, 1, 2, (const char *[]){recent, wish->seq});
    redis_add_words(batch, cache, 2, (const char *[]){"DEL", cache});
}

static void requests_drop(struct redis_batch *batch, PGresult *rows)
{
    char key[KEY_SIZE];
    for (int row = 0; row < PQntuples(rows); row++) {
        key_of_request(key, PQgetvalue(rows, row, 0));
        redis_add_words(batch, key, 2, (const char *[]){"DEL", key});
    }
}

/* Redis may be away: what it has of the user goes by itself within a day. */
static void redis_forget(struct commit *commit, PGresult *standing, PGresult *requests,
                         const struct wish *wish)
{
    struct redis_batch batch = {0};
    struct error error;
    user_drop(&batch, wish, standing);
    requests_drop(&batch, requests);
    if (!redis_run(commit->redis, &batch, &error))
        log_error(commit->log, LOG_WARN, "redis has not forgotten the user", &error);
    redis_batch_free(&batch);
}

/* The same for its counts, which are dropped when it is back. */
static void redis_drop(struct commit *commit, PGresult *projects)
{
    struct redis_batch batch = {0};
    struct error error;
    projects_drop(&batch, projects);
    if (!redis_run(commit->redis, &batch, &error)) {
        for (int row = 0; row < PQntuples(projects); row++)
            settle_later(commit, PQgetvalue(projects, row, 0));
    }
    redis_batch_free(&batch);
}

/* Some at a time: whoever votes waits meanwhile. */
static bool votes_forget(struct commit *commit, const struct wish *wish, struct error *error)
{
    char limit[NUMBER_SIZE];
    const char *parameters[] = {wish->forget.user_id, wish->seq, wish->forget.request_id,
                                wish->accepted_at, limit};
    int gone = VOTES_AT_ONCE;
    snprintf(limit, sizeof limit, "%d", VOTES_AT_ONCE);
    while (gone == VOTES_AT_ONCE) {
        PGresult *rows = pg_query(&commit->side_pg, forget_sql, 5, parameters, error);
        if (!rows)
            return false;
        redis_drop(commit, rows);
        gone = 0;
        for (int row = 0; row < PQntuples(rows); row++)
            gone += *PQgetvalue(rows, row, 2) == 't';
        PQclear(rows);
        admin_beat(&commit->admin);
    }
    return true;
}

static bool ledger_forget(struct commit *commit, const struct wish *wish, struct error *error)
{
    int64_t renamed = ROWS_AT_ONCE;
    while (renamed == ROWS_AT_ONCE) {
        PGresult *rows = wish_query(commit, wish, rename_sql, 3, error);
        if (!rows)
            return false;
        renamed = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
        PQclear(rows);
        admin_beat(&commit->admin);
    }
    return true;
}

static bool wish_grant(struct commit *commit, const struct wish *wish, struct error *error)
{
    if (!votes_forget(commit, wish, error))
        return false;
    PGresult *standing = wish_query(commit, wish, standing_sql, 1, error);
    PGresult *requests = standing ? wish_query(commit, wish, requests_sql, 2, error) : NULL;
    if (requests)
        redis_forget(commit, standing, requests, wish);
    bool granted = requests && ledger_forget(commit, wish, error);
    if (granted)
        LOG_EVENT(commit->log, LOG_INFO, "user forgotten",
                  LOG_STR("request_id", wish->forget.request_id));
    PQclear(standing);
    PQclear(requests);
    return granted;
}

static bool entry_forget(struct commit *commit, const struct entry *entry, struct error *error)
{
    struct wish wish;
    if (!forget_decode(&wish.forget, entry->message->payload, entry->message->len, NULL))
        abort(); /* batch_decode has read it */
    snprintf(wish.seq, sizeof wish.seq, "%" PRId64, wish.forget.seq);
    clock_format_ms(wish.forget.accepted_at_ms, wish.accepted_at);
    if (!wish_grant(commit, &wish, error))
        return false;
    metric_add(commit->metrics.forgotten, 1);
    return true;
}

bool forget_entries(struct commit *commit, const struct batch *batch, struct error *error)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->is_forget && commit->positions[entry->message->partition].assigned &&
            !entry_forget(commit, entry, error))
            return false;
    }
    return true;
}
