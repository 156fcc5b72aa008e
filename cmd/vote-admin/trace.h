/* trace.h - the parts of vote-admin trace: what each place knows of one request.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_TRACE_H
#define ADMIN_TRACE_H

#include "kafka/reader.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "vote-admin/commands.h"
#include "vote/event.h"

enum { TEXT_SIZE = 160, STATE_SIZE = 16 };

/* A record of a topic that is about the request. */
struct trace_record {
    bool found;
    bool is_out_of_reach; /* the topic does not reach back to it */
    int32_t partition;
    int64_t offset, time_ms;
    char type[40];          /* ce_type */
    char reason[TEXT_SIZE]; /* of vote.dead */
};

struct trace {
    const struct admin_config *config;
    char request_id[REQUEST_ID_SIZE];
    struct pg pg;
    struct request request; /* as far as anything knows it: empty texts and 0 otherwise */
    bool is_known;          /* the request is that of the ledger, of Redis, or of the log */
    int64_t accepted_ms;    /* 0: nothing tells */

    bool redis_away, in_redis;
    char redis_state[STATE_SIZE];

    bool in_ledger;
    char outcome[STATE_SIZE], reason[TEXT_SIZE];
    int64_t committed_ms, version;
    int32_t partition; /* where the log has it, by the ledger or Redis; -1: neither says */
    int64_t offset;
    int64_t next_offset; /* how far that partition is applied; -1: not known */

    bool has_row;     /* the user has a vote on the project ... */
    bool row_is_ours; /* ... which is this request's */
    char row_request_id[REQUEST_ID_SIZE];

    bool is_parked;
    int64_t parked_ms, parked_attempts, next_attempt_ms;
    char parked_reason[TEXT_SIZE];

    bool in_outbox;
    int64_t outbox_ms;

    struct trace_record logged, announced, dead;
};

/* trace_tables.c: Redis and Postgres. A Redis that is away is noted, and no failure. */
void trace_ask_redis(struct trace *trace);
bool trace_ask_postgres(struct trace *trace, struct error *error)
    __attribute__((warn_unused_result));

/* trace_topics.c: vote.requests, vote.results and vote.dead, by place or by time. */
bool trace_ask_topics(struct trace *trace, struct error *error) __attribute__((warn_unused_result));

/* How far the request's partition is applied. */
bool trace_ask_progress(struct trace *trace, struct error *error)
    __attribute__((warn_unused_result));

/* trace_print.c: the whole of it on stdout, as text or JSON. */
void trace_print(const struct trace *trace);

#endif
