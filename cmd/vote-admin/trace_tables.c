/* trace_tables.c - what Redis and Postgres know of a request. SPDX-License-Identifier: Apache-2.0
 */
#include "vote-admin/trace.h"

#include "base/clock.h"
#include "vote/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REDIS_WAIT_US = 2 * 1000 * 1000, HASH_FIELDS = 9 };

static void text_take(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

/* HMGET state user_id project_id vote_type previous action seq accepted_at partition offset */
static void hash_take(struct trace *trace, const redisReply *hash)
{
    const char *field[HASH_FIELDS + 1];
    struct request *request = &trace->request;
    if (!hash || hash->elements != HASH_FIELDS + 1 || !hash->element[0]->str)
        return;
    for (size_t i = 0; i <= HASH_FIELDS; i++)
        field[i] = hash->element[i]->str ? hash->element[i]->str : "";
    trace->in_redis = true;
    text_take(trace->redis_state, STATE_SIZE, field[0]);
    text_take(request->user_id, VOTE_ID_SIZE, field[1]);
    text_take(request->project_id, VOTE_ID_SIZE, field[2]);
    trace->is_known = vote_type_parse(field[3], &request->vote_type) &&
                      vote_type_parse(field[4], &request->previous) &&
                      vote_action_parse(field[5], &request->action);
    request->seq = strtoll(field[6], NULL, 10);
    if (!clock_parse_ms(field[7], &trace->accepted_ms))
        trace->accepted_ms = 0;
    if (*field[8] && *field[9]) {
        trace->partition = (int32_t)strtol(field[8], NULL, 10);
        trace->offset = strtoll(field[9], NULL, 10);
    }
}

void trace_ask_redis(struct trace *trace)
{
    struct redis *redis = NULL;
    struct redis_batch batch = {0};
    struct error error;
    char key[KEY_SIZE];
    key_of_request(key, trace->request_id);
    redis_add(&batch, key,
              "HMGET %s state user_id project_id vote_type previous action seq accepted_at "
              "partition offset",
              key);
    trace->redis_away = !redis_open(&redis, &trace->config->redis, &error) ||
                        !redis_wait_up(redis, REDIS_WAIT_US) || !redis_run(redis, &batch, &error);
    if (!trace->redis_away)
        hash_take(trace, redis_reply(&batch, 0));
    redis_batch_free(&batch);
    redis_close(redis);
}

#define MS(column) "floor(extract(epoch from " column ") * 1000)::bigint"

static const char ledger_sql[] =
    "select user_id, project_id, value, previous, action, seq, variant, outcome, reason, "
    "       " MS("accepted_at") ", " MS(
        "committed_at") ", version, \"partition\", \"offset\" "
                        "  from vote.log where request_id = $1::uuid order by committed_at limit 1";

static int64_t column_int(PGresult *rows, int column)
{
    return strtoll(PQgetvalue(rows, 0, column), NULL, 10);
}

static void ledger_take(struct trace *trace, PGresult *rows)
{
    struct request *request = &trace->request;
    text_take(request->user_id, VOTE_ID_SIZE, PQgetvalue(rows, 0, 0));
    text_take(request->project_id, VOTE_ID_SIZE, PQgetvalue(rows, 0, 1));
    request->vote_type = (enum vote_type)column_int(rows, 2);
    request->previous = (enum vote_type)column_int(rows, 3);
    trace->is_known = vote_action_parse(PQgetvalue(rows, 0, 4), &request->action);
    request->seq = column_int(rows, 5);
    text_take(request->variant, sizeof request->variant, PQgetvalue(rows, 0, 6));
    trace->in_ledger = true;
    text_take(trace->outcome, STATE_SIZE, PQgetvalue(rows, 0, 7));
    text_take(trace->reason, TEXT_SIZE, PQgetvalue(rows, 0, 8));
    trace->accepted_ms = column_int(rows, 9);
    trace->committed_ms = column_int(rows, 10);
    trace->version = column_int(rows, 11);
    if (column_int(rows, 12) >= 0) { /* -1: applied without Kafka, and its place came later */
        trace->partition = (int32_t)column_int(rows, 12);
        trace->offset = column_int(rows, 13);
    }
}

static const char parked_sql[] = "select " MS("first_failed_at") ", attempts, " MS(
    "next_attempt_at") ", reason, "
                       "       \"partition\", \"offset\" from vote.parked where request_id = "
                       "$1::uuid limit 1";

static void parked_take(struct trace *trace, PGresult *rows)
{
    trace->is_parked = true;
    trace->parked_ms = column_int(rows, 0);
    trace->parked_attempts = column_int(rows, 1);
    trace->next_attempt_ms = column_int(rows, 2);
    text_take(trace->parked_reason, TEXT_SIZE, PQgetvalue(rows, 0, 3));
    trace->partition = (int32_t)column_int(rows, 4);
    trace->offset = column_int(rows, 5);
}

static const char outbox_sql[] =
    "select " MS("created_at") ", value from vote.outbox "
                               " where topic = '" TOPIC_REQUESTS
                               "' and position($1 in value) > 0 order by id limit 1";

static void outbox_take(struct trace *trace, PGresult *rows)
{
    const char *value = PQgetvalue(rows, 0, 1);
    struct request request;
    trace->in_outbox = true;
    trace->outbox_ms = column_int(rows, 0);
    if (!trace->is_known && request_decode(&request, value, strlen(value), NULL)) {
        trace->request = request;
        trace->is_known = true;
    }
}

static const char row_sql[] = "select request_id from vote.votes "
                              " where project_id = $1 and user_id = $2";

static bool row_ask(struct trace *trace, struct error *error)
{
    const char *parameters[] = {trace->request.project_id, trace->request.user_id};
    PGresult *rows = pg_query(&trace->pg, row_sql, 2, parameters, error);
    trace->has_row = rows && PQntuples(rows) > 0;
    if (trace->has_row)
        text_take(trace->row_request_id, REQUEST_ID_SIZE, PQgetvalue(rows, 0, 0));
    trace->row_is_ours = trace->has_row && !strcmp(trace->row_request_id, trace->request_id);
    PQclear(rows);
    return rows != NULL;
}

/* Asks for at most one row by the request's id. */
static bool place_ask(struct trace *trace, const char *sql,
                      void (*take)(struct trace *trace, PGresult *rows), struct error *error)
{
    const char *parameters[] = {trace->request_id};
    PGresult *rows = pg_query(&trace->pg, sql, 1, parameters, error);
    if (rows && PQntuples(rows))
        take(trace, rows);
    PQclear(rows);
    return rows != NULL;
}

bool trace_ask_postgres(struct trace *trace, struct error *error)
{
    return place_ask(trace, ledger_sql, ledger_take, error) &&
           place_ask(trace, parked_sql, parked_take, error) &&
           place_ask(trace, outbox_sql, outbox_take, error) && row_ask(trace, error);
}

bool trace_ask_progress(struct trace *trace, struct error *error)
{
    char partition[16];
    const char *parameters[] = {partition};
    int32_t at = trace->logged.found ? trace->logged.partition : trace->partition;
    if (at < 0)
        return true;
    snprintf(partition, sizeof partition, "%d", (int)at);
    PGresult *rows = pg_query(&trace->pg,
                              "select next_offset from vote.progress "
                              " where topic = '" TOPIC_REQUESTS "' and \"partition\" = $1",
                              1, parameters, error);
    if (rows)
        trace->next_offset = PQntuples(rows) ? column_int(rows, 0) : 0;
    PQclear(rows);
    return rows != NULL;
}
