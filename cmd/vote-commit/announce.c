/* announce.c - results into vote.results after their commit; Kafka's offset is moved only behind
 * results that Kafka has. A crash in between announces them again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdlib.h>

static const int64_t HINT_US = 100 * 1000;

static void announce_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message,
                                 void *opaque)
{
    (void)producer, (void)opaque;
    struct acks *acks = message->_private;
    /* Without message.timeout.ms a record fails only when it can never be sent; it then keeps the
     * offsets where they are, and the next start sends it again. */
    if (acks && !message->err)
        acks->waiting--;
}

bool announce_open(struct commit *commit, struct error *error)
{
    /* A record of vote.requests fits into vote.dead with its reason. */
    static const char *const pairs[] = {
        "client.id",         "vote-commit",    "acks",      "all", "enable.idempotence", "true",
        "partitioner",       "murmur2_random", "linger.ms", "1",   "message.timeout.ms", "0",
        "message.max.bytes", "2000000",        NULL};
    rd_kafka_conf_t *conf = kafka_conf(&commit->config->kafka, pairs, NULL, error);
    if (!conf)
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, announce_on_delivery);
    commit->producer = kafka_open(RD_KAFKA_PRODUCER, conf, commit->config->kafka.brokers, 0, error);
    return commit->producer != NULL;
}

static void announcement_free(struct commit *commit, struct announcement *announcement)
{
    acks_end_spans(commit, &announcement->acks, announcement->acks.waiting == 0);
    rd_kafka_topic_partition_list_destroy(announcement->offsets);
    free(announcement);
}

void announce_close(struct commit *commit)
{
    if (!commit->producer)
        return;
    rd_kafka_purge(commit->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(commit->producer, 1000);
    rd_kafka_destroy(commit->producer);
    while (commit->announced_first) {
        struct announcement *announcement = commit->announced_first;
        commit->announced_first = announcement->next;
        announcement_free(commit, announcement);
    }
}

static void announce_send(struct commit *commit, const struct result *result,
                          const struct trace_context *parent, struct acks *acks, struct buf *json)
{
    const struct request *request = result->request;
    rd_kafka_resp_err_t code;
    struct span span;
    char traceparent[TRACEPARENT_SIZE];
    send_span_begin(commit, &span, TOPIC_RESULTS, parent, request->request_id);
    span_text(&span, "vote.outcome", vote_outcome_name(result->outcome));
    trace_context_format(&span.context, traceparent);
    buf_clear(json);
    result_encode(result, json);
    do {
        rd_kafka_headers_t *headers =
            kafka_event_headers(result_event_type(result), "/vote-commit", request->request_id,
                                result->committed_at_ms, traceparent);
        code = kafka_send(commit->producer, TOPIC_RESULTS, request->project_id, json->data,
                          json->size, headers, acks);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(commit->producer, 50);
        admin_beat(&commit->admin);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && stop_asked(&commit->stop) < 2);
    if (acks)
        acks->waiting++;
    if (code)
        LOG_EVENT(commit->log, LOG_ERROR, "result not announced",
                  LOG_STR("request_id", request->request_id),
                  LOG_STR("error", rd_kafka_err2str(code)));
    span_end_with(commit, &span, acks);
}

void announce_result(struct commit *commit, const struct result *result,
                     const struct trace_context *parent, struct acks *acks)
{
    struct buf json = {0};
    announce_send(commit, result, parent, acks, &json);
    buf_free(&json);
}

static rd_kafka_topic_partition_list_t *entries_offsets(const struct commit *commit,
                                                        const struct batch *batch, size_t from,
                                                        size_t to)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(8);
    rd_kafka_topic_partition_t *partition = NULL;
    for (size_t i = from; i < to; i++) {
        const rd_kafka_message_t *message = batch->entries[i].message;
        if (!commit->positions[message->partition].assigned)
            continue; /* its new owner says how far it is */
        if (!partition || partition->partition != message->partition)
            partition =
                rd_kafka_topic_partition_list_find(offsets, TOPIC_REQUESTS, message->partition);
        if (!partition)
            partition =
                rd_kafka_topic_partition_list_add(offsets, TOPIC_REQUESTS, message->partition);
        partition->offset = message->offset + 1;
    }
    return offsets;
}

static struct announcement *announcement_add(struct commit *commit)
{
    struct announcement *announcement = calloc(1, sizeof *announcement);
    if (!announcement)
        abort();
    if (commit->announced_last)
        commit->announced_last->next = announcement;
    else
        commit->announced_first = announcement;
    commit->announced_last = announcement;
    return announcement;
}

void announce_entries(struct commit *commit, const struct batch *batch, size_t from, size_t to)
{
    struct buf json = {0};
    struct span vote, shared = {0};
    struct announcement *announcement = announcement_add(commit);
    announcement->offsets = entries_offsets(commit, batch, from, to);
    announcement->acks.waiting = 1; /* until all are on their way */
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->left_out)
            continue;
        vote_span_begin(commit, batch, entry, &shared, &vote);
        span_exemplar(&vote, commit->metrics.latency_us, result_latency_us(&entry->result));
        announce_send(commit, &entry->result, &vote.context, &announcement->acks, &json);
        span_end_with(commit, &vote, &announcement->acks);
    }
    announcement->acks.waiting--;
    span_number(&shared, "vote.batch_size", (int64_t)(to - from));
    span_end(commit->tracer, &shared, batch->answered_us);
    buf_free(&json);
}

/* All that was before these offsets is announced. */
static void announcement_finish(struct commit *commit, const struct announcement *announcement)
{
    const rd_kafka_topic_partition_list_t *offsets = announcement->offsets;
    for (int i = 0; i < offsets->cnt; i++) {
        struct position *position = &commit->positions[offsets->elems[i].partition];
        if (offsets->elems[i].offset > position->announced_offset)
            position->announced_offset = offsets->elems[i].offset;
    }
}

static void announcements_reap(struct commit *commit)
{
    while (commit->announced_first && commit->announced_first->acks.waiting == 0) {
        struct announcement *announcement = commit->announced_first;
        announcement_finish(commit, announcement);
        commit->announced_first = announcement->next;
        if (!commit->announced_first)
            commit->announced_last = NULL;
        announcement_free(commit, announcement);
    }
}

/* A batch may take milliseconds, and a hint for each would be most of what the broker does. */
static void hints_send(struct commit *commit, bool in_background)
{
    int64_t now_us = clock_mono_us();
    if (in_background && now_us < commit->hints_next_us)
        return;
    commit->hints_next_us = now_us + HINT_US;
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(8);
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        struct position *position = &commit->positions[p];
        if (!position->assigned || position->announced_offset <= position->hinted_offset)
            continue;
        position->hinted_offset = position->announced_offset;
        rd_kafka_topic_partition_list_add(offsets, TOPIC_REQUESTS, p)->offset =
            position->hinted_offset;
    }
    if (offsets->cnt)
        rd_kafka_commit(commit->consumer, offsets, in_background);
    rd_kafka_topic_partition_list_destroy(offsets);
}

void announce_serve(struct commit *commit, int wait_ms)
{
    if (wait_ms)
        rd_kafka_flush(commit->producer, wait_ms);
    else
        rd_kafka_poll(commit->producer, 0);
    announcements_reap(commit);
    hints_send(commit, wait_ms == 0);
}
