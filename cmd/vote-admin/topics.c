/* topics.c - vote-admin topics: creates what is missing, reports what differs, changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"
#include "vote/event.h"

#include <stdio.h>

enum { TIMEOUT_MS = 15000, CONNECT_MS = 8000 };

#define AT(member) .offset = offsetof(struct admin_config, member)
const struct option topics_options[TOPICS_OPTION_COUNT] = {
    {.name = "partitions",
     .type = OPTION_INT,
     AT(partitions),
     .preset = "6",
     .argument = "N",
     .min = 1,
     .max = 1024,
     .summary = "of each new topic"},
    {.name = "replication-factor",
     .type = OPTION_INT,
     AT(replication_factor),
     .preset = "1",
     .argument = "N",
     .min = 1,
     .max = 7,
     .summary = "of each new topic"},
};

struct topic {
    const char *name, *retention_ms;
};

static const struct topic topics[] = {
    {TOPIC_REQUESTS, "604800000"}, {TOPIC_RESULTS, "604800000"}, {TOPIC_DEAD, "2592000000"}};

/* How many partitions a topic has that is known to exist. */
static bool topic_count_partitions(rd_kafka_t *client, const char *name, int *count,
                                   struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, topic, &metadata, TIMEOUT_MS);
    rd_kafka_topic_destroy(topic);
    if (code)
        return error_set(error, ERROR_UNAVAILABLE, "unable to ask kafka for %s: %s", name,
                         rd_kafka_err2str(code));
    code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    *count = code ? 0 : metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return !code || error_set(error, ERROR_UNAVAILABLE, "unable to ask kafka for %s: %s", name,
                              rd_kafka_err2str(code));
}

static const char *failure_text(const rd_kafka_topic_result_t *result, rd_kafka_resp_err_t code)
{
    const char *text = result ? rd_kafka_topic_result_error_string(result) : NULL;
    return text ? text : rd_kafka_err2str(code);
}

/* Waits for the answer to a CreateTopics request for one topic. */
static bool topic_await(rd_kafka_queue_t *queue, const char *name, bool *existed,
                        struct error *error)
{
    size_t count = 0;
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    const rd_kafka_CreateTopics_result_t *answer =
        event ? rd_kafka_event_CreateTopics_result(event) : NULL;
    const rd_kafka_topic_result_t **results =
        answer ? rd_kafka_CreateTopics_result_topics(answer, &count) : NULL;
    rd_kafka_resp_err_t code = count   ? rd_kafka_topic_result_error(results[0])
                               : event ? rd_kafka_event_error(event)
                                       : RD_KAFKA_RESP_ERR__TIMED_OUT;
    *existed = code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
    if (code && !*existed)
        error_set(error, ERROR_UNAVAILABLE, "unable to create %s: %s", name,
                  failure_text(count ? results[0] : NULL, code));
    rd_kafka_event_destroy(event);
    return !code || *existed;
}

/* Asking for its metadata first would let a broker with auto.create.topics.enable make it by
 * itself, with its own partition count: so creating comes first, and may find that it exists. */
static bool topic_create(rd_kafka_t *client, const struct admin_config *config,
                         const struct topic *topic, bool *existed, struct error *error)
{
    char why[200];
    rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(
        topic->name, (int)config->partitions, (int)config->replication_factor, why, sizeof why);
    if (!new)
        return error_set(error, ERROR_USAGE, "%s: %s", topic->name, why);
    rd_kafka_NewTopic_set_config(new, "retention.ms", topic->retention_ms);
    rd_kafka_NewTopic_set_config(new, "compression.type", "producer");
    if (config->replication_factor >= 3)
        rd_kafka_NewTopic_set_config(new, "min.insync.replicas", "2");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &new, 1, NULL, queue);
    bool fine = topic_await(queue, topic->name, existed, error);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(new);
    return fine;
}

static bool topic_ensure(rd_kafka_t *client, const struct admin_config *config,
                         const struct topic *topic, bool *differs, struct error *error)
{
    bool existed = false;
    int count = (int)config->partitions;
    if (!topic_create(client, config, topic, &existed, error))
        return false;
    if (!existed) {
        printf("created %s with %d partitions\n", topic->name, count);
        return true;
    }
    if (!topic_count_partitions(client, topic->name, &count, error))
        return false;
    bool same = count == config->partitions;
    if (same)
        printf("%s has %d partitions\n", topic->name, count);
    else
        printf("%s has %d partitions, not %d\n", topic->name, count, (int)config->partitions);
    *differs = *differs || !same;
    return true;
}

bool topics_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)log;
    const struct admin_config *config = context;
    static const char *const pairs[] = {"client.id", "vote-admin", NULL};
    bool differs = false, fine = true;
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, pairs, NULL, error);
    rd_kafka_t *client =
        conf ? kafka_open(RD_KAFKA_PRODUCER, conf, config->kafka.brokers, CONNECT_MS, error) : NULL;
    if (!client)
        return false;
    for (size_t i = 0; fine && i < sizeof topics / sizeof *topics; i++)
        fine = topic_ensure(client, config, &topics[i], &differs, error);
    rd_kafka_destroy(client);
    if (fine && differs && options_given(options, "partitions"))
        return error_set(error, ERROR_FOUND,
                         "partitions are never changed: a project's votes would change their "
                         "partition and lose their order");
    return fine;
}
