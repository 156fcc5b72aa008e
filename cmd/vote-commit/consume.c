/* consume.c - the consumer group, and where each partition of ours starts.
 *
 * vote.progress says what was applied; Kafka's committed offset says what was surely announced. A
 * partition starts at the lower of the two: what lies between is found in the ledger and announced
 * again. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_WAIT_MS = 100, CALL_TIMEOUT_MS = 10000, RETRY_US = 500 * 1000 };

/* Fills the offset of each listed partition with vote.progress (0 when it has none). */
static bool progress_read(struct commit *commit, rd_kafka_topic_partition_list_t *list,
                          struct error *error)
{
    const char *parameters[] = {TOPIC_REQUESTS};
    PGresult *rows = pg_query(&commit->pg,
                              "select \"partition\", next_offset from vote.progress "
                              "where topic = $1",
                              1, parameters, error);
    if (!rows)
        return false;
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = 0;
        for (int row = 0; row < PQntuples(rows); row++) {
            if (atoi(PQgetvalue(rows, row, 0)) == list->elems[i].partition)
                list->elems[i].offset = atoll(PQgetvalue(rows, row, 1));
        }
    }
    PQclear(rows);
    return true;
}

/* Where to start needs Postgres: without it there is nothing to do but wait. */
static bool progress_read_patiently(struct commit *commit, rd_kafka_topic_partition_list_t *list)
{
    struct error error;
    while (!progress_read(commit, list, &error)) {
        log_error(commit->log, LOG_WARN, "waiting for postgres", &error);
        atomic_store(&commit->postgres_check->ready, 0);
        admin_beat(&commit->admin);
        if (stop_wait(&commit->stop, -1, clock_mono_us() + RETRY_US))
            return false;
    }
    atomic_store(&commit->postgres_check->ready, 1);
    return true;
}

static bool consume_assign(struct commit *commit, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *hints = rd_kafka_topic_partition_list_copy(list);
    bool known = progress_read_patiently(commit, list);
    rd_kafka_resp_err_t code = rd_kafka_committed(commit->consumer, hints, CALL_TIMEOUT_MS);
    for (int i = 0; known && i < list->cnt; i++) {
        rd_kafka_topic_partition_t *partition = &list->elems[i];
        if (partition->partition >= PARTITIONS_MAX)
            abort();
        commit->positions[partition->partition] = (struct position){
            .assigned = true, .next_offset = partition->offset, .read_offset = -1};
        int64_t hint = code ? RD_KAFKA_OFFSET_INVALID : hints->elems[i].offset;
        if (hint >= 0 && hint < partition->offset)
            partition->offset = hint;
        LOG_EVENT(commit->log, LOG_INFO, "partition assigned",
                  LOG_INT("partition", partition->partition), LOG_INT("offset", partition->offset),
                  LOG_INT("progress", commit->positions[partition->partition].next_offset));
    }
    rd_kafka_topic_partition_list_destroy(hints);
    return known;
}

static void consume_revoke(struct commit *commit, const rd_kafka_topic_partition_list_t *list)
{
    announce_serve(commit, 2000); /* so that the next owner has little to announce again */
    for (int i = 0; i < list->cnt; i++) {
        commit->positions[list->elems[i].partition].assigned = false;
        LOG_EVENT(commit->log, LOG_INFO, "partition revoked",
                  LOG_INT("partition", list->elems[i].partition));
    }
}

static void consume_on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code,
                                 rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct commit *commit = ((struct kafka_health *)opaque)->owner;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && consume_assign(commit, list)) {
        rd_kafka_error_destroy(rd_kafka_incremental_assign(consumer, list));
        if (commit->holding)
            rd_kafka_pause_partitions(consumer, list);
        atomic_store(&commit->kafka_check->ready, 1);
        return;
    }
    consume_revoke(commit, list);
    rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer, list));
}

static bool consume_subscribe(struct commit *commit, struct error *error)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, TOPIC_REQUESTS, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(commit->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return !code || error_set(error, ERROR_CONFIG, "unable to subscribe to %s: %s", TOPIC_REQUESTS,
                              rd_kafka_err2str(code));
}

