/* consistency.c - does what readers are shown agree with Postgres?
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote/consistency.h"

#include "base/clock.h"
#include "vote/keys.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_US = 100 * 1000, LOOK_US = 5 * 1000 * 1000, LEADERBOARDS = 100, SENTENCE_SIZE = 160 };

enum verdict { VERDICT_OPEN, VERDICT_AGREES, VERDICT_PENDING, VERDICT_DIFFERS };

struct item {
    char id[VOTE_ID_SIZE];
    int64_t upvotes, downvotes, version; /* as Postgres has them */
    int64_t since_us;                    /* monotonic: when it was seen to differ; 0: never */
    enum verdict verdict;                /* of the last look */
    char sentence[SENTENCE_SIZE];
};

struct sample {
    struct consistency *check;
    struct item *items;
    size_t count;
};

static const char sample_sql[] =
    "select project_id, upvotes, downvotes, version from vote.projects order by random() limit $1";

static const char again_sql[] = "select project_id, upvotes, downvotes, version "
                                "from vote.projects where project_id = any($1::text[])";

static void item_read(struct item *item, PGresult *rows, int row)
{
    snprintf(item->id, sizeof item->id, "%s", PQgetvalue(rows, row, 0));
    item->upvotes = strtoll(PQgetvalue(rows, row, 1), NULL, 10);
    item->downvotes = strtoll(PQgetvalue(rows, row, 2), NULL, 10);
    item->version = strtoll(PQgetvalue(rows, row, 3), NULL, 10);
}

static bool sample_choose(struct sample *sample, struct error *error)
{
    char limit[24];
    const char *parameters[] = {limit};
    snprintf(limit, sizeof limit, "%lld", (long long)sample->check->sample);
    PGresult *rows = pg_query(sample->check->pg, sample_sql, 1, parameters, error);
    if (!rows)
        return false;
    sample->count = (size_t)PQntuples(rows);
    sample->items = calloc(sample->count + 1, sizeof *sample->items);
    if (!sample->items)
        abort();
    for (size_t i = 0; i < sample->count; i++)
        item_read(&sample->items[i], rows, (int)i);
    PQclear(rows);
    return true;
}

static struct item *item_find(struct sample *sample, const char *id)
{
    for (size_t i = 0; i < sample->count; i++) {
        if (!strcmp(sample->items[i].id, id))
            return &sample->items[i];
    }
    return NULL;
}

static bool item_is_open(const struct item *item)
{
    return item->verdict == VERDICT_OPEN || item->verdict == VERDICT_DIFFERS;
}

/* Postgres' counts of those that are still open. */
static bool sample_reload(struct sample *sample, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < sample->count; i++) {
        if (item_is_open(&sample->items[i]))
            pg_array_text(&ids, sample->items[i].id);
    }
    const char *parameters[] = {pg_array_end(&ids)};
    PGresult *rows = pg_query(sample->check->pg, again_sql, 1, parameters, error);
    for (int row = 0; rows && row < PQntuples(rows); row++) {
        struct item *item = item_find(sample, PQgetvalue(rows, row, 0));
        if (item)
            item_read(item, rows, row);
    }
    PQclear(rows);
    buf_free(&ids);
    return rows != NULL;
}

static void item_differs(struct item *item, const char *where, int64_t upvotes, int64_t downvotes)
{
    if (item->verdict == VERDICT_PENDING)
        return;
    item->verdict = VERDICT_DIFFERS;
    snprintf(item->sentence, SENTENCE_SIZE,
             "%s says %lld up %lld down, Postgres %lld up %lld down (version %lld)", where,
             (long long)upvotes, (long long)downvotes, (long long)item->upvotes,
             (long long)item->downvotes, (long long)item->version);
}

static void compare_state(struct item *item, const redisReply *state)
{
    if (!state || state->elements != 3 || !state->element[0]->str)
        return;
    int64_t upvotes = redis_reply_int(state->element[0]);
    int64_t downvotes = redis_reply_int(state->element[1]);
    if (redis_reply_int(state->element[2]) != 0)
        item->verdict = VERDICT_PENDING;
    else if (upvotes != item->upvotes || downvotes != item->downvotes)
        item_differs(item, "Redis", upvotes, downvotes);
}

/* Compares an object that has a project's counts; one without any says nothing. */
static void compare_counts(struct item *item, const char *where, const json_t *counts)
{
    const json_t *upvotes = json_object_get(counts, "upvotes");
    const json_t *downvotes = json_object_get(counts, "downvotes");
    const json_t *version = json_object_get(counts, "version");
    bool same = (!upvotes || json_integer_value(upvotes) == item->upvotes) &&
                (!downvotes || json_integer_value(downvotes) == item->downvotes) &&
                (!version || json_integer_value(version) == item->version);
    if (!same)
        item_differs(item, where, json_integer_value(upvotes), json_integer_value(downvotes));
}

static void compare_project(struct item *item, const char *where, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    const json_t *data = json_object_get(root, "data");
    compare_counts(item, where, data ? data : root);
    json_decref(root);
}

