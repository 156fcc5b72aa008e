/* api_leaderboard.c - GET /api/leaderboard: best community_score first, out of a cache in Redis.
 *
 * A miss is read from Postgres once, however many ask meanwhile. Without Redis the last answer of
 * this process serves for a second.
 *
 * No stale fill: what was read before a commit may be written after its purge. So the purge's mark
 * is read before Postgres and again behind the write; when it has moved, the value is taken back. A
 * crash in between leaves a value that lives PROVISIONAL_MS. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_PRESET = 20, LIMIT_MAX = 100, OWN_US = 1000 * 1000, PROVISIONAL_MS = 1000 };
enum { LEADERBOARD_BYTES_MAX = 64 * 1024 };

/* What this process read last, by limit. */
struct own_answer {
    struct buf body;
    int64_t read_at_us;
};

struct leaderboard {
    pthread_mutex_t flight; /* held by who reads Postgres */
    struct own_answer own[LIMIT_MAX + 1];
};

struct leaderboard *leaderboard_new(void)
{
    struct leaderboard *leaderboard = calloc(1, sizeof *leaderboard);
    if (!leaderboard)
        abort();
    pthread_mutex_init(&leaderboard->flight, NULL);
    return leaderboard;
}

void leaderboard_free(struct leaderboard *leaderboard)
{
    if (!leaderboard)
        return;
    for (size_t i = 0; i <= LIMIT_MAX; i++)
        buf_free(&leaderboard->own[i].body);
    pthread_mutex_destroy(&leaderboard->flight);
    free(leaderboard);
}

enum cache { CACHE_HIT, CACHE_MISS, CACHE_AWAY };

static void key_make(char key[KEY_SIZE], int64_t limit)
{
    snprintf(key, KEY_SIZE, "cache:leaderboard:%" PRId64, limit);
}

/* The mark as it is now, with its NUL; empty: there is none yet. */
enum { MARK_SIZE = 24 };

static void mark_read(const redisReply *reply, char mark[MARK_SIZE])
{
    bool is_there = reply && reply->type == REDIS_REPLY_STRING;
    snprintf(mark, MARK_SIZE, "%s", is_there ? reply->str : "");
}

/* The mark comes with it, as it was when the value was not there. */
static enum cache cache_get(struct ingest *ingest, int64_t limit, struct buf *body,
                            char mark[MARK_SIZE])
{
    struct redis_batch batch = {0};
    struct error error;
    char key[KEY_SIZE];
    key_make(key, limit);
    redis_add(&batch, key, "GET %s", key);
    redis_add(&batch, KEY_LEADERBOARD_MARK, "GET " KEY_LEADERBOARD_MARK);
    bool answered = redis_run(ingest->redis, &batch, &error);
    const redisReply *reply = redis_reply(&batch, 0);
    bool hit = answered && reply->type == REDIS_REPLY_STRING && reply->len <= LEADERBOARD_BYTES_MAX;
    if (hit)
        buf_put(body, reply->str, reply->len);
    mark_read(redis_reply(&batch, 1), mark);
    redis_batch_free(&batch);
    return hit ? CACHE_HIT : answered ? CACHE_MISS : CACHE_AWAY;
}

/* Whether a purge has begun since the mark was read; asked behind the write, so that one that comes
 * later finds the value. */
static bool mark_has_moved(struct ingest *ingest, const char *mark)
{
    struct redis_batch batch = {0};
    struct error error;
    char now[MARK_SIZE];
    redis_add(&batch, KEY_LEADERBOARD_MARK, "GET " KEY_LEADERBOARD_MARK);
    bool answered = redis_run(ingest->redis, &batch, &error);
    mark_read(redis_reply(&batch, 0), now);
    redis_batch_free(&batch);
    return !answered || strcmp(now, mark) != 0;
}

static void cache_run(struct ingest *ingest, struct redis_batch *batch)
{
    struct error error;
    if (!redis_run(ingest->redis, batch, &error))
        log_error(ingest->log, LOG_DEBUG, "leaderboard not cached", &error);
    redis_batch_clear(batch);
}

