/* sink.c - where records go. With a state, some thousand of them at a time are one transaction with
 * the position behind them: see state.c for what that guarantees.
 *
 * BUGS: the end of a transaction takes an offset of each of its partitions, which no reader sees:
 * in a topic that was replayed into, counting offsets is not counting records.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
    TIMEOUT_MS = 30000,
    TRANSACTION_RECORDS = 10000,
    TRANSACTION_US = 1000 * 1000,
    STATE_EVERY_US = 1000 * 1000,
    TRIES = 20,
    TRY_EVERY_US = 200 * 1000
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    struct kafka_health *health = opaque;
    struct sink *sink = health->owner;
    if (message->err && !sink->failed)
        sink->failed = message->err;
}

/* A short queue, and a short time to fill batches: what waits for longer has left the processor's
 * cache when its turn comes, and headers are objects all over memory. The broker makes objects,
 * too, of the headers of a batch that is not compressed, and passes over those of one that is. */
static bool producer_open(struct sink *sink, const char *transactional_id, struct error *error)
{
    const char *pairs[] = {"client.id",
                           "vote-replay",
                           "enable.idempotence",
                           "true",
                           "partitioner",
                           "murmur2_random",
                           "linger.ms",
                           "5",
                           "compression.codec",
                           "lz4",
                           "queue.buffering.max.messages",
                           "5000",
                           "queue.buffering.max.kbytes",
                           "262144",
                           "message.timeout.ms",
                           "30000",
                           "delivery.report.only.error",
                           "true",
                           transactional_id ? "transactional.id" : NULL,
                           transactional_id,
                           NULL};
    rd_kafka_conf_t *conf = kafka_conf(&sink->config->kafka, pairs, &sink->health, error);
    if (!conf)
        return false;
    sink->health.owner = sink;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    sink->producer =
        kafka_open(RD_KAFKA_PRODUCER, conf, sink->config->kafka.brokers, READER_TIMEOUT_MS, error);
    return sink->producer != NULL;
}

static bool is_fenced(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
           code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
}

/* Whichever call hears of it first: the client keeps why it cannot go on. */
static bool sink_fail(const struct sink *sink, const char *what, rd_kafka_resp_err_t code,
                      const char *text, struct error *error)
{
    char why[200];
    if (is_fenced(code) || is_fenced(rd_kafka_fatal_error(sink->producer, why, sizeof why)))
        return error_set(error, ERROR_RETRY, "another vote-replay goes on with %s",
                         sink->config->resume);
    return error_set(error, ERROR_UNAVAILABLE, "kafka: %s: %s", what, text);
}

/* Takes an error that is one. */
static bool transaction_fail(struct sink *sink, const char *what, rd_kafka_error_t *failure,
                             struct error *error)
{
    sink_fail(sink, what, rd_kafka_error_code(failure), rd_kafka_error_string(failure), error);
    rd_kafka_error_destroy(failure);
    return false;
}

bool sink_open(struct sink *sink, const struct replay_config *config, struct stop *stop,
               struct state *state, const char *positions_topic, struct error *error)
{
    *sink = (struct sink){
        .config = config, .stop = stop, .state = state, .positions_topic = positions_topic};
    if (!state)
        return producer_open(sink, NULL, error);
    snprintf(sink->group, sizeof sink->group, "vote-replay-%s", state->id);
    sink->group_metadata = rd_kafka_consumer_group_metadata_new(sink->group);
    if (!producer_open(sink, sink->group, error))
        return false;
    /* Ends what a run before us has left open, and shuts out one that is still there. */
    rd_kafka_error_t *failure = rd_kafka_init_transactions(sink->producer, TIMEOUT_MS);
    return !failure || transaction_fail(sink, "init transactions", failure, error);
}

