/* reader.c - reads ranges of partitions by offset, without a group.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kafka/reader.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { AHEAD_KIB = 4096, AHEAD_BYTES = AHEAD_KIB * 1024 };

static bool reader_fail(const struct reader *reader, rd_kafka_resp_err_t code, struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, "kafka: %s: %s", reader->topic,
                     rd_kafka_err2str(code));
}

bool reader_open(struct reader *reader, const struct kafka_config *config, const char *name,
                 const char *topic, struct error *error)
{
    /* librdkafka wants a group's name to assign by hand; it is never joined. An offset that
     * retention removed while we read must not make it jump to the end in silence. Its look-ahead
     * is bounded by bytes, and small: what waits for longer has left the processor's cache. */
    char ahead_kib[16];
    snprintf(ahead_kib, sizeof ahead_kib, "%d", AHEAD_KIB);
    const char *pairs[] = {"client.id",
                           name,
                           "group.id",
                           name,
                           "enable.auto.commit",
                           "false",
                           "enable.partition.eof",
                           "true",
                           "auto.offset.reset",
                           "earliest",
                           "fetch.wait.max.ms",
                           "100",
                           "queued.min.messages",
                           "1000000",
                           "queued.max.messages.kbytes",
                           ahead_kib,
                           NULL};
    *reader = (struct reader){.topic = topic};
    rd_kafka_conf_t *conf = kafka_conf(config, pairs, &reader->health, error);
    if (!conf)
        return false;
    reader->client = kafka_open(RD_KAFKA_CONSUMER, conf, config->brokers, READER_TIMEOUT_MS, error);
    if (!reader->client)
        return false;
    rd_kafka_poll_set_consumer(reader->client);
    reader->queue = rd_kafka_queue_get_consumer(reader->client);
    return true;
}

void reader_close(struct reader *reader)
{
    while (reader->batch_at < reader->batch_count)
        rd_kafka_message_destroy(reader->batch[reader->batch_at++]);
    if (reader->client) {
        rd_kafka_queue_destroy(reader->queue);
        rd_kafka_consumer_close(reader->client);
        rd_kafka_destroy(reader->client);
    }
    free(reader->ranges);
    *reader = (struct reader){0};
}

bool reader_partitions(struct reader *reader, int32_t *count, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(reader->client, reader->topic, NULL);
    if (!topic)
        return error_set(error, ERROR_USAGE, "\"%s\" cannot be a topic's name", reader->topic);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(reader->client, 0, topic, &metadata, READER_TIMEOUT_MS);
    rd_kafka_topic_destroy(topic);
    if (code)
        return reader_fail(reader, code, error);
    code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    *count = code ? 0 : metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    if (*count > 0)
        return true;
    if (!code || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
        return error_set(error, ERROR_USAGE, "there is no topic %s", reader->topic);
    return reader_fail(reader, code, error);
}

bool reader_watermarks(struct reader *reader, int32_t partition, int64_t *low, int64_t *high,
                       struct error *error)
{
    rd_kafka_resp_err_t code =
        kafka_ends(reader->client, reader->topic, partition, low, high, READER_TIMEOUT_MS);
    return !code || reader_fail(reader, code, error);
}

bool reader_offset_at(struct reader *reader, int32_t partition, int64_t time_ms, int64_t *offset,
                      struct error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at =
        rd_kafka_topic_partition_list_add(list, reader->topic, partition);
    at->offset = time_ms;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(reader->client, list, READER_TIMEOUT_MS);
    if (!code)
        code = at->err;
    *offset = at->offset >= 0 ? at->offset : -1;
    rd_kafka_topic_partition_list_destroy(list);
    return !code || reader_fail(reader, code, error);
}

void reader_add(struct reader *reader, int32_t partition, int64_t from, int64_t to)
{
    if (to >= 0 && from >= to)
        return;
    reader->ranges = reallocarray(reader->ranges, reader->range_count + 1, sizeof *reader->ranges);
    if (!reader->ranges)
        abort();
    reader->ranges[reader->range_count++] =
        (struct reader_range){.partition = partition, .from = from, .to = to};
}

void reader_start(struct reader *reader)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->range_count);
    for (size_t i = 0; i < reader->range_count; i++) {
        const struct reader_range *range = &reader->ranges[i];
        rd_kafka_topic_partition_list_add(list, reader->topic, range->partition)->offset =
            range->from;
    }
    if (list->cnt)
        rd_kafka_assign(reader->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    reader->open_count = reader->range_count;
    reader->heard_us = clock_mono_us();
}

size_t reader_partition_bound(const struct reader *reader)
{
    size_t bound = 0;
    for (size_t i = 0; i < reader->range_count; i++) {
        size_t above = (size_t)reader->ranges[i].partition + 1;
        bound = above > bound ? above : bound;
    }
    return bound;
}

