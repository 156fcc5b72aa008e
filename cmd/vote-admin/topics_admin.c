/* topics_admin.c - one request to Kafka's admin API at a time, and its answer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *failure_text(const char *text, rd_kafka_resp_err_t code)
{
    return text ? text : rd_kafka_err2str(code);
}

/* The answer on the queue; NULL with the error filled when none came, or it is a failure of all. */
static rd_kafka_event_t *answer_await(rd_kafka_queue_t *queue, const char *what, const char *name,
                                      struct error *error)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TOPICS_TIMEOUT_MS);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!code)
        return event;
    error_set(error, ERROR_UNAVAILABLE, "unable to %s %s: %s", what, name,
              failure_text(event ? rd_kafka_event_error_string(event) : NULL, code));
    rd_kafka_event_destroy(event);
    return NULL;
}

/* What became of a request about one topic. */
static rd_kafka_resp_err_t topic_outcome(const rd_kafka_topic_result_t **results, size_t count,
                                         const char *what, const char *name, struct error *error)
{
    rd_kafka_resp_err_t code =
        count ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    const char *text = count ? rd_kafka_topic_result_error_string(results[0]) : NULL;
    if (code)
        error_set(error, ERROR_UNAVAILABLE, "unable to %s %s: %s", what, name,
                  failure_text(text, code));
    return code;
}

static rd_kafka_resp_err_t create_send(rd_kafka_t *client, rd_kafka_NewTopic_t *new,
                                       const char *name, struct error *error)
{
    size_t count = 0;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &new, 1, NULL, queue);
    rd_kafka_event_t *event = answer_await(queue, "create", name, error);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__FAIL;
    if (event) {
        const rd_kafka_CreateTopics_result_t *answer = rd_kafka_event_CreateTopics_result(event);
        const rd_kafka_topic_result_t **results =
            rd_kafka_CreateTopics_result_topics(answer, &count);
        code = topic_outcome(results, count, "create", name, error);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    return code;
}

/* Asking for its metadata first would let a broker with auto.create.topics.enable make it by
 * itself, with its own partition count: so creating comes first, and may find that it exists. */
bool topic_create(rd_kafka_t *client, const struct admin_config *config, const struct topic *topic,
                  bool *existed, struct error *error)
{
    char why[200];
    rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(
        topic->name, (int)config->partitions, (int)config->replication_factor, why, sizeof why);
    if (!new)
        return error_set(error, ERROR_USAGE, "%s: %s", topic->name, why);
    for (int i = 0; i < TOPIC_CONFIGS; i++)
        rd_kafka_NewTopic_set_config(new, topic_config_names[i], topic->wanted[i]);
    rd_kafka_resp_err_t code = create_send(client, new, topic->name, error);
    rd_kafka_NewTopic_destroy(new);
    *existed = code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
    return !code || *existed;
}

bool topic_grow(rd_kafka_t *client, const struct topic *topic, int partitions, struct error *error)
{
    char why[200];
    size_t count = 0;
    rd_kafka_NewPartitions_t *new =
        rd_kafka_NewPartitions_new(topic->name, (size_t)partitions, why, sizeof why);
    if (!new)
        return error_set(error, ERROR_USAGE, "%s: %s", topic->name, why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreatePartitions(client, &new, 1, NULL, queue);
    rd_kafka_event_t *event = answer_await(queue, "add partitions to", topic->name, error);
    bool fine = event != NULL;
    if (event) {
        const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
            rd_kafka_event_CreatePartitions_result(event), &count);
        fine = !topic_outcome(results, count, "add partitions to", topic->name, error);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewPartitions_destroy(new);
    return fine;
}

static char *copy(const char *text)
{
    char *copied = strdup(text);
    if (!copied)
        abort();
    return copied;
}

static void own_add(struct topic *topic, const char *name, const char *value)
{
    struct option_pairs *own = &topic->own;
    own->keys = reallocarray(own->keys, own->count + 1, sizeof *own->keys);
    own->values = reallocarray(own->values, own->count + 1, sizeof *own->values);
    if (!own->keys || !own->values)
        abort();
    own->keys[own->count] = copy(name);
    own->values[own->count++] = copy(value);
}

void topic_free(struct topic *topic)
{
    for (size_t i = 0; i < topic->own.count; i++) {
        free(topic->own.keys[i]);
        free(topic->own.values[i]);
    }
    free(topic->own.keys);
    free(topic->own.values);
    topic->own = (struct option_pairs){0};
}

static void config_take(struct topic *topic, const rd_kafka_ConfigEntry_t *entry)
{
    const char *name = rd_kafka_ConfigEntry_name(entry), *value = rd_kafka_ConfigEntry_value(entry);
    if (!value)
        return;
    for (int i = 0; i < TOPIC_CONFIGS; i++) {
        if (!strcmp(topic_config_names[i], name)) {
            snprintf(topic->found[i], CONFIG_TEXT_SIZE, "%s", value);
            return;
        }
    }
    if (rd_kafka_ConfigEntry_source(entry) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG)
        own_add(topic, name, value);
}

/* What became of a request about one topic's configs. */
static bool config_outcome(const rd_kafka_ConfigResource_t **results, size_t count,
                           const char *what, const char *name, struct error *error)
{
    rd_kafka_resp_err_t code =
        count ? rd_kafka_ConfigResource_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    const char *text = count ? rd_kafka_ConfigResource_error_string(results[0]) : NULL;
    return !code || error_set(error, ERROR_UNAVAILABLE, "unable to %s %s: %s", what, name,
                              failure_text(text, code));
}

static bool describe_take(struct topic *topic, const rd_kafka_event_t *event, struct error *error)
{
    size_t count, entry_count;
    const rd_kafka_ConfigResource_t **results = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)event), &count);
    if (!config_outcome(results, count, "ask for the configs of", topic->name, error))
        return false;
    const rd_kafka_ConfigEntry_t **entries =
        rd_kafka_ConfigResource_configs(results[0], &entry_count);
    for (size_t i = 0; i < entry_count; i++)
        config_take(topic, entries[i]);
    return true;
}

bool topic_describe(rd_kafka_t *client, struct topic *topic, struct error *error)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic->name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DescribeConfigs(client, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = answer_await(queue, "ask for the configs of", topic->name, error);
    bool fine = event && describe_take(topic, event, error);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    return fine;
}

/* The request replaces all that was set on the topic: so it names that again. */
static rd_kafka_ConfigResource_t *configs_wanted(const struct topic *topic)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic->name);
    for (size_t i = 0; i < topic->own.count; i++)
        rd_kafka_ConfigResource_set_config(resource, topic->own.keys[i], topic->own.values[i]);
    for (int i = 0; i < TOPIC_CONFIGS; i++)
        rd_kafka_ConfigResource_set_config(resource, topic_config_names[i], topic->wanted[i]);
    return resource;
}

bool topic_configure(rd_kafka_t *client, const struct topic *topic, struct error *error)
{
    size_t count;
    rd_kafka_ConfigResource_t *resource = configs_wanted(topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AlterConfigs(client, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = answer_await(queue, "configure", topic->name, error);
    bool fine = event != NULL;
    if (event) {
        const rd_kafka_ConfigResource_t **results = rd_kafka_AlterConfigs_result_resources(
            rd_kafka_event_AlterConfigs_result(event), &count);
        fine = config_outcome(results, count, "configure", topic->name, error);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    return fine;
}
