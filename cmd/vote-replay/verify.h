/* verify.h - what a replay of the log comes to, beside the live tables. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef REPLAY_VERIFY_H
#define REPLAY_VERIFY_H

#include "vote-replay/replay.h"
#include "vote-replay/scratch.h"
#include "vote/request_columns.h"

struct verify {
    const struct replay_config *config;
    struct stop *stop;
    struct pg live; /* in one snapshot from progress_read on */
    struct scratch scratch;
    struct reader reader;
    PGresult *failed; /* requests that were given up or wait in vote.parked, in order */
    bool complete;    /* the log has every request from the first on */
    struct request_columns columns;
    size_t waiting; /* requests in `columns` */
    int64_t requests, undecodable, left_out, differences;
    struct meter meter;
};

bool verify_statement(struct pg *pg, const char *sql, struct error *error)
    __attribute__((warn_unused_result));

/* compare.c: prints what differs, and counts it. */
bool verify_compare(struct verify *verify, struct error *error) __attribute__((warn_unused_result));

#endif
