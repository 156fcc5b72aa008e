/* lag_read.c - where each stage stands: vote-commit by vote.progress, since Kafka's committed
 * offset is only a hint there; vote-invalidate by its group. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/lag.h"

#include "base/clock.h"
#include "vote/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100 };

/* The group's committed offsets into `hint`; joins nothing. */
static bool hints_ask(struct lag *lag, const char *group, struct lag_row *rows, size_t count,
                      struct error *error)
{
    const char *pairs[] = {"client.id", "vote-admin", "group.id", group, NULL};
    rd_kafka_conf_t *conf = kafka_conf(&lag->config->kafka, pairs, NULL, error);
    rd_kafka_t *client = conf ? kafka_open(RD_KAFKA_CONSUMER, conf, lag->config->kafka.brokers,
                                           READER_TIMEOUT_MS, error)
                              : NULL;
    if (!client)
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, rows[i].topic, rows[i].partition);
    rd_kafka_resp_err_t code = rd_kafka_committed(client, list, READER_TIMEOUT_MS);
    for (int i = 0; !code && i < list->cnt; i++)
        rows[i].hint = list->elems[i].offset >= 0 ? list->elems[i].offset : -1;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return !code || error_set(error, ERROR_UNAVAILABLE, "kafka: group %s: %s", group,
                              rd_kafka_err2str(code));
}

static bool rows_add(struct lag *lag, struct reader *reader, const char *stage, struct error *error)
{
    int32_t count;
    if (!reader_partitions(reader, &count, error))
        return false;
    lag->rows = reallocarray(lag->rows, lag->row_count + (size_t)count, sizeof *lag->rows);
    if (!lag->rows)
        abort();
    for (int32_t p = 0; p < count; p++) {
        struct lag_row *row = &lag->rows[lag->row_count++];
        *row = (struct lag_row){.stage = stage, .topic = reader->topic, .partition = p};
        row->next = row->hint = row->oldest_ms = -1;
        if (!reader_watermarks(reader, p, &row->low, &row->end, error))
            return false;
    }
    return true;
}

/* When the first record was made that waits in each partition: that one is read. Where there is
 * none, nothing waits: what ends a transaction takes offsets, too. */
static bool ages_read(struct reader *reader, struct lag_row *rows, size_t count,
                      struct error *error)
{
    rd_kafka_message_t *record;
    enum reader_event event = READER_IDLE;
    for (size_t i = 0; i < count; i++) {
        int64_t next = rows[i].next > rows[i].low ? rows[i].next : rows[i].low;
        if (lag_records(&rows[i]) > 0 && next < rows[i].end)
            reader_add(reader, rows[i].partition, next, rows[i].end);
    }
    reader_start(reader);
    while (event != READER_DONE && event != READER_FAILED) {
        event = reader_next(reader, POLL_MS, &record, error);
        if (event != READER_RECORD)
            continue;
        rows[record->partition].oldest_ms = rd_kafka_message_timestamp(record, NULL);
        reader_leave(reader, record->partition);
        rd_kafka_message_destroy(record);
    }
    for (size_t i = 0; event == READER_DONE && i < count; i++) {
        if (lag_records(&rows[i]) > 0 && rows[i].oldest_ms < 0)
            rows[i].next = rows[i].end;
    }
    return event == READER_DONE;
}

static bool progress_read(struct lag *lag, struct lag_row *rows, size_t count, struct error *error)
{
    PGresult *found = pg_query(&lag->pg,
                               "select \"partition\", next_offset from vote.progress "
                               " where topic = '" TOPIC_REQUESTS "'",
                               0, NULL, error);
    if (!found)
        return false;
    for (size_t i = 0; i < count; i++)
        rows[i].next = 0;
    for (int i = 0; i < PQntuples(found); i++) {
        size_t partition = (size_t)strtoll(PQgetvalue(found, i, 0), NULL, 10);
        if (partition < count)
            rows[partition].next = strtoll(PQgetvalue(found, i, 1), NULL, 10);
    }
    PQclear(found);
    return true;
}

static bool commit_read(struct lag *lag, struct reader *reader, struct error *error)
{
    size_t first = lag->row_count;
    if (!rows_add(lag, reader, "vote-commit", error))
        return false;
    struct lag_row *rows = lag->rows + first;
    size_t count = lag->row_count - first;
    return hints_ask(lag, lag->config->group, rows, count, error) &&
           progress_read(lag, rows, count, error) && ages_read(reader, rows, count, error);
}

static bool invalidate_read(struct lag *lag, struct reader *reader, struct error *error)
{
    size_t first = lag->row_count;
    if (!rows_add(lag, reader, "vote-invalidate", error))
        return false;
    struct lag_row *rows = lag->rows + first;
    size_t count = lag->row_count - first;
    if (!hints_ask(lag, lag->config->invalidate_group, rows, count, error))
        return false;
    for (size_t i = 0; i < count; i++)
        rows[i].next = rows[i].hint;
    return ages_read(reader, rows, count, error);
}

static bool dead_read(struct lag *lag, struct reader *reader, struct error *error)
{
    int32_t count;
    int64_t low, high;
    bool fine = reader_partitions(reader, &count, error);
    for (int32_t p = 0; fine && p < count; p++) {
        fine = reader_watermarks(reader, p, &low, &high, error);
        lag->dead += fine ? high - low : 0;
    }
    return fine;
}

/* One topic after the other, each with a reader of its own. */
static bool topics_read(struct lag *lag, struct error *error)
{
    static const struct {
        const char *topic;
        bool (*read)(struct lag *lag, struct reader *reader, struct error *error);
    } topics[] = {
        {TOPIC_REQUESTS, commit_read}, {TOPIC_RESULTS, invalidate_read}, {TOPIC_DEAD, dead_read}};
    bool fine = true;
    for (size_t i = 0; fine && i < sizeof topics / sizeof *topics; i++) {
        struct reader reader;
        fine = reader_open(&reader, &lag->config->kafka, "vote-admin", topics[i].topic, error) &&
               topics[i].read(lag, &reader, error);
        reader_close(&reader);
    }
    return fine;
}

static bool tables_read(struct lag *lag, struct error *error)
{
    static const char sql[] =
        "select (select count(*) from vote.outbox), "
        "       (select coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0) "
        "          from vote.outbox), "
        "       (select count(*) from vote.parked), "
        "       (select coalesce(extract(epoch from clock_timestamp() - min(first_failed_at)), 0) "
        "          from vote.parked)";
    PGresult *found = pg_query(&lag->pg, sql, 0, NULL, error);
    if (!found)
        return false;
    lag->outbox = (struct lag_table){strtoll(PQgetvalue(found, 0, 0), NULL, 10),
                                     strtod(PQgetvalue(found, 0, 1), NULL)};
    lag->parked = (struct lag_table){strtoll(PQgetvalue(found, 0, 2), NULL, 10),
                                     strtod(PQgetvalue(found, 0, 3), NULL)};
    PQclear(found);
    return true;
}

bool lag_read(struct lag *lag, struct error *error)
{
    bool fine = topics_read(lag, error) && tables_read(lag, error);
    lag->now_ms = clock_wall_ms();
    return fine;
}

void lag_free(struct lag *lag)
{
    free(lag->rows);
    pg_close(&lag->pg);
}
