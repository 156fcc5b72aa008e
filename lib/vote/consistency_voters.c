/* consistency_voters.c - is each user's vote in Redis the one that Postgres has?
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote/consistency_sample.h"

#include "base/clock.h"
#include "vote/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000, ROWS = 5000 };

/* Votes as Redis has them, which wait to be compared by one statement. */
struct voters {
    struct sample *sample;
    struct buf projects, users, values; /* arrays of the same length */
    size_t count;
};

/* HSCAN goes over all projects side by side, a page of each at a time. */
struct walk {
    struct item *item;
    char cursor[24];
    int64_t upvotes, downvotes; /* met so far; a vote may be met twice, so these are at least */
};

static const char compare_sql[] =
    "select w.project_id, w.user_id, w.value, coalesce(v.value, 0) "
    "  from unnest($1::text[], $2::text[], $3::smallint[]) w (project_id, user_id, value) "
    "  left join vote.votes v using (project_id, user_id) "
    " where w.value <> coalesce(v.value, 0)";

static void voters_clear(struct voters *voters)
{
    buf_clear(&voters->projects);
    buf_clear(&voters->users);
    buf_clear(&voters->values);
    voters->count = 0;
}

static bool voters_compare(struct voters *voters, struct error *error)
{
    if (!voters->count)
        return true;
    const char *parameters[] = {pg_array_end(&voters->projects), pg_array_end(&voters->users),
                                pg_array_end(&voters->values)};
    PGresult *rows = pg_query(voters->sample->check->pg, compare_sql, 3, parameters, error);
    for (int row = 0; rows && row < PQntuples(rows); row++)
        item_differs(sample_find(voters->sample, PQgetvalue(rows, row, 0)),
                     "Redis says the vote of %s is %s, Postgres %s", PQgetvalue(rows, row, 1),
                     PQgetvalue(rows, row, 2), PQgetvalue(rows, row, 3));
    PQclear(rows);
    voters_clear(voters);
    return rows != NULL;
}

/* One page: user and value by turns. What is no vote is a difference by itself. */
static void voters_take(struct voters *voters, struct walk *walk, const redisReply *page)
{
    for (size_t i = 0; i + 1 < page->elements; i += 2) {
        const char *user = page->element[i]->str, *text = page->element[i + 1]->str;
        int value = !strcmp(text, "1") ? 1 : !strcmp(text, "-1") ? -1 : 0;
        if (!id_is_valid(user, page->element[i]->len) || (value == 0 && strcmp(text, "0") != 0)) {
            item_differs(walk->item, "Redis has a voter whose vote is none");
            continue;
        }
        walk->upvotes += value == 1;
        walk->downvotes += value == -1;
        pg_array_text(&voters->projects, walk->item->id);
        pg_array_text(&voters->users, user);
        pg_array_int(&voters->values, value);
        voters->count++;
    }
}

static void walk_end(struct walk *walk)
{
    struct item *item = walk->item;
    bool fewer = walk->upvotes < item->upvotes || walk->downvotes < item->downvotes;
    if (fewer && item->verdict == VERDICT_AGREES)
        item_differs(item,
                     "Redis has %lld votes up %lld down of its voters, Postgres %lld and %lld",
                     (long long)walk->upvotes, (long long)walk->downvotes, (long long)item->upvotes,
                     (long long)item->downvotes);
    walk->item = NULL;
}

static bool walk_step(struct voters *voters, struct walk *walk, const redisReply *reply,
                      struct error *error)
{
    if (!reply || reply->elements != 2 || !reply->element[0]->str)
        return error_set(error, ERROR_UNAVAILABLE, "redis: HSCAN gave no cursor");
    voters_take(voters, walk, reply->element[1]);
    snprintf(walk->cursor, sizeof walk->cursor, "%s", reply->element[0]->str);
    if (!strcmp(walk->cursor, "0"))
        walk_end(walk);
    return voters->count < ROWS || voters_compare(voters, error);
}

/* A page of every walk that is not at its end; *left is how many those were. */
static bool walks_step(struct voters *voters, struct walk *walks, size_t count, size_t *left,
                       struct error *error)
{
    struct redis_batch batch = {0};
    struct project_keys keys;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!walks[i].item)
            continue;
        project_keys_make(&keys, walks[i].item->id);
        redis_add(&batch, keys.voters, "HSCAN %s %s COUNT %d", keys.voters, walks[i].cursor, PAGE);
    }
    *left = batch.count;
    batch.deadline_us = clock_mono_us() + CONSISTENCY_LOOK_US;
    bool fine = *left == 0 || redis_run(voters->sample->check->redis, &batch, error);
    for (size_t i = 0; fine && i < count; i++) {
        if (walks[i].item)
            fine = walk_step(voters, &walks[i], redis_reply(&batch, at++), error);
    }
    redis_batch_free(&batch);
    return fine;
}

static bool item_is_suspect(const struct item *item)
{
    return item->looked && item->verdict == VERDICT_DIFFERS && item->seq >= 0;
}

static bool state_moved(const struct item *item, const redisReply *state)
{
    return state && state->elements == 2 &&
           (redis_reply_int(state->element[0]) != item->seq ||
            redis_reply_int(state->element[1]) != 0);
}

/* A vote that came since the state was read explains any difference. */
static bool forgive_moved(struct sample *sample, struct error *error)
{
    struct redis_batch batch = {0};
    struct project_keys keys;
    size_t at = 0;
    for (size_t i = 0; i < sample->count; i++) {
        if (!item_is_suspect(&sample->items[i]))
            continue;
        project_keys_make(&keys, sample->items[i].id);
        redis_add(&batch, keys.state, "HMGET %s seq pending", keys.state);
    }
    batch.deadline_us = clock_mono_us() + CONSISTENCY_LOOK_US;
    bool fine = batch.count == 0 || redis_run(sample->check->redis, &batch, error);
    for (size_t i = 0; fine && i < sample->count; i++) {
        struct item *item = &sample->items[i];
        if (item_is_suspect(item) && state_moved(item, redis_reply(&batch, at++)))
            item->verdict = VERDICT_PENDING;
    }
    redis_batch_free(&batch);
    return fine;
}

bool sample_look_at_voters(struct sample *sample, struct error *error)
{
    struct voters voters = {.sample = sample};
    struct walk *walks = calloc(sample->count + 1, sizeof *walks);
    size_t left = 1;
    bool fine = true;
    if (!walks)
        abort();
    for (size_t i = 0; i < sample->count; i++) {
        struct item *item = &sample->items[i];
        bool open = item->looked && item->verdict == VERDICT_AGREES && item->seq >= 0;
        walks[i] = (struct walk){.item = open ? item : NULL, .cursor = "0"};
    }
    while (fine && left)
        fine = walks_step(&voters, walks, sample->count, &left, error);
    fine = fine && voters_compare(&voters, error) && forgive_moved(sample, error);
    free(walks);
    buf_free(&voters.projects);
    buf_free(&voters.users);
    buf_free(&voters.values);
    return fine;
}
