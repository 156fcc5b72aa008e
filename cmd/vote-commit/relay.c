/* relay.c - votes that were applied while Kafka was away: their events go from vote.outbox into
 * vote.requests, in order, so that the log is complete. There they are found applied, and
 * announced.
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
static const char read_sql[] = "select id, key, value, headers->>'traceparent' from vote.outbox "
                               " order by id limit 500";
static const char unlock_sql[] = "select pg_advisory_unlock(hashtext('vote.outbox'))";

static void relay_unlock(struct commit *commit)
{
    struct error error;
    PQclear(pg_query(&commit->side_pg, unlock_sql, 0, NULL, &error));
    buf_clear(&commit->relay.ids);
    commit->relay.running = false;
}

/* A row that is no request can only be there by a hand that wrote it: it is reported and kept. */
static bool relay_send(struct commit *commit, PGresult *rows, int row)
{
    struct request request;
    struct error error;
    char traceparent[TRACEPARENT_SIZE];
    const char *value = PQgetvalue(rows, row, 2);
    if (!request_decode(&request, value, strlen(value), &error)) {
        log_error(commit->log, LOG_ERROR, "vote.outbox holds a row that is no request", &error);
        return false;
    }
    traceparent_continue(PQgetvalue(rows, row, 3), traceparent);
    rd_kafka_headers_t *headers =
        kafka_event_headers("vote.requested.v1", "/vote-ingest", request.request_id,
                            request.accepted_at_ms, traceparent);
    return !kafka_send(commit->producer, TOPIC_REQUESTS, PQgetvalue(rows, row, 1), value,
                       strlen(value), headers, &commit->relay.acks);
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
                  LOG_INT("votes", strtoll(PQcmdTuples(rows), NULL, 10)));
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
