/* announce.c - results into vote.results after their commit; Kafka's offset is moved only behind
 * results that Kafka has. A crash in between announces them again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include <stdlib.h>

static void announce_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message,
                                 void *opaque)
{
    (void)producer, (void)opaque;
    struct announcement *announcement = message->_private;
    /* Without message.timeout.ms a result fails only when it can never be sent; it then keeps the
     * hint where it is, and the next start announces it again. */
    if (announcement && !message->err)
        announcement->waiting--;
}

bool announce_open(struct commit *commit, struct error *error)
{
    static const char *const pairs[] = {
        "client.id",   "vote-commit",    "acks",      "all", "enable.idempotence", "true",
        "partitioner", "murmur2_random", "linger.ms", "1",   "message.timeout.ms", "0",
        NULL};
    rd_kafka_conf_t *conf = kafka_conf(&commit->config->kafka, pairs, NULL, error);
    if (!conf)
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, announce_on_delivery);
    commit->producer = kafka_open(RD_KAFKA_PRODUCER, conf, commit->config->kafka.brokers, 0, error);
    return commit->producer != NULL;
}

static void announcement_free(struct announcement *announcement)
{
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
        announcement_free(announcement);
    }
}

static void announce_send(struct commit *commit, const struct entry *entry,
                          struct announcement *announcement, struct buf *json)
{
    char traceparent[TRACEPARENT_SIZE];
    rd_kafka_resp_err_t code;
    kafka_traceparent(entry->message, traceparent);
    buf_clear(json);
    result_encode(&entry->result, json);
    do {
        rd_kafka_headers_t *headers = kafka_event_headers(
            result_event_type(&entry->result), "/vote-commit", entry->request.request_id,
            entry->result.committed_at_ms, traceparent);
        code = kafka_send(commit->producer, TOPIC_RESULTS, entry->request.project_id, json->data,
                          json->size, headers, announcement);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(commit->producer, 50);
        admin_beat(&commit->admin);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && stop_asked(&commit->stop) < 2);
    if (code)
        LOG_EVENT(commit->log, LOG_ERROR, "result not announced",
                  LOG_STR("request_id", entry->request.request_id),
                  LOG_STR("error", rd_kafka_err2str(code)));
}

void announce_failure(struct commit *commit, const struct result *result)
{
    struct buf json = {0};
    char traceparent[TRACEPARENT_SIZE];
    traceparent_continue(NULL, traceparent);
    result_encode(result, &json);
    rd_kafka_headers_t *headers =
        kafka_event_headers(result_event_type(result), "/vote-commit", result->request->request_id,
                            result->committed_at_ms, traceparent);
    rd_kafka_resp_err_t code =
        kafka_send(commit->producer, TOPIC_RESULTS, result->request->project_id, json.data,
                   json.size, headers, NULL);
    if (code)
        LOG_EVENT(commit->log, LOG_ERROR, "failure not announced",
                  LOG_STR("request_id", result->request->request_id),
                  LOG_STR("error", rd_kafka_err2str(code)));
    buf_free(&json);
}

static rd_kafka_topic_partition_list_t *entries_offsets(const struct commit *commit, size_t from,
                                                        size_t to)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(4);
    for (size_t i = from; i < to; i++) {
        const rd_kafka_message_t *message = commit->batch.entries[i].message;
        rd_kafka_topic_partition_t *partition =
            rd_kafka_topic_partition_list_find(offsets, TOPIC_REQUESTS, message->partition);
        if (!partition)
            partition =
                rd_kafka_topic_partition_list_add(offsets, TOPIC_REQUESTS, message->partition);
        partition->offset = message->offset + 1;
    }
    return offsets;
}

void announce_entries(struct commit *commit, size_t from, size_t to)
{
    struct buf json = {0};
    struct announcement *announcement = calloc(1, sizeof *announcement);
    if (!announcement)
        abort();
    announcement->offsets = entries_offsets(commit, from, to);
    announcement->waiting = to - from;
    if (commit->announced_last)
        commit->announced_last->next = announcement;
    else
        commit->announced_first = announcement;
    commit->announced_last = announcement;
    for (size_t i = from; i < to; i++)
        announce_send(commit, &commit->batch.entries[i], announcement, &json);
    buf_free(&json);
}

void announce_serve(struct commit *commit, int wait_ms)
{
    if (wait_ms)
        rd_kafka_flush(commit->producer, wait_ms);
    else
        rd_kafka_poll(commit->producer, 0);
    while (commit->announced_first && commit->announced_first->waiting == 0) {
        struct announcement *announcement = commit->announced_first;
        rd_kafka_commit(commit->consumer, announcement->offsets, wait_ms == 0);
        commit->announced_first = announcement->next;
        if (!commit->announced_first)
            commit->announced_last = NULL;
        announcement_free(announcement);
    }
}
