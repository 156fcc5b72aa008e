/* trace_topics.c - finds a request's records without reading the topics: the ledger or Redis know a
 * place, the project's key gives the partition, and the time bounds the rest.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, CLOCKS_APART_MS = 5000, US_PER_MS = 1000 };

/* Ours by the event's id, or, where headers were lost, by the body. */
static bool record_is_ours(const struct trace *trace, const rd_kafka_message_t *record)
{
    return kafka_header_is(record, "ce_id", trace->request_id) ||
           (record->payload &&
            memmem(record->payload, record->len, trace->request_id, REQUEST_ID_SIZE - 1));
}

static void record_take(struct trace *trace, const rd_kafka_message_t *record,
                        struct trace_record *to)
{
    struct request request;
    to->found = true;
    to->partition = record->partition;
    to->offset = record->offset;
    to->time_ms = rd_kafka_message_timestamp(record, NULL);
    if (!kafka_header_text(record, "ce_type", to->type, sizeof to->type))
        to->type[0] = '\0';
    if (!kafka_header_text(record, "__dlq.errors.message", to->reason, sizeof to->reason))
        to->reason[0] = '\0';
    if (!trace->is_known && request_decode(&request, record->payload, record->len, NULL)) {
        trace->request = request;
        trace->is_known = true;
        if (!trace->accepted_ms)
            trace->accepted_ms = request.accepted_at_ms;
    }
}

/* Reads the ranges until the record is found. */
static bool ranges_search(struct trace *trace, struct reader *reader, struct trace_record *to,
                          struct error *error)
{
    rd_kafka_message_t *record;
    enum reader_event event = READER_IDLE;
    reader_start(reader);
    while (!to->found && event != READER_DONE && event != READER_FAILED) {
        event = reader_next(reader, POLL_MS, &record, error);
        if (event != READER_RECORD)
            continue;
        if (record_is_ours(trace, record))
            record_take(trace, record, to);
        rd_kafka_message_destroy(record);
    }
    return event != READER_FAILED;
}

/* A partition's part between two times; the first record's time tells whether it reaches back. */
static bool range_add(struct reader *reader, int32_t partition, int64_t from_ms, int64_t to_ms,
                      struct trace_record *to, struct error *error)
{
    int64_t low, high, from, end;
    if (!reader_watermarks(reader, partition, &low, &high, error) ||
        !reader_offset_at(reader, partition, from_ms, &from, error) ||
        !reader_offset_at(reader, partition, to_ms, &end, error))
        return false;
    if (from >= 0)
        reader_add(reader, partition, from, end >= 0 ? end : high);
    to->is_out_of_reach = to->is_out_of_reach || (low > 0 && (from < 0 || from == low));
    return true;
}

/* Where the key of the request's project goes; every partition when the project is not known. */
static bool ranges_add(struct trace *trace, struct reader *reader, int64_t from_ms, int64_t to_ms,
                       struct trace_record *to, struct error *error)
{
    const char *project = trace->request.project_id;
    int32_t count;
    if (!reader_partitions(reader, &count, error))
        return false;
    int32_t ours =
        rd_kafka_msg_partitioner_murmur2(NULL, project, strlen(project), count, NULL, NULL);
    for (int32_t p = 0; p < count; p++) {
        if ((!*project || p == ours) && !range_add(reader, p, from_ms, to_ms, to, error))
            return false;
    }
    return true;
}

static bool topic_search(struct trace *trace, const char *topic, struct trace_record *to,
                         struct error *error)
{
    struct reader reader;
    int64_t last_ms =
        trace->committed_ms > trace->accepted_ms ? trace->committed_ms : trace->accepted_ms;
    if (!trace->accepted_ms)
        return true;
    bool fine = reader_open(&reader, &trace->config->kafka, "vote-admin", topic, error) &&
                ranges_add(trace, &reader, trace->accepted_ms - CLOCKS_APART_MS,
                           last_ms + trace->config->window_us / US_PER_MS, to, error) &&
                ranges_search(trace, &reader, to, error);
    reader_close(&reader);
    return fine;
}

/* The one record whose place is known; another request there means a topic that was made anew. */
static bool place_look(struct trace *trace, struct error *error)
{
    struct reader reader;
    int32_t count;
    int64_t low = 0, high = 0;
    if (trace->partition < 0)
        return true;
    bool fine = reader_open(&reader, &trace->config->kafka, "vote-admin", TOPIC_REQUESTS, error) &&
                reader_partitions(&reader, &count, error) &&
                (trace->partition >= count ||
                 reader_watermarks(&reader, trace->partition, &low, &high, error));
    trace->logged.is_out_of_reach = fine && trace->offset < low;
    if (fine && trace->offset >= low && trace->offset < high) {
        reader_add(&reader, trace->partition, trace->offset, trace->offset + 1);
        fine = ranges_search(trace, &reader, &trace->logged, error);
    }
    reader_close(&reader);
    return fine;
}

bool trace_ask_topics(struct trace *trace, struct error *error)
{
    return place_look(trace, error) &&
           (trace->logged.found || topic_search(trace, TOPIC_REQUESTS, &trace->logged, error)) &&
           topic_search(trace, TOPIC_RESULTS, &trace->announced, error) &&
           topic_search(trace, TOPIC_DEAD, &trace->dead, error);
}