bool consume_open(struct commit *commit, struct error *error)
{
    const char *pairs[] = {"client.id",
                           "vote-commit",
                           "group.id",
                           commit->config->group,
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
                           "queued.min.messages",
                           "20000",
                           "topic.metadata.refresh.interval.ms",
                           "10000",
                           "allow.auto.create.topics",
                           "false",
                           NULL};
    rd_kafka_conf_t *conf = kafka_conf(&commit->config->kafka, pairs, &commit->kafka_health, error);
    if (!conf)
        return false;
    commit->kafka_health.owner = commit;
    rd_kafka_conf_set_rebalance_cb(conf, consume_on_rebalance);
    commit->consumer = kafka_open(RD_KAFKA_CONSUMER, conf, commit->config->kafka.brokers, 0, error);
    if (!commit->consumer)
        return false;
    rd_kafka_poll_set_consumer(commit->consumer);
    return consume_subscribe(commit, error);
}

void consume_close(struct commit *commit)
{
    if (!commit->consumer)
        return;
    rd_kafka_consumer_close(commit->consumer);
    rd_kafka_destroy(commit->consumer);
}

/* Takes a message into the batch; false when it is none (an error event, or not ours any more). */
static bool consume_take(struct commit *commit, rd_kafka_message_t *message)
{
    bool ours = !message->err && message->partition < PARTITIONS_MAX &&
                commit->positions[message->partition].assigned;
    if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        LOG_EVENT(commit->log, LOG_WARN, "kafka",
                  LOG_STR("error", rd_kafka_message_errstr(message)));
    if (!ours) {
        rd_kafka_message_destroy(message);
        return false;
    }
    struct position *position = &commit->positions[message->partition];
    position->read_offset = message->offset + 1;
    position->read_ms = rd_kafka_message_timestamp(message, NULL);
    commit->batch.entries[commit->batch.count++].message = message;
    return true;
}

void consume_batch(struct commit *commit)
{
    int wait_ms = FIRST_WAIT_MS;
    while (commit->batch.count < (size_t)commit->config->batch_size) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(commit->consumer, wait_ms);
        if (!message)
            return;
        if (consume_take(commit, message))
            wait_ms = 0;
    }
}

/* A record that slips through a pause must come again: skipping it would lose a vote. */
static void consume_put_back(struct commit *commit, rd_kafka_message_t *message)
{
    if (!message->err) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, TOPIC_REQUESTS, message->partition)->offset =
            message->offset;
        rd_kafka_error_destroy(rd_kafka_seek_partitions(commit->consumer, list, CALL_TIMEOUT_MS));
        rd_kafka_topic_partition_list_destroy(list);
    }
    rd_kafka_message_destroy(message);
}

static void consume_pause(struct commit *commit, bool pause)
{
    rd_kafka_topic_partition_list_t *mine = NULL;
    commit->holding = pause;
    if (rd_kafka_assignment(commit->consumer, &mine))
        return;
    if (pause)
        rd_kafka_pause_partitions(commit->consumer, mine);
    else
        rd_kafka_resume_partitions(commit->consumer, mine);
    rd_kafka_topic_partition_list_destroy(mine);
}

void consume_hold(struct commit *commit, int64_t duration_us)
{
    int64_t until_us = clock_mono_us() + duration_us;
    consume_pause(commit, true);
    do {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(commit->consumer, 50);
        if (message)
            consume_put_back(commit, message);
        admin_beat(&commit->admin);
    } while (clock_mono_us() < until_us && !stop_asked(&commit->stop));
    consume_pause(commit, false);
}

void consume_rewind(struct commit *commit)
{
    rd_kafka_topic_partition_list_t *mine = NULL;
    rd_kafka_assignment(commit->consumer, &mine);
    if (mine->cnt && progress_read_patiently(commit, mine)) {
        for (int i = 0; i < mine->cnt; i++)
            commit->positions[mine->elems[i].partition].next_offset = mine->elems[i].offset;
        rd_kafka_error_destroy(rd_kafka_seek_partitions(commit->consumer, mine, CALL_TIMEOUT_MS));
    }
    rd_kafka_topic_partition_list_destroy(mine);
}
