/* consume.c - the consumer group, and which partitions are ours.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "kafka/group.h"

enum { HANDOVER_MS = 2000, CALL_TIMEOUT_MS = 10000 };

/* So that the next owner finds everything applied and has little to announce again. */
static void consume_revoke(struct commit *commit, const rd_kafka_topic_partition_list_t *list)
{
    commit_finish_in_flight(commit);
    announce_serve(commit, HANDOVER_MS);
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
    commit->was_assigned = true;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && place_partitions(commit, list)) {
        rd_kafka_error_destroy(rd_kafka_incremental_assign(consumer, list));
        /* A partition that left us while a batch was held is still paused when it comes back. */
        if (commit->holding)
            rd_kafka_pause_partitions(consumer, list);
        else
            rd_kafka_resume_partitions(consumer, list);
        atomic_store(&commit->kafka_check->ready, 1);
        return;
    }
    consume_revoke(commit, list);
    rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer, list));
}

bool consume_open(struct commit *commit, struct error *error)
{
    const char *member = commit->config->group_instance_id;
    /* An offset that is not there is never jumped over in silence: it comes as an error. What is
     * fetched ahead must last for more than a second, after which librdkafka comes back to a queue
     * that was full (its issue 2879). The last pair is empty for a dynamic member. */
    const char *pairs[] = {"client.id",
                           "vote-commit",
                           "group.id",
                           commit->config->group,
                           "enable.auto.commit",
                           "false",
                           "enable.auto.offset.store",
                           "false",
                           "auto.offset.reset",
                           "error",
                           "partition.assignment.strategy",
                           "cooperative-sticky",
                           "enable.partition.eof",
                           "true",
                           "fetch.wait.max.ms",
                           "100",
                           "session.timeout.ms",
                           "10000",
                           "queued.min.messages",
                           "40000",
                           "topic.metadata.refresh.interval.ms",
                           "10000",
                           "allow.auto.create.topics",
                           "false",
                           member ? "group.instance.id" : NULL,
                           member,
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
    return group_subscribe(commit->consumer, TOPIC_REQUESTS, error);
}

void consume_close(struct commit *commit)
{
    int64_t wait_us = commit->failure.code ? 0 : commit->config->drain_timeout_us / 2;
    if (commit->consumer)
        group_close(commit->consumer, &commit->was_assigned, wait_us, &commit->stop);
}

/* What is no record: mostly reports that the client deals with itself. */
static void consume_notice(struct commit *commit, const rd_kafka_message_t *notice)
{
    char why[200];
    if (notice->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (notice->partition < PARTITIONS_MAX)
            commit->positions[notice->partition].end_offset = notice->offset;
        return;
    }
    LOG_EVENT(commit->log, LOG_WARN, "kafka", LOG_STR("error", rd_kafka_message_errstr(notice)));
    if (notice->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        commit->must_rewind = true;
    if (notice->err == RD_KAFKA_RESP_ERR__FATAL &&
        rd_kafka_fatal_error(commit->consumer, why, sizeof why))
        error_set(&commit->failure, ERROR_UNAVAILABLE, "kafka: %s", why);
}

/* Takes a message into the batch; false when it is none, or not ours any more. */
static bool consume_take(struct commit *commit, struct batch *batch, rd_kafka_message_t *message)
{
    bool ours = !message->err && message->partition < PARTITIONS_MAX &&
                commit->positions[message->partition].assigned;
    if (message->err)
        consume_notice(commit, message);
    if (!ours) {
        rd_kafka_message_destroy(message);
        return false;
    }
    struct position *position = &commit->positions[message->partition];
    position->read_offset = message->offset + 1;
    position->read_ms = rd_kafka_message_timestamp(message, NULL);
    batch->entries[batch->count].read_us = clock_mono_us();
    batch->entries[batch->count++].message = message;
    return true;
}

void consume_batch(struct commit *commit, struct batch *batch, int wait_ms)
{
    while (batch->count < (size_t)commit->config->batch_size) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(commit->consumer, wait_ms);
        if (!message)
            return;
        if (consume_take(commit, batch, message))
            wait_ms = 0;
    }
}

/* A record that slips through a pause must come again: skipping it would lose a vote. */
static void consume_put_back(struct commit *commit, rd_kafka_message_t *message)
{
    if (message->err) {
        consume_notice(commit, message);
    } else {
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
        lag_turn(commit);
    } while (clock_mono_us() < until_us && !stop_asked(&commit->stop));
    consume_pause(commit, false);
}

/* Assigning again, rather than seeking, also wakes a partition that ended with an error. */
void consume_rewind(struct commit *commit)
{
    rd_kafka_topic_partition_list_t *mine = NULL;
    commit->must_rewind = false;
    if (rd_kafka_assignment(commit->consumer, &mine))
        return;
    if (mine->cnt && place_partitions(commit, mine)) {
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(commit->consumer, mine));
        rd_kafka_error_destroy(rd_kafka_incremental_assign(commit->consumer, mine));
    }
    rd_kafka_topic_partition_list_destroy(mine);
}
