/* park.c - what Postgres refuses for good waits in vote.parked and is tried again by itself, while
 * the votes behind it go on. After the last of --retry-delays it goes to vote.dead.
 *
 * A row goes when Kafka has acknowledged what became of it. A crash before that finds the outcome
 * in the ledger and announces it again; a record may then be in vote.dead twice.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 1000 * 1000, SOON_US = 20 * 1000, AT_ONCE = 100, NUMBER_SIZE = 24 };

/* One row of vote.parked. */
struct parked_row {
    struct record record;
    struct request request;
    int attempts;
    int64_t first_failed_ms;
    char sqlstate[6];
    char reason[REASON_SIZE];
};

bool park_open(struct commit *commit, struct error *error)
{
    struct parked *parked = &commit->parked;
    char text[256], *rest = text, *word;
    if (strlen(commit->config->retry_delays) >= sizeof text)
        return error_set(error, ERROR_USAGE, "--retry-delays is too long");
    snprintf(text, sizeof text, "%s", commit->config->retry_delays);
    while ((word = strsep(&rest, ","))) {
        if (parked->delay_count == RETRY_DELAYS_MAX ||
            !units_parse_duration_us(word, &parked->delays_us[parked->delay_count]))
            return error_set(error, ERROR_USAGE,
                             "--retry-delays \"%s\" is no list of up to %d durations (5s,10s,20s)",
                             commit->config->retry_delays, RETRY_DELAYS_MAX);
        parked->delay_count++;
    }
    return true;
}

/* Names what refused, never what was refused. */
static void reason_make(const struct pg *pg, char reason[REASON_SIZE])
{
    snprintf(reason, REASON_SIZE, "refused by %.64s (SQLSTATE %s)",
             pg->refused_by[0] ? pg->refused_by : "postgres", pg->sqlstate);
}

static void headers_encode(const rd_kafka_headers_t *headers, struct buf *names, struct buf *values)
{
    const char *name;
    const void *value;
    size_t size;
    struct buf text = {0};
    for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
        buf_clear(&text);
        pg_bytea(&text, name, strlen(name));
        pg_array_text(names, text.data);
        buf_clear(&text);
        pg_bytea(&text, value, value ? size : 0);
        pg_array_text(values, value ? text.data : NULL);
    }
    buf_free(&text);
    pg_array_end(names);
    pg_array_end(values);
}

static const char park_sql[] =
    "select vote.park($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

enum apply park_entry(struct commit *commit, const struct entry *entry, struct error *error)
{
    struct record record = record_of_message(entry->message);
    struct position *position = &commit->positions[record.partition];
    struct buf key = {0}, value = {0}, names = {0}, values = {0};
    char numbers[5][NUMBER_SIZE], reason[REASON_SIZE], sqlstate[6];
    const int64_t numeric[] = {record.partition, record.offset, position->next_offset,
                               position->announced_offset, commit->parked.delays_us[0] / 1000};
    reason_make(&commit->pg, reason);
    memcpy(sqlstate, commit->pg.sqlstate, sizeof sqlstate);
    for (int i = 0; i < 5; i++)
        snprintf(numbers[i], NUMBER_SIZE, "%" PRId64, numeric[i]);
    pg_bytea(&key, record.key, record.key_size);
    pg_bytea(&value, record.value, record.value_size);
    headers_encode(record.headers, &names, &values);
    const char *parameters[] = {TOPIC_REQUESTS,
                                numbers[0],
                                numbers[1],
                                numbers[2],
                                numbers[3],
                                commit->owner,
                                record.key ? key.data : NULL,
                                record.value ? value.data : NULL,
                                names.data,
                                values.data,
                                entry->request.request_id,
                                numbers[4],
                                sqlstate,
                                reason};
    PGresult *parked = pg_query(&commit->side_pg, park_sql, 14, parameters, error);
    buf_free(&key), buf_free(&value), buf_free(&names), buf_free(&values);
    if (!parked)
        return apply_failure(commit, &commit->side_pg);
    PQclear(parked);
    if (record.offset + 1 > position->next_offset)
        position->next_offset = record.offset + 1;
    metric_add(commit->metrics.parked, 1);
    LOG_EVENT(commit->log, LOG_WARN, "parked", LOG_STR("request_id", entry->request.request_id),
              LOG_INT("partition", record.partition), LOG_INT("offset", record.offset),
              LOG_STR("reason", reason));
    return APPLY_DONE;
}

