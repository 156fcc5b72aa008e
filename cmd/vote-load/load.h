/* load.h - the parts of vote-load: a plan of votes, the sender, the check afterwards.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LOAD_H
#define LOAD_H

#include "base/error.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "vote/ids.h"
#include "vote/names.h"

#include <stdint.h>

struct load_config {
    const char *url;
    char *url_kept;   /* the same without a slash at its end */
    const char *file; /* NULL: a synthetic mix */
    const char *jwt_secret;
    int64_t users, projects, seed, connections;
    const char *hot_text; /* fraction of synthetic votes on the first project */
    double hot;
    double rate_per_s;   /* 0: as fast as answered */
    int64_t duration_us; /* 0: until the plan ends */
    int64_t retry_for_us, verify_timeout_us;
    bool verify;
    int format; /* 0 text, 1 json */
};

enum { NO_VOTE = UINT32_MAX };

enum vote_state { PLANNED, BLOCKED, SENT, ACCEPTED, REFUSED };

/* One vote to send. Votes of one user on one project form a chain: each waits for the one before.
 */
struct planned_vote {
    int64_t timestamp_ms;
    uint32_t user, project;
    uint32_t before, after; /* in the chain, or NO_VOTE */
    signed char value;
    unsigned char state; /* enum vote_state */
};

struct plan {
    struct planned_vote *votes;
    size_t count, capacity;
    struct names users, projects;
    uint32_t *chain_slots; /* hash of (user, project) to the chain's last vote + 1 */
    size_t chain_slot_count;
    uint64_t random;
};

/* Reads votes.csv in the order of its timestamps. */
bool plan_read_file(struct plan *plan, const char *path, struct error *error)
    __attribute__((warn_unused_result));

/* Adds `count` votes of a synthetic mix. */
void plan_add_mix(struct plan *plan, const struct load_config *config, size_t count);
void plan_free(struct plan *plan);

enum { STATUS_MAX = 600, DETAIL_SIZE = 160 };

/* What the sending came to. */
struct outcome {
    struct histogram latency_us;
    uint64_t accepted, refused, retries;
    uint64_t refused_by_status[STATUS_MAX];     /* 0: no answer */
    char first_detail[STATUS_MAX][DETAIL_SIZE]; /* the server's words at the first of each */
    double seconds;
    char (*last_request)[REQUEST_ID_SIZE]; /* of each project; empty when none was accepted */
    uint32_t *last_user;
};

/* A token for each user, made when first needed. */
struct tokens {
    char **by_user;
    size_t count;
};

const char *tokens_get(struct tokens *tokens, const struct load_config *config,
                       const struct plan *plan, uint32_t user);
void tokens_free(struct tokens *tokens);

/* Sends the plan. Fails only when the server was never reached. */
bool sender_run(const struct load_config *config, struct plan *plan, struct tokens *tokens,
                struct stop *stop, struct outcome *outcome, struct error *error)
    __attribute__((warn_unused_result));

/* Waits for the commits and compares what stands with the plan: each project's counts with a
 * file's, each user's own votes with a mix's; prints what differs. A stop ends the waiting: what is
 * not right by then differs. */
bool verify_run(const struct load_config *config, const struct plan *plan, struct tokens *tokens,
                const struct outcome *outcome, struct stop *stop, struct error *error)
    __attribute__((warn_unused_result));

void report_print(const struct load_config *config, const struct outcome *outcome);

#endif