static void compare_leaderboard(struct sample *sample, const redisReply *cached)
{
    if (!cached || cached->type != REDIS_REPLY_STRING)
        return;
    json_t *root = json_loadb(cached->str, cached->len, 0, NULL);
    const json_t *projects = json_object_get(json_object_get(root, "data"), "projects");
    const json_t *project;
    size_t i;
    json_array_foreach(projects, i, project)
    {
        const char *id = json_string_value(json_object_get(project, "project_id"));
        struct item *item = id ? item_find(sample, id) : NULL;
        if (item && item->verdict != VERDICT_PENDING)
            compare_counts(item, "the leaderboard", project);
    }
    json_decref(root);
}

static void ask_item(struct redis_batch *batch, const struct item *item)
{
    struct project_keys keys;
    char cache[KEY_SIZE];
    project_keys_make(&keys, item->id);
    snprintf(cache, sizeof cache, "cache:project:%s", item->id);
    redis_add(batch, keys.state, "HMGET %s upvotes downvotes pending", keys.state);
    redis_add(batch, cache, "GET %s", cache);
}

static void read_item(struct sample *sample, const struct redis_batch *batch, size_t at,
                      struct item *item)
{
    struct consistency *check = sample->check;
    struct buf json = {0};
    const redisReply *cached = redis_reply(batch, at + 1);
    item->verdict = VERDICT_AGREES;
    compare_state(item, redis_reply(batch, at));
    if (cached && cached->type == REDIS_REPLY_STRING)
        compare_project(item, "cache:project", cached->str, cached->len);
    if (check->fetch && check->fetch(check->context, item->id, &json) && json.size)
        compare_project(item, "the HTTP cache", json.data, json.size);
    buf_free(&json);
}

/* Redis after Postgres: what commits in between shows as a difference, and is gone when looked at
 * again. */
static bool sample_look(struct sample *sample, struct error *error)
{
    struct redis_batch batch = {0};
    char key[KEY_SIZE];
    for (size_t i = 0; i < sample->count; i++)
        ask_item(&batch, &sample->items[i]);
    for (int i = 1; i <= LEADERBOARDS; i++) {
        snprintf(key, sizeof key, "cache:leaderboard:%d", i);
        redis_add(&batch, key, "GET %s", key);
    }
    batch.deadline_us = clock_mono_us() + LOOK_US; /* a large sample takes its time */
    bool fine = redis_run(sample->check->redis, &batch, error);
    for (size_t i = 0; fine && i < sample->count; i++) {
        if (item_is_open(&sample->items[i]))
            read_item(sample, &batch, 2 * i, &sample->items[i]);
    }
    for (size_t i = 0; fine && i < LEADERBOARDS; i++)
        compare_leaderboard(sample, redis_reply(&batch, 2 * sample->count + i));
    redis_batch_free(&batch);
    return fine;
}

/* How many still differ; tells those that do no more. */
static size_t sample_judge(struct sample *sample, int64_t now_us)
{
    struct consistency *check = sample->check;
    size_t differ = 0;
    for (size_t i = 0; i < sample->count; i++) {
        struct item *item = &sample->items[i];
        if (item->verdict == VERDICT_DIFFERS) {
            differ++;
            item->since_us = item->since_us ? item->since_us : now_us;
        } else if (item->since_us > 0 && check->tell) {
            check->tell(check->context, item->id, item->sentence, now_us - item->since_us, false);
        }
        if (item->verdict != VERDICT_DIFFERS && item->since_us)
            item->since_us = -1; /* told */
    }
    return differ;
}

static void sample_conclude(struct sample *sample, int64_t now_us)
{
    struct consistency *check = sample->check;
    check->sampled = sample->count;
    for (size_t i = 0; i < sample->count; i++) {
        struct item *item = &sample->items[i];
        check->pending += item->verdict == VERDICT_PENDING;
        check->agreed += item->verdict == VERDICT_AGREES && !item->since_us;
        if (item->verdict == VERDICT_DIFFERS && check->tell)
            check->tell(check->context, item->id, item->sentence, now_us - item->since_us, true);
    }
}

/* A difference that the second look, at once, does not find was a commit between two reads. */
static bool sample_follow(struct sample *sample, struct error *error)
{
    struct consistency *check = sample->check;
    int64_t until_us = clock_mono_us() + check->timeout_us;
    if (!sample_look(sample, error) || !sample_reload(sample, error) || !sample_look(sample, error))
        return false;
    while ((check->differ = sample_judge(sample, clock_mono_us())) && clock_mono_us() < until_us &&
           !(check->is_stopped && check->is_stopped(check->context))) {
        clock_sleep_us(AGAIN_US);
        if (!sample_reload(sample, error) || !sample_look(sample, error))
            return false;
    }
    sample_conclude(sample, clock_mono_us());
    return true;
}

bool consistency_check(struct consistency *check, struct error *error)
{
    struct sample sample = {.check = check};
    check->sampled = check->pending = check->agreed = check->differ = 0;
    bool fine = sample_choose(&sample, error) && sample_follow(&sample, error);
    free(sample.items);
    return fine;
}

double consistency_ratio(const struct consistency *check)
{
    return check->sampled ? 1 - (double)check->differ / (double)check->sampled : 1;
}