/* Bytes of a column; the caller frees them with PQfreemem. */
static void *bytes_read(PGresult *rows, int row, int column, size_t *size)
{
    *size = 0;
    if (PQgetisnull(rows, row, column))
        return NULL;
    void *bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, column), size);
    if (!bytes)
        abort();
    return bytes;
}

/* One name and value for each row of header_sql. */
static rd_kafka_headers_t *headers_read(struct commit *commit, const char *partition,
                                        const char *offset, struct error *error)
{
    static const char header_sql[] =
        "select h.name, h.value from vote.parked, unnest(header_names, header_values) "
        "  with ordinality as h (name, value, ord) "
        " where topic = $1 and \"partition\" = $2 and \"offset\" = $3 order by h.ord";
    const char *parameters[] = {TOPIC_REQUESTS, partition, offset};
    PGresult *rows = pg_query(&commit->side_pg, header_sql, 3, parameters, error);
    if (!rows)
        return NULL;
    rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)PQntuples(rows) + 20);
    for (int row = 0; row < PQntuples(rows); row++) {
        size_t name_size, size;
        char *name = bytes_read(rows, row, 0, &name_size);
        void *value = bytes_read(rows, row, 1, &size);
        rd_kafka_header_add(headers, name, (ssize_t)name_size, value, (ssize_t)size);
        PQfreemem(name);
        PQfreemem(value);
    }
    PQclear(rows);
    return headers;
}

static bool row_read(struct commit *commit, PGresult *rows, int at, struct parked_row *row,
                     struct error *error)
{
    struct record *record = &row->record;
    *row = (struct parked_row){0};
    record->headers = headers_read(commit, PQgetvalue(rows, at, 0), PQgetvalue(rows, at, 1), error);
    if (!record->headers)
        return false;
    record->partition = (int32_t)strtol(PQgetvalue(rows, at, 0), NULL, 10);
    record->offset = strtoll(PQgetvalue(rows, at, 1), NULL, 10);
    record->key = bytes_read(rows, at, 2, &record->key_size);
    record->value = bytes_read(rows, at, 3, &record->value_size);
    row->attempts = (int)strtol(PQgetvalue(rows, at, 4), NULL, 10);
    row->first_failed_ms = strtoll(PQgetvalue(rows, at, 5), NULL, 10);
    snprintf(row->sqlstate, sizeof row->sqlstate, "%s", PQgetvalue(rows, at, 6));
    snprintf(row->reason, sizeof row->reason, "%s", PQgetvalue(rows, at, 7));
    return request_decode(&row->request, record->value, record->value_size, error);
}

static void row_free(struct parked_row *row)
{
    if (row->record.headers)
        rd_kafka_headers_destroy(row->record.headers);
    PQfreemem((void *)row->record.key);
    PQfreemem((void *)row->record.value);
}

/* What became of the row is known and in the ledger: it is told, and the row goes once Kafka has
 * it. */
static void row_conclude(struct commit *commit, const struct parked_row *row,
                         const struct result *result)
{
    struct parked *parked = &commit->parked;
    struct trace_context parent;
    bool is_known = kafka_trace_context(row->record.headers, &parent);
    struct death death = {.reason = DEAD_REFUSED,
                          .text = row->reason,
                          .sqlstate = row->sqlstate,
                          .attempts = row->attempts,
                          .first_failed_ms = row->first_failed_ms};
    if (result->outcome == OUTCOME_FAILED &&
        !dead_letter(commit, &row->record, &death, &parked->acks))
        return;
    announce_result(commit, result, is_known ? &parent : NULL, &parked->acks);
    settle_result(commit, &row->record, result);
    pg_array_int(&parked->partitions, row->record.partition);
    pg_array_int(&parked->offsets, row->record.offset);
    parked->running = true;
}

static bool row_postpone(struct commit *commit, const struct parked_row *row, int64_t delay_us,
                         struct error *error)
{
    char numbers[4][NUMBER_SIZE];
    const int64_t values[] = {row->record.partition, row->record.offset, row->attempts,
                              delay_us / 1000};
    for (int i = 0; i < 4; i++)
        snprintf(numbers[i], NUMBER_SIZE, "%" PRId64, values[i]);
    const char *parameters[] = {TOPIC_REQUESTS, numbers[0],    numbers[1], numbers[2],
                                numbers[3],     row->sqlstate, row->reason};
    PGresult *postponed = pg_query(
        &commit->side_pg,
        "update vote.parked set attempts = $4, sqlstate = $6, reason = $7, "
        "       next_attempt_at = clock_timestamp() + $5::bigint * interval '1 millisecond' "
        " where topic = $1 and \"partition\" = $2 and \"offset\" = $3",
        7, parameters, error);
    PQclear(postponed);
    return postponed != NULL;
}

