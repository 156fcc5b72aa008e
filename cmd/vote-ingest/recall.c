/* recall.c - what an earlier attempt of a request had come to that died half way: as long as the
 * step was taken, a retry with its Idempotency-Key must not take another.
 *
 * The step is on its way (vote:pending), or settled (vote:request), or in the ledger; it leaves
 * each of these only when it is in the next. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "vote/pending.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void recall_take(struct click *click, const struct request *found)
{
    struct request *request = &click->request;
    request->vote_type = found->vote_type;
    request->previous = found->previous;
    request->action = found->action;
    request->seq = found->seq;
}

static bool is_same(const struct click *click, const struct request *found)
{
    return !strcmp(found->user_id, click->request.user_id) &&
           !strcmp(found->project_id, click->request.project_id) && found->seq > 0;
}

/* HMGET user_id project_id vote_type previous action seq */
static bool status_parse(struct request *found, const redisReply *reply)
{
    if (!reply || reply->elements < 6)
        return false;
    for (size_t i = 0; i < 6; i++) {
        if (!reply->element[i]->str)
            return false;
    }
    *found = (struct request){.seq = redis_reply_int(reply->element[5])};
    snprintf(found->user_id, sizeof found->user_id, "%s", reply->element[0]->str);
    snprintf(found->project_id, sizeof found->project_id, "%s", reply->element[1]->str);
    return vote_type_parse(reply->element[2]->str, &found->vote_type) &&
           vote_type_parse(reply->element[3]->str, &found->previous) &&
           vote_action_parse(reply->element[4]->str, &found->action);
}

static void recall_ask(struct click *click)
{
    const struct request *request = &click->request;
    char key[KEY_SIZE];
    struct project_keys keys;
    key_of_request(key, request->request_id);
    project_keys_make(&keys, request->project_id);
    redis_add(&click->redis, keys.pending, "HGET %s r:%s", keys.pending, request->request_id);
    redis_add(&click->redis, key, "HMGET %s user_id project_id vote_type previous action seq", key);
    redis_add(&click->redis, keys.state, "HMGET %s upvotes downvotes", keys.state);
    click->redis_until_us = clock_mono_us() + click->ingest->config->redis.timeout_us;
    click->redis.deadline_us = click->redis_until_us;
}

static enum recall recall_from_redis(struct ingest *ingest, struct click *click,
                                     struct error *error)
{
    struct request found;
    recall_ask(click);
    if (!redis_run(ingest->redis, &click->redis, error)) {
        redis_batch_clear(&click->redis);
        return RECALL_UNKNOWN;
    }
    const redisReply *pending = redis_reply(&click->redis, 0);
    const redisReply *counts = redis_reply(&click->redis, 2);
    bool known = (pending->str && pending_parse(&found, click->request.project_id,
                                                click->request.request_id, pending->str)) ||
                 status_parse(&found, redis_reply(&click->redis, 1));
    if (counts->elements == 2) {
        click->upvotes = redis_reply_int(counts->element[0]);
        click->downvotes = redis_reply_int(counts->element[1]);
    }
    redis_batch_clear(&click->redis);
    if (!known || !is_same(click, &found))
        return RECALL_NOTHING;
    click->in_redis = true;
    recall_take(click, &found);
    return RECALL_FOUND;
}

static const char ledger_sql[] =
    "select l.user_id, l.project_id, l.value, l.previous, l.seq, "
    "       coalesce(p.upvotes, 0), coalesce(p.downvotes, 0) "
    "  from vote.log l left join vote.projects p using (project_id) where l.request_id = $1";

static int64_t column_int(PGresult *rows, int column)
{
    return strtoll(PQgetvalue(rows, 0, column), NULL, 10);
}

static bool ledger_take(struct click *click, PGresult *rows)
{
    struct request found = {.vote_type = (enum vote_type)column_int(rows, 2),
                            .previous = (enum vote_type)column_int(rows, 3),
                            .seq = column_int(rows, 4)};
    if (strcmp(PQgetvalue(rows, 0, 0), click->request.user_id) != 0 ||
        strcmp(PQgetvalue(rows, 0, 1), click->request.project_id) != 0)
        return false;
    found.action = vote_action_between(found.previous, found.vote_type);
    recall_take(click, &found);
    click->upvotes = column_int(rows, 5);
    click->downvotes = column_int(rows, 6);
    return true;
}

static enum recall recall_from_ledger(struct ingest *ingest, struct click *click,
                                      struct error *error)
{
    const char *parameters[] = {click->request.request_id};
    PGresult *rows = ingest_query(ingest, ledger_sql, 1, parameters, error);
    if (!rows)
        return RECALL_UNKNOWN;
    bool found = PQntuples(rows) > 0 && ledger_take(click, rows);
    PQclear(rows);
    return found ? RECALL_FOUND : RECALL_NOTHING;
}

enum recall click_recall(struct ingest *ingest, struct click *click, struct error *error)
{
    enum recall recall = recall_from_redis(ingest, click, error);
    return recall == RECALL_NOTHING ? recall_from_ledger(ingest, click, error) : recall;
}
