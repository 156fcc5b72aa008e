/* commit.h - the parts of vote-commit: batches out of vote.requests into Postgres, then results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMIT_H
#define COMMIT_H

#include "base/admin.h"
#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "vote/event.h"
#include "vote/keys.h"

enum { PARTITIONS_MAX = 1024, OWNER_SIZE = 128 };

struct commit_config {
    const char *admin_listen;
    const char *group;
    int64_t batch_size;
    int64_t drain_timeout_us;
    int64_t optimism_grace_us;
    int64_t ledger_retention_us;
    struct kafka_config kafka;
    struct redis_config redis;
    struct pg_config pg;
};

extern const struct option commit_options[];
extern const size_t commit_option_count;

/* One record of a batch, with what became of it. */
struct entry {
    rd_kafka_message_t *message; /* owned by the batch */
    struct request request;
    struct result result;
};

/* Records in the order they were read; those of one partition are in the order of its log. */
struct batch {
    struct entry *entries; /* batch_size of them */
    size_t count;
};

/* A partition that is ours: where Postgres stands, as far as we know. */
struct position {
    bool assigned;
    int64_t next_offset;
    int64_t read_offset; /* behind the last record that was read; -1: none yet */
    int64_t read_ms;     /* when that record was made (wall clock) */
};

/* Results of one transaction on their way to Kafka, and the offsets to hint at when all are there.
 */
struct announcement {
    struct announcement *next;
    size_t waiting;
    rd_kafka_topic_partition_list_t *offsets;
};

/* Events out of vote.outbox on their way into the log. */
struct relay {
    bool running;
    struct announcement announcement; /* counts them down; never in the list of results */
    struct buf ids;                   /* of their rows, as an array of Postgres */
    int64_t next_us;
};

struct commit_metrics {
    struct metric *outcomes[4]; /* by enum vote_outcome */
    struct metric *replayed, *dead, *fenced, *retries, *lag_us, *lag_records, *ghosts,
        *ledger_ahead;
    struct histogram *batch_votes, *transaction_us, *latency_us;
};

struct commit {
    const struct commit_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *postgres_check, *redis_check;
    struct commit_metrics metrics;
    struct stop stop;
    rd_kafka_t *consumer, *producer;
    struct kafka_health kafka_health;
    struct pg pg;
    struct redis *redis;
    struct redis_batch settling;
    struct buf stale_projects; /* ids, each with its NUL, whose settling failed */
    struct batch batch;
    struct position positions[PARTITIONS_MAX];
    struct announcement *announced_first, *announced_last;
    struct relay relay;
    int64_t lag_next_us, sweep_next_us, ledger_next_us;
    bool holding;           /* a batch waits for Postgres: nothing more is read meanwhile */
    char owner[OWNER_SIZE]; /* host:pid, for people who look into vote.progress */
};

bool commit_run(void *config, const struct options *options, struct log *log, struct error *error);

/* consume.c: the group, and which partitions are ours */

bool consume_open(struct commit *commit, struct error *error) __attribute__((warn_unused_result));
void consume_close(struct commit *commit);

/* Fills the batch with what is there, waiting at most 100 ms for the first record. */
void consume_batch(struct commit *commit);

/* Keeps the group membership alive for a while without taking records. */
void consume_hold(struct commit *commit, int64_t duration_us);

/* Reads vote.progress again and seeks every partition of ours to it: after we were fenced off. */
void consume_rewind(struct commit *commit);

/* apply.c: the transaction */

enum apply { APPLY_DONE, APPLY_FENCED, APPLY_RETRY, APPLY_REFUSED };

/* Applies entries [from, to) in one transaction together with their partitions' offsets and fills
 * their results. */
enum apply apply_entries(struct commit *commit, size_t from, size_t to, struct error *error)
    __attribute__((warn_unused_result));

/* announce.c: vote.results, and the offset hint after it */

bool announce_open(struct commit *commit, struct error *error) __attribute__((warn_unused_result));
void announce_close(struct commit *commit);
void announce_entries(struct commit *commit, size_t from, size_t to);

/* Tells what became of a request that is in no batch. */
void announce_failure(struct commit *commit, const struct result *result);

/* Serves delivery reports and commits the offsets that all results before have been acknowledged
 * for. Waits up to `wait_ms` for outstanding ones. */
void announce_serve(struct commit *commit, int wait_ms);

/* dead.c: vote.dead. Returns when Kafka has the record; a stop ends the wait with false. */
bool dead_letter(struct commit *commit, const rd_kafka_message_t *message, const char *reason,
                 const char *sqlstate) __attribute__((warn_unused_result));

/* settle.c: Redis after a commit */

/* Shows in Redis what was committed. When Redis is away the projects are remembered, and their
 * state is dropped when it is back. */
void settle_entries(struct commit *commit, size_t from, size_t to);

/* Drops the state of the projects that are remembered so; true when none is left. */
bool settle_drop_stale(struct commit *commit, struct error *error)
    __attribute__((warn_unused_result));

/* Puts a project on the list of those whose state in Redis is to be dropped and loaded again. */
void settle_later(struct commit *commit, const char *project_id);

/* relay.c, lag.c, sweep.c, ledger.c: beside the batches, each when its time has come */

void relay_turn(struct commit *commit);
void lag_turn(struct commit *commit);
void sweep_turn(struct commit *commit);
void ledger_turn(struct commit *commit);

#endif