/* The tries are over: the ledger says that it failed. */
static bool row_give_up(struct commit *commit, struct parked_row *row, struct error *error)
{
    struct result result;
    if (apply_fail(commit, &row->record, &row->request, row->reason, &result, error) == APPLY_DONE)
        row_conclude(commit, row, &result);
    else
        return row_postpone(commit, row, commit->parked.delays_us[commit->parked.delay_count - 1],
                            error);
    return true;
}

static bool row_refused(struct commit *commit, struct parked_row *row, struct error *error)
{
    const struct parked *parked = &commit->parked;
    reason_make(&commit->side_pg, row->reason);
    memcpy(row->sqlstate, commit->side_pg.sqlstate, sizeof row->sqlstate);
    row->attempts++;
    if (row->attempts > parked->delay_count)
        return row_give_up(commit, row, error);
    return row_postpone(commit, row, parked->delays_us[row->attempts - 1], error);
}

/* False when Postgres is away: then the others can wait, too. */
static bool row_try(struct commit *commit, struct parked_row *row, struct error *error)
{
    struct result result;
    switch (apply_again(commit, &row->record, &row->request, &result, error)) {
    case APPLY_DONE: row_conclude(commit, row, &result); return true;
    case APPLY_REFUSED: return row_refused(commit, row, error);
    case APPLY_RETRY:
    case APPLY_FENCED: break;
    }
    return false;
}

/* Those of our partitions that are due; the last column is how long the next one has to wait. */
static const char due_sql[] =
    "select \"partition\", \"offset\", key, value, attempts, "
    "       (extract(epoch from first_failed_at) * 1000)::bigint, sqlstate, reason, "
    "       (extract(epoch from next_attempt_at - clock_timestamp()) * 1000000)::bigint "
    "  from vote.parked where topic = $1 and \"partition\" = any ($2) "
    " order by next_attempt_at limit $3";

static PGresult *due_read(struct commit *commit, struct error *error)
{
    struct buf mine = {0};
    char limit[NUMBER_SIZE];
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        if (commit->positions[p].assigned)
            pg_array_int(&mine, p);
    }
    snprintf(limit, NUMBER_SIZE, "%d", AT_ONCE);
    const char *parameters[] = {TOPIC_REQUESTS, pg_array_end(&mine), limit};
    PGresult *rows = pg_query(&commit->side_pg, due_sql, 3, parameters, error);
    buf_free(&mine);
    return rows;
}

static void park_look(struct commit *commit)
{
    struct error error = {0};
    struct parked_row row;
    PGresult *rows = due_read(commit, &error);
    bool fine = rows != NULL;
    for (int at = 0; fine && at < PQntuples(rows); at++) {
        int64_t wait_us = strtoll(PQgetvalue(rows, at, 8), NULL, 10);
        if (wait_us > 0) {
            if (wait_us < LOOK_US)
                commit->parked.next_us = clock_mono_us() + wait_us;
            break;
        }
        fine = row_read(commit, rows, at, &row, &error) && row_try(commit, &row, &error);
        row_free(&row);
    }
    if (!fine)
        log_error(commit->log, LOG_WARN, "parked records wait", &error);
    PQclear(rows);
}

/* Kafka has all of it. */
static void park_finish(struct commit *commit)
{
    struct parked *parked = &commit->parked;
    struct error error;
    const char *parameters[] = {TOPIC_REQUESTS, pg_array_end(&parked->partitions),
                                pg_array_end(&parked->offsets)};
    PGresult *gone = pg_query(
        &commit->side_pg,
        "delete from vote.parked p using unnest($2::integer[], $3::bigint[]) as d (part, off) "
        " where p.topic = $1 and p.\"partition\" = d.part and p.\"offset\" = d.off",
        3, parameters, &error);
    if (!gone)
        log_error(commit->log, LOG_WARN, "parked records will be announced again", &error);
    PQclear(gone);
    acks_end_spans(commit, &parked->acks, true);
    buf_clear(&parked->partitions);
    buf_clear(&parked->offsets);
    parked->running = false;
}

void park_turn(struct commit *commit)
{
    struct parked *parked = &commit->parked;
    if (parked->running && parked->acks.waiting == 0)
        park_finish(commit);
    if (parked->running || clock_mono_us() < parked->next_us)
        return;
    parked->next_us = clock_mono_us() + LOOK_US;
    park_look(commit);
    if (parked->running)
        parked->next_us = clock_mono_us() + SOON_US; /* there may be more behind these */
}
