/* relay.c - what waits in vote.outbox goes to its topic, in order. Votes that were applied while
 * Kafka was away go into vote.requests, so that the log is complete; there they are found applied,
 * and announced. What moved because somebody was forgotten goes into vote.results.
 *
 * One process at a time relays, by an advisory lock. A crash between Kafka's acknowledgement and
 * the deletion relays again, which changes nothing. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 500 * 1000 };

static const char lock_sql[] = "select pg_try_advisory_lock(hashtext('vote.outbox')) "
                               " where exists (select from vote.outbox)";
static const char read_sql[] = "select id, key, value, headers->>'traceparent', topic, "
                               "       headers->>'ce_type' "
                               "  from vote.outbox order by id limit 500";
static const char unlock_sql[] = "select pg_advisory_unlock(hashtext('vote.outbox'))";

static void relay_unlock(struct commit *commit)
{
    struct error error;
    acks_end_spans(commit, &commit->relay.acks, true);
    PQclear(pg_query(&commit->side_pg, unlock_sql, 0, NULL, &error));
    buf_clear(&commit->relay.ids);
    commit->relay.running = false;
}

/* An event of vote.outbox: what it is, and when it happened. */
struct relayed {
    const char *topic, *type, *source;
    struct request request;
    int64_t time_ms;
};

static bool relayed_read(struct relayed *relayed, PGresult *rows, int row, struct error *error)
{
    struct result result;
    const char *value = PQgetvalue(rows, row, 2);
    if (!strcmp(PQgetvalue(rows, row, 4), TOPIC_RESULTS)) {
        *relayed = (struct relayed){
            .topic = TOPIC_RESULTS, .type = PQgetvalue(rows, row, 5), .source = "/vote-commit"};
        bool decoded =
            result_decode(&result, &relayed->request, relayed->type, value, strlen(value), error);
        relayed->time_ms = decoded ? result.committed_at_ms : 0;
        return decoded;
    }
    *relayed = (struct relayed){
        .topic = TOPIC_REQUESTS, .type = "vote.requested.v1", .source = "/vote-ingest"};
    bool decoded = request_decode(&relayed->request, value, strlen(value), error);
    relayed->time_ms = relayed->request.accepted_at_ms;
    return decoded;
}

/* A row that is no event can only be there by a hand that wrote it: it is reported and kept. */
static bool relay_send(struct commit *commit, PGresult *rows, int row)
{
    struct relayed relayed;
    struct error error;
    struct trace_context parent;
    struct span span;
    char traceparent[TRACEPARENT_SIZE];
    const char *value = PQgetvalue(rows, row, 2);
    if (!relayed_read(&relayed, rows, row, &error)) {
        log_error(commit->log, LOG_ERROR, "vote.outbox holds a row that is no event", &error);
        return false;
    }
    bool is_known = trace_context_parse(&parent, PQgetvalue(rows, row, 3));
    send_span_begin(commit, &span, relayed.topic, is_known ? &parent : NULL,
                    relayed.request.request_id);
    trace_context_format(&span.context, traceparent);
    rd_kafka_headers_t *headers = kafka_event_headers(
        relayed.type, relayed.source, relayed.request.request_id, relayed.time_ms, traceparent);
    rd_kafka_resp_err_t code = kafka_send(commit->producer, relayed.topic, PQgetvalue(rows, row, 1),
                                          value, strlen(value), headers, &commit->relay.acks);
    if (code)
        span_fail(&span);
    span_end_with(commit, &span, code ? NULL : &commit->relay.acks);
    return !code;
}

static void relay_start(struct commit *commit)
{
    struct relay *relay = &commit->relay;
    struct error error;
    PGresult *rows = pg_query(&commit->side_pg, lock_sql, 0, NULL, &error);
    bool locked = rows && PQntuples(rows) && *PQgetvalue(rows, 0, 0) == 't';
    PQclear(rows);
    if (!locked)
        return;
    relay->running = true;
    relay->acks.waiting = 0;
    rows = pg_query(&commit->side_pg, read_sql, 0, NULL, &error);
    for (int row = 0; rows && row < PQntuples(rows) && relay_send(commit, rows, row); row++) {
        relay->acks.waiting++;
        pg_array_int(&relay->ids, strtoll(PQgetvalue(rows, row, 0), NULL, 10));
    }
    PQclear(rows);
    if (relay->acks.waiting == 0)
        relay_unlock(commit);
}

/* All of them are in Kafka. */
static void relay_finish(struct commit *commit)
{
    struct error error;
    const char *parameters[] = {pg_array_end(&commit->relay.ids)};
    PGresult *rows = pg_query(&commit->side_pg, "delete from vote.outbox where id = any ($1)", 1,
                              parameters, &error);
    if (rows)
        LOG_EVENT(commit->log, LOG_INFO, "outbox relayed",
                  LOG_INT("events", strtoll(PQcmdTuples(rows), NULL, 10)));
    else
        log_error(commit->log, LOG_WARN, "outbox will be relayed again", &error);
    PQclear(rows);
    relay_unlock(commit);
}

void relay_turn(struct commit *commit)
{
    struct relay *relay = &commit->relay;
    int64_t now_us = clock_mono_us();
    if (relay->running && relay->acks.waiting == 0)
        relay_finish(commit);
    if (relay->running || now_us < relay->next_us)
        return;
    relay->next_us = now_us + LOOK_US;
    relay_start(commit);
    if (relay->running)
        relay->next_us = now_us; /* there may be more behind these */
}
