/* sync.c - Kafka is away: the vote is applied in Postgres by the function that vote-commit uses,
 * and its event waits in vote.outbox for vote-commit to relay it. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARAMETERS = 11, NUMBER_SIZE = 24 };

static const char sync_sql[] =
    "select upvotes, downvotes, version, outcome, "
    "       to_char(committed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') "
    "  from vote.apply_now($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/* What the relay sends as the record's headers beside those every event has. */
static void headers_encode(const struct span *span, struct buf *json)
{
    char traceparent[TRACEPARENT_SIZE];
    trace_context_format(&span->context, traceparent);
    buf_char(json, '{');
    buf_member_text(json, "traceparent", traceparent);
    buf_char(json, '}');
}

static PGresult *sync_query(struct pg *pg, const struct click *click, const struct span *span,
                            struct error *error)
{
    const struct request *request = &click->request;
    struct buf event = {0}, headers = {0};
    char value[NUMBER_SIZE], previous[NUMBER_SIZE], seq[NUMBER_SIZE], accepted_at[CLOCK_TEXT_SIZE];
    snprintf(value, NUMBER_SIZE, "%d", (int)request->vote_type);
    snprintf(previous, NUMBER_SIZE, "%d", (int)request->previous);
    snprintf(seq, NUMBER_SIZE, "%lld", (long long)request->seq);
    clock_format_ms(request->accepted_at_ms, accepted_at);
    request_encode(request, &event);
    headers_encode(span, &headers);
    const char *parameters[PARAMETERS] = {request->request_id,
                                          request->user_id,
                                          request->project_id,
                                          value,
                                          previous,
                                          vote_action_name(request->action),
                                          seq,
                                          accepted_at,
                                          request->variant[0] ? request->variant : NULL,
                                          event.data,
                                          headers.data};
    PGresult *rows = pg_query(pg, sync_sql, PARAMETERS, parameters, error);
    buf_free(&event);
    buf_free(&headers);
    return rows;
}

/* GET status is to show at once that the vote is committed. Its place in the log comes later. */
static void sync_record(struct ingest *ingest, struct click *click, PGresult *rows)
{
    char key[KEY_SIZE];
    struct error error;
    key_of_request(key, click->request.request_id);
    redis_add(&click->redis, key, "HSET %s state %s committed_at %s version %s", key,
              PQgetvalue(rows, 0, 3), PQgetvalue(rows, 0, 4), PQgetvalue(rows, 0, 2));
    if (!redis_run(ingest->redis, &click->redis, &error) && click->in_redis)
        log_error(ingest->log, LOG_WARN, "status not recorded", &error);
    redis_batch_clear(&click->redis);
}

bool sync_click(struct ingest *ingest, struct click *click, struct error *error)
{
    struct pg *pg = ingest_take_pg(ingest, error);
    if (!pg)
        return false;
    struct span span;
    span_begin(ingest->tracer, &span, "postgres apply", SPAN_CLIENT, &click->post.context,
               clock_mono_us());
    PGresult *rows = sync_query(pg, click, &span, error);
    ingest_give_pg(ingest, pg);
    span_text(&span, "db.system.name", "postgresql");
    if (!rows)
        span_fail(&span);
    span_end(ingest->tracer, &span, clock_mono_us());
    if (!rows)
        return false;
    metric_add(ingest->metrics.synchronous, 1);
    optimistic_record(ingest, click, NULL);
    optimistic_recorded(ingest, click);
    sync_record(ingest, click, rows);
    PQclear(rows);
    return true;
}
