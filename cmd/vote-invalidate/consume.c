/* consume.c - the consumer group of vote-invalidate, and its offsets.
 *
 * A partition that goes to another member leaves its keys here: they are purged once more than
 * needed. What is not committed is read again by the next owner. SPDX-License-Identifier:
 * Apache-2.0
 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"
#include "kafka/group.h"
#include "vote/event.h"

#include <malloc.h>
#include <string.h>

enum {
    COMMIT_US = 500 * 1000,
    RECORDS_A_TURN = 5000,
    FETCH_MMAP_BYTES = 128 * 1024,
    BURST_RECORDS = 500,
    GIVE_BACK_US = 10 * 1000 * 1000
};

static void partition_set(struct invalidate *invalidate, int32_t partition, bool assigned)
{
    if (partition >= PARTITIONS_MAX)
        return;
    invalidate->assigned[partition] = assigned;
    invalidate->committed[partition] = -1;
    progress_forget(&invalidate->progress, partition);
}

static void consume_on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                                 rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct invalidate *invalidate = ((struct kafka_health *)opaque)->owner;
    bool assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    invalidate->was_assigned = true;
    if (!assigned)
        consume_commit(invalidate, true);
    for (int i = 0; i < list->cnt; i++) {
        partition_set(invalidate, list->elems[i].partition, assigned);
        LOG_EVENT(invalidate->log, LOG_INFO, assigned ? "partition assigned" : "partition revoked",
                  LOG_INT("partition", list->elems[i].partition));
    }
    if (assigned)
        rd_kafka_error_destroy(rd_kafka_incremental_assign(consumer, list));
    else
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer, list));
    if (assigned)
        atomic_store(&invalidate->kafka_check->ready, 1);
}

bool consume_open(struct invalidate *invalidate, struct error *error)
{
    /* The room of a fetch goes back when it is read. By itself the allocator would get to know from
     * the largest to keep twice as much. */
    mallopt(M_MMAP_THRESHOLD, FETCH_MMAP_BYTES);
    /* A group without offsets begins at the topic's start: a purge too many does no harm. */
    const char *pairs[] = {"client.id",
                           "vote-invalidate",
                           "group.id",
                           invalidate->config->group,
                           "enable.auto.commit",
                           "false",
                           "enable.auto.offset.store",
                           "false",
                           "auto.offset.reset",
                           "earliest",
                           "partition.assignment.strategy",
                           "cooperative-sticky",
                           "fetch.wait.max.ms",
                           "100",
                           "session.timeout.ms",
                           "10000",
                           "topic.metadata.refresh.interval.ms",
                           "10000",
                           "allow.auto.create.topics",
                           "false",
                           NULL};
    rd_kafka_conf_t *conf =
        kafka_conf(&invalidate->config->kafka, pairs, &invalidate->kafka_health, error);
    if (!conf)
        return false;
    memset(invalidate->committed, -1, sizeof invalidate->committed);
    invalidate->kafka_health.owner = invalidate;
    rd_kafka_conf_set_rebalance_cb(conf, consume_on_rebalance);
    invalidate->consumer =
        kafka_open(RD_KAFKA_CONSUMER, conf, invalidate->config->kafka.brokers, 0, error);
    if (!invalidate->consumer)
        return false;
    rd_kafka_poll_set_consumer(invalidate->consumer);
    return group_subscribe(invalidate->consumer, TOPIC_RESULTS, error);
}

void consume_close(struct invalidate *invalidate)
{
    int64_t wait_us = invalidate->failure.code ? 0 : invalidate->config->drain_timeout_us / 2;
    if (invalidate->consumer)
        group_close(invalidate->consumer, &invalidate->was_assigned, wait_us, &invalidate->stop);
}

/* A template of an HTTP cache becomes a key for each of them. */
static void result_touch(struct invalidate *invalidate, const struct result *result)
{
    struct buf text = {0};
    int64_t now_us = clock_mono_us();
    for (size_t i = 0; i < invalidate->templates.count; i++) {
        const struct template *template = &invalidate->templates.list[i];
        bool is_http = template->kind >= KIND_HTTP_FIRST;
        buf_clear(&text);
        template_expand(template, result->request->project_id, result->request->user_id, &text);
        for (int target = is_http; target < (is_http ? invalidate->target_count : 1); target++)
            dirty_touch(&invalidate->dirty, template->kind, target, text.data,
                        result->committed_at_ms, now_us);
    }
    buf_free(&text);
}

