/* topics.c - vote-admin topics: creates what is missing, prints what differs, and mends it when
 * told to.
 *
 * A partition more changes where a project's next votes go, and not where its earlier ones are: for
 * a moment two partitions have votes of one project, and only `seq` still orders them. So
 * partitions are raised when asked for, with a warning, and never lowered, which Kafka cannot.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/topics.h"

#include "vote/event.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_MS = 8000, TOPICS = 3, US_PER_MS = 1000, MIN_INSYNC = 3 };

const struct option topics_options[TOPICS_OPTION_COUNT] = {
    {.name = "partitions",
     .type = OPTION_INT,
     ADMIN_AT(partitions),
     .preset = "6",
     .argument = "N",
     .min = 1,
     .max = 1024,
     .summary = "of each topic"},
    {.name = "replication-factor",
     .type = OPTION_INT,
     ADMIN_AT(replication_factor),
     .preset = "1",
     .argument = "N",
     .min = 1,
     .max = 7,
     .summary = "of each topic"},
    {.name = "retention",
     .type = OPTION_DURATION,
     ADMIN_AT(retention_us),
     .preset = "7d",
     .argument = "DURATION",
     .min = 1000000,
     .max = INT64_C(3153600000000000),
     .summary = "of vote.requests and vote.results"},
    {.name = "dead-retention",
     .type = OPTION_DURATION,
     ADMIN_AT(dead_retention_us),
     .preset = "30d",
     .argument = "DURATION",
     .min = 1000000,
     .max = INT64_C(3153600000000000),
     .summary = "of vote.dead"},
    {.name = "apply",
     .type = OPTION_SWITCH,
     ADMIN_AT(apply),
     .flags = OPTION_FLAG_ONLY,
     .summary = "mend what differs and can be mended"},
    OPTION_DRY_RUN("only say what there is to do"),
    OPTION_YES,
};

const char *const topic_config_names[TOPIC_CONFIGS] = {"retention.ms", "compression.type",
                                                       "cleanup.policy", "min.insync.replicas"};

/* One call. */
struct topics {
    const struct admin_config *config;
    const struct options *options;
    rd_kafka_t *client;
    struct topic topics[TOPICS];
    int to_do;     /* differences that --apply mends */
    int left;      /* those that it cannot */
    int asked_for; /* of either: a flag had asked for what is not so */
};

/* What each topic should be; a topic that exists has `replicas` to go by. */
static void topic_want(struct topic *topic, const struct admin_config *config)
{
    bool dead = !strcmp(topic->name, TOPIC_DEAD);
    int64_t retention_us = dead ? config->dead_retention_us : config->retention_us;
    int replicas = topic->exists ? topic->replicas : (int)config->replication_factor;
    snprintf(topic->wanted[0], CONFIG_TEXT_SIZE, "%lld", (long long)(retention_us / US_PER_MS));
    snprintf(topic->wanted[1], CONFIG_TEXT_SIZE, "producer");
    snprintf(topic->wanted[2], CONFIG_TEXT_SIZE, "delete");
    snprintf(topic->wanted[3], CONFIG_TEXT_SIZE, "%d", replicas >= MIN_INSYNC ? 2 : 1);
}

/* Which topics there are, by all of the cluster's: asking for one by name may make it. */
static bool topics_look(struct topics *topics, struct error *error)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(topics->client, 1, NULL, &metadata, TOPICS_TIMEOUT_MS);
    if (code)
        return error_set(error, ERROR_UNAVAILABLE, "unable to ask kafka for its topics: %s",
                         rd_kafka_err2str(code));
    for (int t = 0; t < TOPICS; t++) {
        struct topic *topic = &topics->topics[t];
        for (int i = 0; i < metadata->topic_cnt; i++) {
            const struct rd_kafka_metadata_topic *found = &metadata->topics[i];
            if (strcmp(found->topic, topic->name) != 0 || found->partition_cnt < 1)
                continue;
            topic->exists = true;
            topic->partitions = found->partition_cnt;
            topic->replicas = found->partitions[0].replica_cnt;
        }
        topic_want(topic, topics->config);
    }
    rd_kafka_metadata_destroy(metadata);
    return true;
}

/* Notes a difference under `flag`: 1 in `mendable` or `left`. */
static void differs(struct topics *topics, const char *flag, bool mendable)
{
    topics->to_do += mendable;
    topics->left += !mendable;
    topics->asked_for += options_given(topics->options, flag);
}

static void partitions_compare(struct topics *topics, const struct topic *topic)
{
    int wanted = (int)topics->config->partitions;
    if (topic->partitions == wanted) {
        printf("%s has %d partitions\n", topic->name, wanted);
        return;
    }
    bool asked = options_given(topics->options, "partitions");
    printf("%s has %d partitions, not %d%s\n", topic->name, topic->partitions, wanted,
           topic->partitions > wanted ? ": they are never fewer again" : "");
    if (asked)
        differs(topics, "partitions", topic->partitions < wanted);
}

