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
    int64_t retention_us;
    int64_t dead_retention_us;
    int64_t timeout_us;
    int64_t max_lag_us;
    int64_t window_us;
    int64_t since_us;
    int64_t top;
    const char *group;
    const char *invalidate_group;
    int format; /* enum admin_format */
    bool apply;
    bool repair;
    const char *http_url;
    int64_t sample;
    int64_t check_timeout_us;
    bool yes;
    bool dry_run;
};

enum admin_format { FORMAT_TEXT, FORMAT_JSON };

/* The members of a table of options that several commands have. */
extern const char *const format_choices[];
#define ADMIN_AT(member) .offset = offsetof(struct admin_config, member)
#define OPTION_FORMAT                                                                              \
    {                                                                                              \
        .name = "format", .type = OPTION_CHOICE, ADMIN_AT(format), .preset = "text",               \
        .argument = "FORMAT", .choices = format_choices, .flags = OPTION_FLAG_ONLY,                \
        .summary = "text or json"                                                                  \
    }
#define OPTION_YES                                                                                 \
    {                                                                                              \
        .name = "yes", .letter = 'y', .type = OPTION_SWITCH, ADMIN_AT(yes),                        \
        .flags = OPTION_FLAG_ONLY, .summary = "do not ask"                                         \
    }
#define OPTION_DRY_RUN(text)                                                                       \
    {                                                                                              \
        .name = "dry-run", .letter = 'n', .type = OPTION_SWITCH, ADMIN_AT(dry_run),                \
        .flags = OPTION_FLAG_ONLY, .summary = text                                                 \
    }

/* confirm.c: true when what cannot be taken back may be done: --yes was given, or a person on the
 * terminal has answered `question` with y. ERROR_USAGE: there is no terminal to ask on. */
bool confirm(const struct admin_config *config, const char *question, struct error *error)
    __attribute__((warn_unused_result));
bool confirm_has_terminal(void);

/* Applies the migrations that are missing, under an advisory lock. */
bool migrate_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option topics_options[];
enum { TOPICS_OPTION_COUNT = 7 };

/* Creates the topics that are missing, and prints how those that exist differ from what they should
 * be; with --apply it mends that. ERROR_FOUND: something that a flag asked for, or that --dry-run
 * would do, is left. */
bool topics_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option token_options[];
enum { TOKEN_OPTION_COUNT = 4 };

/* Prints a token. */
bool token_run(void *config, const struct options *options, struct log *log, struct error *error);

/* Imports a CSV of projects: all of its lines or none; or exports one. */
bool projects_run(void *config, const struct options *options, struct log *log,
                  struct error *error);

extern const struct option audit_options[];
enum { AUDIT_OPTION_COUNT = 3 };

/* Recounts votes, compares with projects and with the log; ERROR_FOUND when they differ. With
 * --repair, when something could not be repaired. */
bool audit_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option check_options[];
enum { CHECK_OPTION_COUNT = 3 };

/* Compares a sample of projects over Redis, caches and Postgres; ERROR_FOUND when some still differ
 * after --timeout. */
bool check_run(void *config, const struct options *options, struct log *log, struct error *error);
extern const struct option forget_options[];
enum { FORGET_OPTION_COUNT = 3 };

/* Has a user forgotten: writes the wish into every partition of vote.requests and waits until
 * vote-commit has granted it. ERROR_RETRY: it has not in time, but will. */
bool forget_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option lag_options[];
enum { LAG_OPTION_COUNT = 4 };

/* How far behind each stage is; ERROR_FOUND when one is further than --max-lag. */
bool lag_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option trace_options[];
enum { TRACE_OPTION_COUNT = 2 };

/* One request's life; ERROR_FOUND when nothing knows it. */
bool trace_run(void *config, const struct options *options, struct log *log, struct error *error);

extern const struct option stats_options[];
enum { STATS_OPTION_COUNT = 3 };

/* What the ledger tells of the last minutes, and what there is in total. */
bool stats_run(void *config, const struct options *options, struct log *log, struct error *error);

#endif
