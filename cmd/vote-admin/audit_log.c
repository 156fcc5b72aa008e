/* audit_log.c - brings what was applied of vote.requests into a temporary table, so that sets are
 * compared where sets belong. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"

#include "base/clock.h"
#include "base/meter.h"
#include "base/units.h"
#include "vote/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, COPY_BYTES = 256 * 1024 };

/* Of a partition: the log has [low, high), and what is before `next` was applied. */
struct extent {
    int64_t low, high, next;
    bool waits; /* there is a record that was not: what ends a transaction takes offsets, too */
};

static const char tables_sql[] =
    "create temporary table audit_range (\"partition\" integer, low bigint, next bigint); "
    "create temporary table audit_log (\"partition\" integer, record bigint, project_id text, "
    "    user_id text, value smallint, previous smallint, action text, seq bigint, "
    "request_id uuid, accepted_at timestamptz, variant text)";

static const char progress_sql[] =
    "select \"partition\", next_offset from vote.progress where topic = '" TOPIC_REQUESTS "'";

/* Says what is wrong with a partition's progress, if anything. */
static void extent_report(struct audit *audit, int32_t partition, const struct extent *extent)
{
    bool beyond = extent->next > extent->high, removed = extent->next < extent->low;
    if (beyond)
        printf("partition %d: applied to offset %lld, but the log ends at %lld\n", (int)partition,
               (long long)extent->next, (long long)extent->high);
    if (removed)
        printf("partition %d: applied to offset %lld, but the log starts at %lld: %lld records "
               "were removed unread\n",
               (int)partition, (long long)extent->next, (long long)extent->low,
               (long long)(extent->low - extent->next));
    audit->differences += beyond + removed;
    audit->misplaced += beyond + removed;
}

static void waiting_report(const struct extent *extents, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const struct extent *extent = &extents[i];
        int64_t next = extent->next > extent->low ? extent->next : extent->low;
        if (extent->waits)
            printf("partition %d: %lld records wait to be applied\n", (int)i,
                   (long long)(extent->high - next));
    }
}

/* Reads the snapshot's progress into `extents`. */
static bool progress_read(struct audit *audit, struct extent *extents, int32_t count,
                          struct error *error)
{
    PGresult *rows = pg_query(&audit->pg, progress_sql, 0, NULL, error);
    if (!rows)
        return false;
    for (int i = 0; i < PQntuples(rows); i++) {
        int64_t partition, next;
        if (!units_parse_int(PQgetvalue(rows, i, 0), &partition) ||
            !units_parse_int(PQgetvalue(rows, i, 1), &next))
            abort();
        if (partition < count) {
            extents[partition].next = next;
            continue;
        }
        printf("partition %lld: applied to offset %lld, but the topic has %d partitions\n",
               (long long)partition, (long long)next, (int)count);
        audit->differences++;
        audit->misplaced++;
    }
    PQclear(rows);
    return true;
}

static bool range_note(struct audit *audit, int32_t partition, const struct extent *extent,
                       struct error *error)
{
    char sql[160];
    snprintf(sql, sizeof sql, "insert into audit_range values (%d, %lld, %lld)", (int)partition,
             (long long)extent->low, (long long)extent->next);
    return audit_execute(audit, sql, error);
}

/* The snapshot is taken before the log's ends are asked for: so nothing of it lies beyond them. */
static bool ranges_choose(struct audit *audit, struct extent *extents, int32_t count,
                          struct error *error)
{
    if (!progress_read(audit, extents, count, error))
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct extent *extent = &extents[i];
        if (!reader_watermarks(&audit->reader, i, &extent->low, &extent->high, error) ||
            !range_note(audit, i, extent, error))
            return false;
        extent_report(audit, i, extent);
        reader_add(&audit->reader, i, extent->low, extent->high);
    }
    return true;
}

static bool copy_put(struct audit *audit, struct buf *rows, struct error *error)
{
    bool put = PQputCopyData(audit->pg.connection, rows->data, (int)rows->size) == 1;
    buf_clear(rows);
    return put || error_set(error, ERROR_UNAVAILABLE, "postgres: the connection was lost");
}

