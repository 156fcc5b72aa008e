/* topics.h - the parts of vote-admin topics: what each topic should be, what Kafka says it is, and
 * how it gets there. SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_TOPICS_H
#define ADMIN_TOPICS_H

#include "vote-admin/commands.h"

enum { TOPICS_TIMEOUT_MS = 15000, TOPIC_CONFIGS = 4, CONFIG_TEXT_SIZE = 64 };

/* One topic: what it should be, and what it is. */
struct topic {
    const char *name;
    bool exists;
    int partitions, replicas; /* as they are; 0: it does not exist */
    /* retention.ms, compression.type, cleanup.policy, min.insync.replicas */
    char wanted[TOPIC_CONFIGS][CONFIG_TEXT_SIZE];
    char found[TOPIC_CONFIGS][CONFIG_TEXT_SIZE];
    /* What else was set on this topic alone. */
    struct option_pairs own;
};

extern const char *const topic_config_names[TOPIC_CONFIGS];

/* topics_admin.c: each asks Kafka for one thing; false with the error filled */

/* Creates it; *existed when somebody else had before. */
bool topic_create(rd_kafka_t *client, const struct admin_config *config, const struct topic *topic,
                  bool *existed, struct error *error) __attribute__((warn_unused_result));

/* Raises the number of partitions. */
bool topic_grow(rd_kafka_t *client, const struct topic *topic, int partitions, struct error *error)
    __attribute__((warn_unused_result));

/* Reads `found` and `own`. Free them with topic_free. */
bool topic_describe(rd_kafka_t *client, struct topic *topic, struct error *error)
    __attribute__((warn_unused_result));
void topic_free(struct topic *topic);

/* Sets the wanted configs, and keeps what else was set on the topic. */
bool topic_configure(rd_kafka_t *client, const struct topic *topic, struct error *error)
    __attribute__((warn_unused_result));

#endif