static void replicas_compare(struct topics *topics, const struct topic *topic)
{
    int wanted = (int)topics->config->replication_factor;
    if (!options_given(topics->options, "replication-factor") || topic->replicas == wanted)
        return;
    printf("%s has %d replicas, not %d: kafka-reassign-partitions moves them\n", topic->name,
           topic->replicas, wanted);
    differs(topics, "replication-factor", false);
}

static void configs_compare(struct topics *topics, const struct topic *topic)
{
    const char *retention = strcmp(topic->name, TOPIC_DEAD) ? "retention" : "dead-retention";
    for (int i = 0; i < TOPIC_CONFIGS; i++) {
        if (!strcmp(topic->wanted[i], topic->found[i]))
            continue;
        printf("%s has %s=%s, not %s\n", topic->name, topic_config_names[i], topic->found[i],
               topic->wanted[i]);
        differs(topics, i == 0 ? retention : "", true);
    }
}

static bool topic_compare(struct topics *topics, struct topic *topic, struct error *error)
{
    bool existed;
    if (!topic->exists && topics->config->dry_run) {
        printf("%s is missing\n", topic->name);
        topics->to_do++;
        return true;
    }
    if (!topic->exists) {
        if (!topic_create(topics->client, topics->config, topic, &existed, error))
            return false;
        if (existed)
            printf("%s was created by somebody else just now\n", topic->name);
        else
            printf("created %s with %d partitions\n", topic->name, (int)topics->config->partitions);
        return true;
    }
    if (!topic_describe(topics->client, topic, error))
        return false;
    partitions_compare(topics, topic);
    replicas_compare(topics, topic);
    configs_compare(topics, topic);
    return true;
}

static bool configs_differ(const struct topic *topic)
{
    bool same = true;
    for (int i = 0; i < TOPIC_CONFIGS; i++)
        same = same && !strcmp(topic->wanted[i], topic->found[i]);
    return !same;
}

static bool topic_mend(struct topics *topics, const struct topic *topic, struct error *error)
{
    int partitions = (int)topics->config->partitions;
    if (!topic->exists)
        return true;
    if (options_given(topics->options, "partitions") && topic->partitions < partitions) {
        if (!topic_grow(topics->client, topic, partitions, error))
            return false;
        printf("mended: %s has %d partitions now\n", topic->name, partitions);
    }
    if (configs_differ(topic)) {
        if (!topic_configure(topics->client, topic, error))
            return false;
        printf("mended: %s is configured\n", topic->name);
    }
    return true;
}

/* What a project's votes meet when their topic grows. */
static void growth_warn(const struct topics *topics)
{
    for (int t = 0; t < TOPICS; t++) {
        const struct topic *topic = &topics->topics[t];
        if (topic->exists && topic->partitions < topics->config->partitions &&
            options_given(topics->options, "partitions")) {
            fputs("vote-admin: warning: with more partitions a project's votes go to another one: "
                  "until the old is read, only seq keeps their order, and results of one project "
                  "may come out of order for a moment; restart the tools afterwards\n",
                  stderr);
            return;
        }
    }
}

static bool topics_apply(struct topics *topics, struct error *error)
{
    char question[80];
    growth_warn(topics);
    snprintf(question, sizeof question, "Mend %d differences?", topics->to_do);
    if (!confirm(topics->config, question, error))
        return false;
    for (int t = 0; t < TOPICS; t++) {
        if (!topic_mend(topics, &topics->topics[t], error))
            return false;
    }
    return topics->left == 0 ||
           error_set(error, ERROR_FOUND, "%d differences are left", topics->left);
}

static bool topics_conclude(const struct topics *topics, struct error *error)
{
    int found = topics->to_do + topics->left;
    if (topics->config->dry_run && found)
        return error_set(error, ERROR_FOUND, "%d to do, %d that cannot be mended here",
                         topics->to_do, topics->left);
    if (topics->asked_for)
        return error_set(error, ERROR_FOUND, "not as asked for: --apply mends what can be mended");
    return true;
}

static bool topics_serve(struct topics *topics, struct error *error)
{
    bool fine = topics_look(topics, error);
    for (int t = 0; fine && t < TOPICS; t++)
        fine = topic_compare(topics, &topics->topics[t], error);
    if (fine && topics->config->apply && !topics->config->dry_run && topics->to_do)
        return topics_apply(topics, error);
    return fine && topics_conclude(topics, error);
}

bool topics_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)log;
    const struct admin_config *config = context;
    static const char *const pairs[] = {"client.id", "vote-admin", NULL};
    struct topics topics = {
        .config = config,
        .options = options,
        .topics = {{.name = TOPIC_REQUESTS}, {.name = TOPIC_RESULTS}, {.name = TOPIC_DEAD}}};
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, pairs, NULL, error);
    topics.client =
        conf ? kafka_open(RD_KAFKA_PRODUCER, conf, config->kafka.brokers, CONNECT_MS, error) : NULL;
    if (!topics.client)
        return false;
    bool fine = topics_serve(&topics, error);
    for (int t = 0; t < TOPICS; t++)
        topic_free(&topics.topics[t]);
    rd_kafka_destroy(topics.client);
    return fine;
}
