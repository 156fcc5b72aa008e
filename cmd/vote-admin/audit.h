/* audit.h - the parts of vote-admin audit: the log into a table, and what is compared.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_AUDIT_H
#define ADMIN_AUDIT_H

#include "kafka/reader.h"
#include "pg/pg.h"

struct audit {
    struct pg pg; /* in one REPEATABLE READ transaction */
    struct reader reader;
    int64_t records;     /* read from the log */
    int64_t undecodable; /* of them: no votes */
    int64_t differences;
};

/* Runs a statement without rows. */
bool audit_execute(struct audit *audit, const char *sql, struct error *error)
    __attribute__((warn_unused_result));

/* audit_log.c: makes two temporary tables out of vote.requests, up to where the snapshot says it
 * was applied: audit_range(partition, low, next) and audit_log(partition, record, project_id,
 * user_id, value, seq, request_id). Prints, and counts as differences, progress that the log does
 * not bear out; prints the lag, which is none. */
bool audit_load_log(struct audit *audit, struct error *error) __attribute__((warn_unused_result));

#endif