static struct reader_range *range_of(struct reader *reader, int32_t partition)
{
    for (size_t i = 0; i < reader->range_count; i++) {
        if (reader->ranges[i].partition == partition)
            return &reader->ranges[i];
    }
    return NULL;
}

/* Its fetching stops too, so that a busy partition does not hold up the others. */
static void range_finish(struct reader *reader, struct reader_range *range)
{
    if (range->done)
        return;
    range->done = true;
    reader->open_count--;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->topic, range->partition);
    rd_kafka_pause_partitions(reader->client, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void reader_leave(struct reader *reader, int32_t partition)
{
    struct reader_range *range = range_of(reader, partition);
    if (range)
        range_finish(reader, range);
}

/* The client tries on by itself after an error, unless there is nothing to try. */
static bool error_is_final(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED: return true;
    default: return false;
    }
}

static bool reader_is_bounded(const struct reader *reader)
{
    for (size_t i = 0; i < reader->range_count; i++) {
        if (reader->ranges[i].to < 0)
            return false;
    }
    return true;
}

static enum reader_event reader_silence(struct reader *reader, struct error *error)
{
    if (!reader_is_bounded(reader) ||
        clock_mono_us() - reader->heard_us < (int64_t)READER_TIMEOUT_MS * 1000)
        return READER_IDLE;
    error_set(error, ERROR_UNAVAILABLE, "kafka: %s: no answer for %d s", reader->topic,
              READER_TIMEOUT_MS / 1000);
    return READER_FAILED;
}

static enum reader_event record_take(struct reader *reader, const rd_kafka_message_t *record)
{
    struct reader_range *range = range_of(reader, record->partition);
    bool wanted = range && !range->done && (range->to < 0 || record->offset < range->to);
    reader->heard = true;
    if (range && range->to >= 0 && record->offset + 1 >= range->to)
        range_finish(reader, range);
    return wanted ? READER_RECORD : READER_IDLE;
}

static enum reader_event notice_take(struct reader *reader, const rd_kafka_message_t *notice,
                                     struct error *error)
{
    struct reader_range *range = range_of(reader, notice->partition);
    if (notice->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        reader->heard_us = clock_mono_us();
        if (range && range->to >= 0)
            range_finish(reader, range);
        return READER_IDLE;
    }
    if (!error_is_final(notice->err))
        return reader_silence(reader, error);
    error_set(error, ERROR_UNAVAILABLE, "kafka: %s: %s", reader->topic,
              rd_kafka_message_errstr(notice));
    return READER_FAILED;
}

/* librdkafka comes back to a queue that was full only after a second (its issue 2879), or when
 * something else is asked of the broker. So a small thing is asked, as soon as half of a queue that
 * was full has been read; its answer is of no use, and not waited for. */
static void reader_nudge(struct reader *reader)
{
    const size_t full = AHEAD_BYTES / 4 * 3;
    size_t ahead = rd_kafka_queue_length(reader->queue) * reader->record_size;
    if (ahead > reader->ahead_peak)
        reader->ahead_peak = ahead;
    if (reader->ahead_peak < full || ahead > AHEAD_BYTES / 2)
        return;
    reader->ahead_peak = ahead;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->range_count);
    for (size_t i = 0; i < reader->range_count; i++) {
        if (!reader->ranges[i].done)
            rd_kafka_topic_partition_list_add(list, reader->topic, reader->ranges[i].partition)
                ->offset = RD_KAFKA_OFFSET_END;
    }
    rd_kafka_offsets_for_times(reader->client, list, 0);
    rd_kafka_topic_partition_list_destroy(list);
}

/* Waits for one record only, so that it is not held back for others; those that are there already
 * come with it. Silence begins here: until now the caller had records to see to. */
static rd_kafka_message_t *reader_take(struct reader *reader, int wait_ms)
{
    if (reader->batch_at < reader->batch_count)
        return reader->batch[reader->batch_at++];
    if (reader->heard)
        reader->heard_us = clock_mono_us();
    reader->heard = false;
    reader_nudge(reader);
    rd_kafka_message_t *first = rd_kafka_consumer_poll(reader->client, wait_ms);
    if (!first)
        return NULL;
    reader->record_size = first->len + first->key_len;
    ssize_t more = rd_kafka_consume_batch_queue(reader->queue, 0, reader->batch, READER_BATCH);
    reader->batch_at = 0;
    reader->batch_count = more > 0 ? (size_t)more : 0;
    return first;
}

enum reader_event reader_next(struct reader *reader, int wait_ms, rd_kafka_message_t **message,
                              struct error *error)
{
    if (reader->open_count == 0)
        return READER_DONE;
    *message = reader_take(reader, wait_ms);
    if (!*message)
        return reader_silence(reader, error);
    enum reader_event event =
        (*message)->err ? notice_take(reader, *message, error) : record_take(reader, *message);
    if (event != READER_RECORD)
        rd_kafka_message_destroy(*message);
    return event;
}