static rd_kafka_t *recaller_open(struct sink *sink, struct error *error)
{
    const char *pairs[] = {"client.id",       "vote-replay",    "group.id", sink->group,
                           "isolation.level", "read_committed", NULL};
    rd_kafka_conf_t *conf = kafka_conf(&sink->config->kafka, pairs, NULL, error);
    return conf ? kafka_open(RD_KAFKA_CONSUMER, conf, sink->config->kafka.brokers,
                             READER_TIMEOUT_MS, error)
                : NULL;
}

bool sink_recall(struct sink *sink, struct error *error)
{
    struct state *state = sink->state;
    rd_kafka_t *recaller = recaller_open(sink, error);
    if (!recaller)
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < state->span_count; i++)
        rd_kafka_topic_partition_list_add(list, sink->positions_topic, state->spans[i].partition);
    rd_kafka_resp_err_t code = list->cnt ? rd_kafka_committed(recaller, list, TIMEOUT_MS) : 0;
    for (int i = 0; !code && i < list->cnt; i++) {
        struct span *span = &state->spans[i];
        code = list->elems[i].err;
        if (!code && list->elems[i].offset > span->from)
            span->from = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(recaller);
    return !code || error_set(error, ERROR_UNAVAILABLE, "kafka: position of %s: %s", state->path,
                              rd_kafka_err2str(code));
}

static rd_kafka_topic_t *target_find(const struct sink *sink, const char *topic)
{
    for (size_t i = 0; i < sink->target_count; i++) {
        if (!strcmp(rd_kafka_topic_name(sink->targets[i]), topic))
            return sink->targets[i];
    }
    return NULL;
}

static rd_kafka_topic_t *target_open(struct sink *sink, const char *topic, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    if (sink->target_count == TARGETS_MAX) {
        error_set(error, ERROR_DATA, "more than %d target topics", TARGETS_MAX);
        return NULL;
    }
    rd_kafka_topic_t *handle = rd_kafka_topic_new(sink->producer, topic, NULL);
    rd_kafka_resp_err_t code =
        handle ? rd_kafka_metadata(sink->producer, 0, handle, &metadata, READER_TIMEOUT_MS)
               : RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    bool known = !code && metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0;
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    if (known)
        return sink->targets[sink->target_count++] = handle;
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (code && code != RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
        error_set(error, ERROR_UNAVAILABLE, "kafka: %s: %s", topic, rd_kafka_err2str(code));
    else
        error_set(error, ERROR_USAGE, "there is no topic %s to send to", topic);
    return NULL;
}

bool sink_check(struct sink *sink, const char *topic, struct error *error)
{
    return target_find(sink, topic) || target_open(sink, topic, error);
}

static bool delivery_check(const struct sink *sink, struct error *error)
{
    return !sink->failed || sink_fail(sink, "a record was not taken", sink->failed,
                                      rd_kafka_err2str(sink->failed), error);
}

static bool transaction_begin(struct sink *sink, struct error *error)
{
    if (!sink->state || sink->in_transaction)
        return true;
    rd_kafka_error_t *failure = rd_kafka_begin_transaction(sink->producer);
    if (failure)
        return transaction_fail(sink, "begin a transaction", failure, error);
    sink->in_transaction = true;
    sink->in_transaction_count = 0;
    sink->begun_us = clock_mono_us();
    return true;
}

static rd_kafka_resp_err_t produce(struct sink *sink, rd_kafka_topic_t *target, struct item *item)
{
    struct envelope *envelope = &item->envelope;
    /* It waits while the queue is full, at most until what is in it times out.
     * A value that is empty and one that is not there are two things: the pointer tells. */
    rd_kafka_resp_err_t code = rd_kafka_producev(
        sink->producer, RD_KAFKA_V_RKT(target), RD_KAFKA_V_KEY(envelope->key, envelope->key_size),
        RD_KAFKA_V_VALUE((void *)envelope->value, envelope->value_size),
        RD_KAFKA_V_HEADERS(envelope->headers),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK), RD_KAFKA_V_END);
    if (!code)
        envelope->headers = NULL;
    return code;
}