/* What is no result changes no cache that is known: it is left out. */
static void record_take(struct invalidate *invalidate, const rd_kafka_message_t *record)
{
    char type[64];
    struct result result;
    struct request request;
    struct error error;
    metric_add(invalidate->metrics.records, 1);
    if (!kafka_header_text(record, "ce_type", type, sizeof type))
        type[0] = '\0';
    if (result_decode(&result, &request, type, record->payload, record->len, &error)) {
        result_touch(invalidate, &result);
        spans_add(invalidate, record, &request);
        return;
    }
    metric_add(invalidate->metrics.undecodable, 1);
    LOG_EVENT(invalidate->log, LOG_WARN, "a record is no result",
              LOG_INT("partition", record->partition), LOG_INT("offset", record->offset),
              LOG_STR("error", error.text));
}

static void notice_take(struct invalidate *invalidate, const rd_kafka_message_t *notice)
{
    char why[200];
    LOG_EVENT(invalidate->log, LOG_WARN, "kafka",
              LOG_STR("error", rd_kafka_message_errstr(notice)));
    if (notice->err == RD_KAFKA_RESP_ERR__FATAL &&
        rd_kafka_fatal_error(invalidate->consumer, why, sizeof why))
        error_set(&invalidate->failure, ERROR_UNAVAILABLE, "kafka: %s", why);
}

static void message_take(struct invalidate *invalidate, const rd_kafka_message_t *message)
{
    if (message->err) {
        notice_take(invalidate, message);
    } else if (message->partition < PARTITIONS_MAX && invalidate->assigned[message->partition]) {
        record_take(invalidate, message);
        progress_record(&invalidate->progress, message->partition, message->offset);
    }
}

/* All brokers were down: asks until one answers. */
static void consume_probe(struct invalidate *invalidate)
{
    int64_t low, high;
    bool answers = !kafka_ends(invalidate->consumer, TOPIC_RESULTS, 0, &low, &high, 0);
    atomic_store(&invalidate->kafka_check->ready, answers && invalidate->was_assigned);
    if (answers)
        atomic_store(&invalidate->kafka_health.down, 0);
}

/* What was held up came at once, and has been read and purged: the allocator would keep the room
 * that it took, in pieces between what stays, for the next time. See consume_open, too. */
static void memory_give_back(struct invalidate *invalidate, int records)
{
    int64_t now_us = clock_mono_us();
    if (records >= BURST_RECORDS && invalidate->give_back_at_us == 0)
        invalidate->give_back_at_us = now_us + GIVE_BACK_US;
    if (invalidate->give_back_at_us == 0 || now_us < invalidate->give_back_at_us)
        return;
    invalidate->give_back_at_us = 0;
    malloc_trim(0);
}

void consume_turn(struct invalidate *invalidate, int wait_ms)
{
    int records = 0;
    progress_turn(&invalidate->progress);
    for (; records < RECORDS_A_TURN; records++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(invalidate->consumer, wait_ms);
        if (!message)
            break;
        message_take(invalidate, message);
        rd_kafka_message_destroy(message);
        wait_ms = 0;
    }
    memory_give_back(invalidate, records);
    if (atomic_load(&invalidate->kafka_health.down))
        consume_probe(invalidate);
}

static int64_t partition_lag(struct invalidate *invalidate, int32_t partition, int64_t safe)
{
    int64_t low, high;
    if (safe < 0 ||
        rd_kafka_get_watermark_offsets(invalidate->consumer, TOPIC_RESULTS, partition, &low, &high))
        return 0;
    return high > safe ? high - safe : 0;
}

static void lag_tell(struct invalidate *invalidate, int64_t records)
{
    int64_t oldest_ms = dirty_oldest_ms(&invalidate->dirty);
    int64_t age_ms = oldest_ms ? clock_wall_ms() - oldest_ms : 0;
    metric_set(invalidate->metrics.lag_records, records);
    metric_set(invalidate->metrics.lag_us, age_ms > 0 ? age_ms * 1000 : 0);
}

void consume_commit(struct invalidate *invalidate, bool now)
{
    int64_t now_us = clock_mono_us(), lag = 0;
    if (!now && now_us < invalidate->commit_at_us)
        return;
    invalidate->commit_at_us = now_us + COMMIT_US;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        int64_t safe = invalidate->assigned[p] ? progress_safe(&invalidate->progress, p) : -1;
        lag += partition_lag(invalidate, p, safe);
        if (safe < 0 || safe == invalidate->committed[p])
            continue;
        rd_kafka_topic_partition_list_add(list, TOPIC_RESULTS, p)->offset = safe;
        invalidate->committed[p] = safe;
    }
    lag_tell(invalidate, lag);
    rd_kafka_resp_err_t code =
        list->cnt ? rd_kafka_commit(invalidate->consumer, list, !now) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code)
        LOG_EVENT(invalidate->log, LOG_WARN, "offsets not committed",
                  LOG_STR("error", rd_kafka_err2str(code)));
    rd_kafka_topic_partition_list_destroy(list);
}
