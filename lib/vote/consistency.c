/* consistency.c - does what readers are shown agree with Postgres?
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote/consistency_sample.h"

#include "base/clock.h"
#include "vote/keys.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_US = 100 * 1000, LEADERBOARDS = 100 };

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

static int item_compare(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->id, ((const struct item *)b)->id);
}

struct item *sample_find(const struct sample *sample, const char *project_id)
{
    struct item key;
    snprintf(key.id, sizeof key.id, "%s", project_id);
    return bsearch(&key, sample->items, sample->count, sizeof key, item_compare);
}

static void sample_make(struct sample *sample, size_t count)
{
    sample->count = count;
    sample->items = calloc(count + 1, sizeof *sample->items);
    if (!sample->items)
        abort();
}

static bool sample_choose(struct sample *sample, struct error *error)
{
    char limit[24];
    const char *parameters[] = {limit};
    snprintf(limit, sizeof limit, "%lld", (long long)sample->check->sample);
    PGresult *rows = pg_query(sample->check->pg, sample_sql, 1, parameters, error);
    if (!rows)
        return false;
    sample_make(sample, (size_t)PQntuples(rows));
    for (size_t i = 0; i < sample->count; i++)
        item_read(&sample->items[i], rows, (int)i);
    PQclear(rows);
    qsort(sample->items, sample->count, sizeof *sample->items, item_compare);
    return true;
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
        struct item *item = sample_find(sample, PQgetvalue(rows, row, 0));
        if (item)
            item_read(item, rows, row);
    }
    PQclear(rows);
    buf_free(&ids);
    return rows != NULL;
}

/* The projects that the caller names. */
static bool sample_take(struct sample *sample, struct error *error)
{
    const struct consistency *check = sample->check;
    sample_make(sample, check->project_count);
    for (size_t i = 0; i < sample->count; i++)
        snprintf(sample->items[i].id, sizeof sample->items[i].id, "%s", check->projects[i]);
    qsort(sample->items, sample->count, sizeof *sample->items, item_compare);
    return sample_reload(sample, error);
}

void item_differs(struct item *item, const char *format, ...)
{
    if (item->verdict == VERDICT_PENDING)
        return;
    va_list arguments;
    va_start(arguments, format);
    item->verdict = VERDICT_DIFFERS;
    vsnprintf(item->sentence, sizeof item->sentence, format, arguments);
    va_end(arguments);
}

static void counts_differ(struct item *item, const char *where, int64_t upvotes, int64_t downvotes)
{
    item_differs(item, "%s says %lld up %lld down, Postgres %lld up %lld down (version %lld)",
                 where, (long long)upvotes, (long long)downvotes, (long long)item->upvotes,
                 (long long)item->downvotes, (long long)item->version);
}

static void compare_state(struct item *item, const redisReply *state)
{
    item->verdict = VERDICT_AGREES;
    item->seq = -1;
    if (!state || state->elements != 4 || !state->element[0]->str)
        return;
    int64_t upvotes = redis_reply_int(state->element[0]);
    int64_t downvotes = redis_reply_int(state->element[1]);
    item->seq = redis_reply_int(state->element[3]);
    if (redis_reply_int(state->element[2]) != 0)
        item->verdict = VERDICT_PENDING;
    else if (upvotes != item->upvotes || downvotes != item->downvotes)
        counts_differ(item, "Redis", upvotes, downvotes);
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
        counts_differ(item, where, json_integer_value(upvotes), json_integer_value(downvotes));
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
        struct item *item = id ? sample_find(sample, id) : NULL;
        if (item && item->looked)
            compare_counts(item, "the leaderboard", project);
    }
    json_decref(root);
}

/* Redis after Postgres: what commits in between shows as a difference, and is gone when looked at
 * again. */
static bool sample_look_at_states(struct sample *sample, struct error *error)
{
    struct redis_batch batch = {0};
    struct project_keys keys;
    for (size_t i = 0; i < sample->count; i++) {
        project_keys_make(&keys, sample->items[i].id);
        redis_add(&batch, keys.state, "HMGET %s upvotes downvotes pending seq", keys.state);
    }
    batch.deadline_us = clock_mono_us() + CONSISTENCY_LOOK_US; /* a large sample takes its time */
    bool fine = redis_run(sample->check->redis, &batch, error);
    for (size_t i = 0; fine && i < sample->count; i++) {
        struct item *item = &sample->items[i];
        item->looked = item_is_open(item);
        if (item->looked)
            compare_state(item, redis_reply(&batch, i));
    }
    redis_batch_free(&batch);
    return fine;
}

static void read_caches(struct sample *sample, struct item *item, const redisReply *cached)
{
    struct consistency *check = sample->check;
    struct buf json = {0};
    if (cached && cached->type == REDIS_REPLY_STRING)
        compare_project(item, "cache:project", cached->str, cached->len);
    if (check->fetch && check->fetch(check->context, item->id, &json) && json.size)
        compare_project(item, "the HTTP cache", json.data, json.size);
    buf_free(&json);
}

static bool sample_look_at_caches(struct sample *sample, struct error *error)
{
    struct redis_batch batch = {0};
    char key[KEY_SIZE];
    for (size_t i = 0; i < sample->count; i++) {
        snprintf(key, sizeof key, "cache:project:%s", sample->items[i].id);
        redis_add(&batch, key, "GET %s", key);
    }
    for (int i = 1; i <= LEADERBOARDS; i++) {
        snprintf(key, sizeof key, "cache:leaderboard:%d", i);
        redis_add(&batch, key, "GET %s", key);
    }
    batch.deadline_us = clock_mono_us() + CONSISTENCY_LOOK_US;
    bool fine = redis_run(sample->check->redis, &batch, error);
    for (size_t i = 0; fine && i < sample->count; i++) {
        if (sample->items[i].looked)
            read_caches(sample, &sample->items[i], redis_reply(&batch, i));
    }
    for (size_t i = 0; fine && i < LEADERBOARDS; i++)
        compare_leaderboard(sample, redis_reply(&batch, sample->count + i));
    redis_batch_free(&batch);
    return fine;
}

static bool sample_look(struct sample *sample, struct error *error)
{
    if (!sample_look_at_states(sample, error))
        return false;
    return sample->check->voters ? sample_look_at_voters(sample, error)
                                 : sample_look_at_caches(sample, error);
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
    bool fine = (check->projects ? sample_take(&sample, error) : sample_choose(&sample, error)) &&
                sample_follow(&sample, error);
    free(sample.items);
    return fine;
}

double consistency_ratio(const struct consistency *check)
{
    return check->sampled ? 1 - (double)check->differ / (double)check->sampled : 1;
}
