/* audit.h - the parts of vote-admin audit: the log into a table, what is compared, and repairs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_AUDIT_H
#define ADMIN_AUDIT_H

#include "base/log.h"
#include "kafka/reader.h"
#include "pg/pg.h"
#include "redis/redis.h"

struct audit {
    struct pg pg; /* one connection: its temporary tables are what the parts share */
    struct reader reader;
    int64_t records;     /* read from the log */
    int64_t undecodable; /* of them: no votes */
    int64_t forgotten;   /* of them: wishes to be forgotten */
    int64_t differences; /* all that were found */
    int64_t misplaced;   /* of them: vote.progress beside the log; nothing repairs those */
    struct redis *redis; /* NULL: it is away */
    int64_t states;      /* looked at in Redis */
    int64_t stale;       /* of the differences: states that show something else than Postgres */
    bool dry_run;        /* what a repair does is rolled back */
};

/* Runs a statement without rows. */
bool audit_execute(struct audit *audit, const char *sql, struct error *error)
    __attribute__((warn_unused_result));

/* audit_log.c: makes two temporary tables out of vote.requests, up to where the snapshot says it
 * was applied: audit_range(partition, low, next) and audit_log(partition, record, project_id,
 * user_id, value, previous, action, seq, request_id, accepted_at, variant). Prints, and counts as
 * differences, progress that the log does not bear out; prints the lag, which is none. */
bool audit_load_log(struct audit *audit, struct error *error) __attribute__((warn_unused_result));

/* audit_check.c: makes the temporary views that checks and repairs read. */
bool audit_make_views(struct audit *audit, struct error *error) __attribute__((warn_unused_result));

/* Runs every check, prints each difference behind `prefix`, and adds their number to *count. Their
 * projects are in audit_found(project_id, sentence) then. */
bool audit_find(struct audit *audit, const char *prefix, int64_t *count, struct error *error)
    __attribute__((warn_unused_result));

/* audit_redis.c: connects `redis`, or says why not within 2 s. */
bool audit_redis_open(struct audit *audit, const struct redis_config *config, struct error *error)
    __attribute__((warn_unused_result));

/* Compares every state in Redis, but those of audit_found, with Postgres, prints and counts what
 * differs, and puts it into audit_stale(project_id). Call it outside a transaction. */
bool audit_redis_compare(struct audit *audit, struct error *error)
    __attribute__((warn_unused_result));

/* Drops the states of audit_stale, and of audit_repaired(project_id), and says how many. */
bool audit_redis_repair(struct audit *audit, struct error *error)
    __attribute__((warn_unused_result));

/* audit_repair.c: repairs what audit_find has found, in one transaction, and prints a line for each
 * change; a dry run prints the same lines, and changes nothing; *left is how many differences
 * remain, each printed. Then drops from Redis what is no more so. */
bool audit_repair(struct audit *audit, int64_t *left, struct error *error)
    __attribute__((warn_unused_result));

#endif