bool sink_send(struct sink *sink, const char *topic, struct item *item, struct error *error)
{
    rd_kafka_topic_t *target = target_find(sink, topic);
    if (!target && !(target = target_open(sink, topic, error)))
        return false;
    if (!transaction_begin(sink, error))
        return false;
    rd_kafka_resp_err_t code = produce(sink, target, item);
    sink->in_transaction_count++;
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        return error_set(error, ERROR_DATA, "a record is too large for %s", topic);
    if (code)
        return sink_fail(sink, topic, code, rd_kafka_err2str(code), error);
    return delivery_check(sink, error);
}

void sink_note(struct sink *sink, int32_t partition, int64_t next)
{
    struct span *span = sink->state ? state_span(sink->state, partition) : NULL;
    if (span)
        span->next = next;
}

static rd_kafka_topic_partition_list_t *positions_list(const struct sink *sink)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < sink->state->span_count; i++) {
        const struct span *span = &sink->state->spans[i];
        if (span->next > span->from)
            rd_kafka_topic_partition_list_add(list, sink->positions_topic, span->partition)
                ->offset = span->next;
    }
    return list;
}

/* Both calls may be made again as they are, as long as the client says so. */
static rd_kafka_error_t *transaction_try(struct sink *sink, bool commit)
{
    rd_kafka_error_t *failure = NULL;
    rd_kafka_topic_partition_list_t *list = positions_list(sink);
    for (int i = 0; i < TRIES; i++) {
        failure = commit ? rd_kafka_commit_transaction(sink->producer, TIMEOUT_MS)
                         : rd_kafka_send_offsets_to_transaction(sink->producer, list,
                                                                sink->group_metadata, TIMEOUT_MS);
        if (!failure || !rd_kafka_error_is_retriable(failure) || i + 1 == TRIES)
            break;
        rd_kafka_error_destroy(failure);
        clock_sleep_us(TRY_EVERY_US);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return failure;
}

static bool transaction_commit(struct sink *sink, struct error *error)
{
    if (!sink->in_transaction)
        return true;
    rd_kafka_error_t *failure = transaction_try(sink, false);
    if (!failure)
        failure = transaction_try(sink, true);
    if (failure)
        return transaction_fail(sink, "commit", failure, error);
    sink->in_transaction = false;
    for (size_t i = 0; i < sink->state->span_count; i++) {
        struct span *span = &sink->state->spans[i];
        if (span->next > span->from)
            span->from = span->next;
    }
    return true;
}

bool sink_turn(struct sink *sink, struct error *error)
{
    rd_kafka_poll(sink->producer, 0);
    if (!delivery_check(sink, error))
        return false;
    if (!sink->in_transaction)
        return true;
    int64_t now_us = clock_mono_us();
    if (sink->in_transaction_count < TRANSACTION_RECORDS &&
        now_us - sink->begun_us < TRANSACTION_US)
        return true;
    return transaction_commit(sink, error) &&
           (now_us - sink->state->written_us < STATE_EVERY_US || state_write(sink->state, error));
}

bool sink_finish(struct sink *sink, struct error *error)
{
    if (sink->state)
        return transaction_commit(sink, error) && state_write(sink->state, error);
    rd_kafka_resp_err_t code = rd_kafka_flush(sink->producer, TIMEOUT_MS);
    return delivery_check(sink, error) &&
           (!code || error_set(error, ERROR_UNAVAILABLE, "kafka: %s", rd_kafka_err2str(code)));
}

void sink_close(struct sink *sink)
{
    for (size_t i = 0; i < sink->target_count; i++)
        rd_kafka_topic_destroy(sink->targets[i]);
    if (sink->group_metadata)
        rd_kafka_consumer_group_metadata_destroy(sink->group_metadata);
    if (sink->producer) {
        rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(sink->producer);
    }
}
