/* lag.h - the parts of vote-admin lag: what each stage has before it, and how that is shown.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_LAG_H
#define ADMIN_LAG_H

#include "kafka/reader.h"
#include "pg/pg.h"
#include "vote-admin/commands.h"

/* A partition as a stage has it. -1: not known. */
struct lag_row {
    const char *stage, *topic;
    int32_t partition;
    int64_t next; /* the next offset that the stage takes: what counts */
    int64_t hint; /* its group's committed offset */
    int64_t low, end;
    int64_t oldest_ms; /* when the record at `next` was made */
};

/* Rows of a table that wait. */
struct lag_table {
    int64_t rows;
    double seconds; /* how long the oldest has waited */
};

struct lag {
    const struct admin_config *config;
    struct pg pg;
    int64_t now_ms;
    struct lag_row *rows;
    size_t row_count;
    struct lag_table outbox, parked;
    int64_t dead; /* records in vote.dead */
};

/* How many records wait, and for how long in seconds; -1: not known. */
int64_t lag_records(const struct lag_row *row);
double lag_seconds(const struct lag *lag, const struct lag_row *row);

/* lag_read.c: fills it from Kafka and Postgres. */
bool lag_read(struct lag *lag, struct error *error) __attribute__((warn_unused_result));
void lag_free(struct lag *lag);

#endif