static void cache_put(struct ingest *ingest, int64_t limit, const struct buf *body,
                      const char *mark)
{
    struct redis_batch batch = {0};
    char key[KEY_SIZE];
    long long ttl_ms = ingest->config->leaderboard_ttl_us / 1000;
    key_make(key, limit);
    redis_add(&batch, key, "SET %s %b PX %lld", key, body->data, body->size,
              ttl_ms < PROVISIONAL_MS ? ttl_ms : PROVISIONAL_MS);
    cache_run(ingest, &batch);
    if (mark_has_moved(ingest, mark))
        redis_add(&batch, key, "UNLINK %s", key);
    else
        redis_add(&batch, key, "PEXPIRE %s %lld", key, ttl_ms);
    cache_run(ingest, &batch);
    redis_batch_free(&batch);
}

static void rows_encode(PGresult *rows, struct buf *body)
{
    buf_text(body, "{\"status\":\"success\",\"data\":{\"projects\":[");
    for (int row = 0; row < PQntuples(rows); row++) {
        buf_text(body, row ? ",{" : "{");
        buf_member_text(body, "project_id", PQgetvalue(rows, row, 0));
        buf_format(body,
                   ",\"upvotes\":%s,\"downvotes\":%s,\"voteCount\":%s,\"community_score\":%s,"
                   "\"version\":%s}",
                   PQgetvalue(rows, row, 1), PQgetvalue(rows, row, 2), PQgetvalue(rows, row, 3),
                   PQgetvalue(rows, row, 4), PQgetvalue(rows, row, 5));
    }
    buf_text(body, "]}}");
}

static bool leaderboard_read(struct ingest *ingest, int64_t limit, struct buf *body,
                             struct error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, limit);
    const char *parameters[] = {text};
    PGresult *rows =
        ingest_query(ingest,
                     "select project_id, upvotes, downvotes, vote_count, community_score, version "
                     "from vote.projects order by community_score desc, project_id limit $1",
                     1, parameters, error);
    if (rows)
        rows_encode(rows, body);
    PQclear(rows);
    return rows != NULL;
}

/* Those who waited for the one that reads find its answer in the cache, or in `own`. */
static bool leaderboard_fly(struct ingest *ingest, int64_t limit, struct buf *body,
                            struct error *error)
{
    struct own_answer *own = &ingest->leaderboard->own[limit];
    char mark[MARK_SIZE];
    enum cache cache = cache_get(ingest, limit, body, mark);
    if (cache == CACHE_HIT)
        return true;
    if (cache == CACHE_AWAY && own->body.size && clock_mono_us() - own->read_at_us < OWN_US) {
        buf_put(body, own->body.data, own->body.size);
        return true;
    }
    if (!leaderboard_read(ingest, limit, body, error))
        return false;
    buf_clear(&own->body);
    buf_put(&own->body, body->data, body->size);
    own->read_at_us = clock_mono_us();
    if (cache == CACHE_MISS)
        cache_put(ingest, limit, body, mark);
    return true;
}

static bool leaderboard_get(struct ingest *ingest, int64_t limit, struct buf *body,
                            struct error *error)
{
    char mark[MARK_SIZE];
    if (cache_get(ingest, limit, body, mark) == CACHE_HIT)
        return true;
    int64_t until_us = clock_mono_us() + 2 * ingest->config->database_timeout_us;
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    if (pthread_mutex_clocklock(&ingest->leaderboard->flight, CLOCK_MONOTONIC, &until))
        return error_set(error, ERROR_RETRY, "too many wait for the leaderboard");
    bool got = leaderboard_fly(ingest, limit, body, error);
    pthread_mutex_unlock(&ingest->leaderboard->flight);
    return got;
}

void api_get_leaderboard(struct http_request *http)
{
    struct token token;
    struct buf body = {0};
    struct error error;
    struct buf problems = {0};
    int64_t limit;
    if (!auth_check(http, &token))
        return;
    query_read_limit(http, LIMIT_PRESET, LIMIT_MAX, &limit, &problems);
    if (!query_is_fine(http, &problems))
        return;
    if (leaderboard_get(http->context, limit, &body, &error))
        http_reply(http, 200, "application/json",
                   "Cache-Control: no-cache\r\nSurrogate-Key: leaderboard\r\n", body.data,
                   body.size);
    else
        problem_unavailable(http, &error);
    buf_free(&body);
}
