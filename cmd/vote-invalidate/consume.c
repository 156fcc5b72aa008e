/* consume.c - vote.results in a consumer group. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"
#include "vote/event.h"

#include <string.h>

enum { READ_MAX = 5000 };

static void forget(struct invalidate *invalidate, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        int32_t partition = list->elems[i].partition;
        if (partition >= DIRTY_PARTITIONS_MAX)
            continue;
        dirty_forget_partition(invalidate->dirty, partition);
        invalidate->positions[partition] = invalidate->committed[partition] = -1;
    }
}

/* What waits is purged before the partitions go: their next owner has then nothing to do again. */
static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct invalidate *invalidate = ((struct kafka_health *)opaque)->owner;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(consumer, list);
        atomic_store(&invalidate->kafka_check->ready, 1);
        return;
    }
    consume_commit(invalidate, true);
    forget(invalidate, list);
    rd_kafka_assign(consumer, NULL);
}

bool consume_open(struct invalidate *invalidate, struct error *error)
{
    const char *pairs[] = {"client.id",
                           "vote-invalidate",
                           "group.id",
                           invalidate->config->group,
                           "enable.auto.commit",
                           "false",
                           "auto.offset.reset",
                           "earliest",
                           "fetch.wait.max.ms",
                           "100",
                           "session.timeout.ms",
                           "10000",
                           "allow.auto.create.topics",
                           "false",
                           NULL};
    for (size_t i = 0; i < DIRTY_PARTITIONS_MAX; i++)
        invalidate->positions[i] = invalidate->committed[i] = -1;
    rd_kafka_conf_t *conf =
        kafka_conf(&invalidate->config->kafka, pairs, &invalidate->kafka_health, error);
    if (!conf)
        return false;
    invalidate->kafka_health.owner = invalidate;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    invalidate->consumer =
        kafka_open(RD_KAFKA_CONSUMER, conf, invalidate->config->kafka.brokers, 0, error);
    if (!invalidate->consumer)
        return false;
    rd_kafka_poll_set_consumer(invalidate->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, TOPIC_RESULTS, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(invalidate->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return !code || error_set(error, ERROR_CONFIG, "unable to subscribe to %s: %s", TOPIC_RESULTS,
                              rd_kafka_err2str(code));
}

void consume_close(struct invalidate *invalidate)
{
    if (!invalidate->consumer)
        return;
    consume_commit(invalidate, true);
    rd_kafka_consumer_close(invalidate->consumer);
    rd_kafka_destroy(invalidate->consumer);
}

static void mark(struct invalidate *invalidate, const rd_kafka_message_t *message,
                 const struct result *result)
{
    int64_t now_us = clock_mono_us();
    const struct request *request = result->request;
    const struct {
        enum subject subject;
        const char *id;
    } subjects[] = {{SUBJECT_PROJECT, request->project_id},
                    {SUBJECT_USER, request->user_id},
                    {SUBJECT_ALL, ""}};
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        dirty_mark(invalidate->dirty, subjects[i].subject, subjects[i].id, message->partition,
                   message->offset, result->committed_at_ms, now_us);
}

static void take(struct invalidate *invalidate, const rd_kafka_message_t *message)
{
    char type[64];
    struct request request;
    struct result result;
    struct error error;
    invalidate->positions[message->partition] = message->offset + 1;
    if (!kafka_header_text(message, "ce_type", type, sizeof type))
        type[0] = '\0';
    if (result_decode(&result, &request, type, message->payload, message->len, &error)) {
        result.request = &request;
        mark(invalidate, message, &result);
    } else {
        LOG_EVENT(invalidate->log, LOG_WARN, "a record is no result",
                  LOG_INT("partition", message->partition), LOG_INT("offset", message->offset),
                  LOG_STR("error", error.text));
    }
}

void consume_read(struct invalidate *invalidate, int wait_ms)
{
    rd_kafka_message_t *message;
    for (int count = 0; count < READ_MAX; count++, wait_ms = 0) {
        message = rd_kafka_consumer_poll(invalidate->consumer, wait_ms);
        if (!message)
            return;
        if (message->err)
            LOG_EVENT(invalidate->log, LOG_WARN, "kafka",
                      LOG_STR("error", rd_kafka_message_errstr(message)));
        else if (message->partition < DIRTY_PARTITIONS_MAX)
            take(invalidate, message);
        rd_kafka_message_destroy(message);
    }
}

void consume_commit(struct invalidate *invalidate, bool wait)
{
    int64_t lag = 0, low, high;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int32_t p = 0; p < DIRTY_PARTITIONS_MAX; p++) {
        int64_t position = invalidate->positions[p];
        if (position < 0)
            continue;
        int64_t offset = dirty_offset(invalidate->dirty, p, position);
        if (!rd_kafka_get_watermark_offsets(invalidate->consumer, TOPIC_RESULTS, p, &low, &high) &&
            high > offset)
            lag += high - offset;
        if (offset != invalidate->committed[p])
            rd_kafka_topic_partition_list_add(list, TOPIC_RESULTS, p)->offset = offset;
    }
    metric_set(invalidate->metrics.lag, lag);
    if (list->cnt && !rd_kafka_commit(invalidate->consumer, list, !wait))
        for (int i = 0; i < list->cnt; i++)
            invalidate->committed[list->elems[i].partition] = list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
}