/* Ends the COPY; with `broken` so that nothing of it stays. */
static bool copy_end(struct audit *audit, const char *broken, struct error *error)
{
    PGresult *result;
    bool fine = PQputCopyEnd(audit->pg.connection, broken) == 1;
    while ((result = PQgetResult(audit->pg.connection))) {
        fine = fine && PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    return fine || error_set(error, ERROR_UNAVAILABLE, "postgres: %s",
                             PQerrorMessage(audit->pg.connection));
}

/* Text of a column in COPY's format. */
static void column_put(struct buf *rows, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '\t' || *text == '\n' || *text == '\r')
            buf_char(rows, '\\');
        buf_char(rows, *text);
    }
}

/* Postgres has no year 0: such a request cannot be in the ledger. */
static void accepted_put(struct buf *rows, int64_t accepted_at_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(accepted_at_ms, text);
    buf_text(rows, strncmp(text, "0000", 4) ? text : "-infinity");
}

static void record_put(struct audit *audit, const rd_kafka_message_t *record, struct buf *rows)
{
    struct request request;
    audit->records++;
    if (!request_decode(&request, record->payload, record->len, NULL)) {
        if (kafka_header_is(record, "ce_type", EVENT_FORGOTTEN))
            audit->forgotten++;
        else
            audit->undecodable++;
        return;
    }
    buf_format(rows, "%d\t%lld\t%s\t%s\t%d\t%d\t%s\t%lld\t%s\t", (int)record->partition,
               (long long)record->offset, request.project_id, request.user_id,
               (int)request.vote_type, (int)request.previous, vote_action_name(request.action),
               (long long)request.seq, request.request_id);
    accepted_put(rows, request.accepted_at_ms);
    buf_char(rows, '\t');
    if (request.variant[0])
        column_put(rows, request.variant);
    else
        buf_text(rows, "\\N");
    buf_char(rows, '\n');
}

/* Of what was not applied the first record is enough to know that there is some. */
static void record_take(struct audit *audit, const rd_kafka_message_t *record,
                        struct extent *extents, struct buf *rows)
{
    struct extent *extent = &extents[record->partition];
    if (record->offset < extent->next) {
        record_put(audit, record, rows);
    } else {
        extent->waits = true;
        reader_leave(&audit->reader, record->partition);
    }
}

static bool log_copy(struct audit *audit, struct extent *extents, int64_t total,
                     struct error *error)
{
    struct buf rows = {0};
    struct meter meter;
    rd_kafka_message_t *record;
    enum reader_event event = READER_IDLE;
    bool fine = true;
    meter_start(&meter, "vote-admin", "records of the log", total);
    reader_start(&audit->reader);
    while (fine && event != READER_DONE) {
        event = reader_next(&audit->reader, POLL_MS, &record, error);
        fine = event != READER_FAILED;
        if (event == READER_RECORD) {
            record_take(audit, record, extents, &rows);
            rd_kafka_message_destroy(record);
        }
        meter_turn(&meter, audit->records);
        if (fine && (rows.size > COPY_BYTES || (event == READER_DONE && rows.size)))
            fine = copy_put(audit, &rows, error);
    }
    meter_clear(&meter);
    buf_free(&rows);
    return fine;
}

/* How many records there may be at most: offsets without one count, too. */
static int64_t extents_size(const struct extent *extents, int32_t count)
{
    int64_t size = 0;
    for (int32_t i = 0; i < count; i++)
        size += extents[i].next > extents[i].low ? extents[i].next - extents[i].low : 0;
    return size;
}

bool audit_load_log(struct audit *audit, struct error *error)
{
    int32_t count;
    if (!reader_partitions(&audit->reader, &count, error))
        return false;
    struct extent *extents = calloc((size_t)count, sizeof *extents);
    if (!extents)
        abort();
    bool fine = audit_execute(audit, tables_sql, error) &&
                ranges_choose(audit, extents, count, error) &&
                audit_execute(audit, "copy audit_log from stdin", error);
    if (!fine) {
        free(extents);
        return false;
    }
    bool copied = log_copy(audit, extents, extents_size(extents, count), error);
    if (copied)
        waiting_report(extents, count);
    free(extents);
    const char *broken = copied ? NULL : "the log could not be read";
    bool ended = copy_end(audit, broken, copied ? error : NULL);
    return copied && ended && audit_execute(audit, "analyze audit_log", error);
}
