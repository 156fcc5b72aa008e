/* commands.h - the commands of vote-admin; each is the `run` of a tool.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_COMMANDS_H
#define ADMIN_COMMANDS_H

#include "base/log.h"
#include "base/option.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"

struct admin_config {
    struct kafka_config kafka;
    struct pg_config pg;
    struct redis_config redis;
    const char *jwt_secret;
    const char *user;
    const char *scope;
    int64_t ttl_us;
    int64_t partitions;
    int64_t replication_factor;
    bool repair;
    const char *http_url;
    int64_t sample;
    int64_t check_timeout_us;
};

/* Applies the migrations that are missing, under an advisory lock. */
bool migrate_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option topics_options[];
enum { TOPICS_OPTION_COUNT = 2 };

/* Creates the topics that are missing. Ends with ERROR_FOUND when --partitions was given and a
 * topic has another count; it is not changed. */
bool topics_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option token_options[];
enum { TOKEN_OPTION_COUNT = 4 };

/* Prints a token. */
bool token_run(void *config, const struct options *options, struct log *log, struct error *error);

/* Imports a CSV of projects: all of its lines or none. */
bool projects_run(void *config, const struct options *options, struct log *log,
                  struct error *error);

extern const struct option audit_options[];
enum { AUDIT_OPTION_COUNT = 1 };

/* Recounts votes, compares with projects and with the log; ERROR_FOUND when they differ. With
 * --repair, when something could not be repaired. */
bool audit_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option check_options[];
enum { CHECK_OPTION_COUNT = 3 };

/* Compares a sample of projects over Redis, caches and Postgres; ERROR_FOUND when some still differ
 * after --timeout. */
bool check_run(void *config, const struct options *options, struct log *log, struct error *error);

#endif
