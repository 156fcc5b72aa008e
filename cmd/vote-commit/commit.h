/* commit.h - the parts of vote-commit: batches out of vote.requests into Postgres, then results.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMIT_H
#define COMMIT_H

#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "http/admin.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "trace/trace.h"
#include "vote/event.h"
#include "vote/keys.h"

enum { PARTITIONS_MAX = 1024, OWNER_SIZE = 128, RETRY_DELAYS_MAX = 16 };

struct commit_config {
    const char *admin_listen;
    const char *group;
    const char *group_instance_id; /* NULL: a dynamic member */
    int64_t batch_size;
    const char *retry_delays;
    bool accept_loss;
    int64_t database_timeout_us;
    int64_t drain_timeout_us;
    int64_t optimism_grace_us;
    int64_t ledger_retention_us;
    struct kafka_config kafka;
    struct redis_config redis;
    struct pg_config pg;
    struct trace_config trace;
};

extern const struct option commit_options[];
extern const size_t commit_option_count;

/* A record as it is in the log, or as it was parked. */
struct record {
    int32_t partition;
    int64_t offset;
    const void *key, *value; /* NULL: none */
    size_t key_size, value_size;
    rd_kafka_headers_t *headers; /* borrowed; NULL: none */
};

struct record record_of_message(const rd_kafka_message_t *message);

/* One record of a batch, with what became of it. */
struct entry {
    rd_kafka_message_t *message; /* owned by the batch */
    int64_t read_us;             /* monotonic */
    bool left_out;    /* only its offset counts: it is no request, or not ours any more */
    bool is_forget;   /* somebody is to be forgotten before its offset moves */
    bool is_redriven; /* an operator has sent it back: if it failed, it is tried once more */
    struct request request;
    struct result result;
};

/* Records on their way to Kafka, counted down as it acknowledges them. */
struct acks {
    size_t waiting;
    struct span *spans; /* end when nothing waits any more */
    size_t span_count, span_room;
};

/* Records in the order they were read; those of one partition are in the order of its log. */
struct batch {
    struct entry *entries; /* batch_size of them */
    size_t count;
    struct acks dead;             /* those of its records that were sent to vote.dead */
    int64_t sent_us, answered_us; /* the transaction that was the last to be applied of it */
};

/* A partition that is ours: where Postgres stands, as far as we know. */
struct position {
    bool assigned;
    int64_t next_offset;
    int64_t announce_offset;  /* what is before it needs no announcement */
    int64_t announced_offset; /* all results before it are in Kafka */
    int64_t hinted_offset;    /* so much of that was told to the group */
    int64_t
        restored_offset;  /* below it Redis may be ahead of an older database; 0: no such thing */
    int64_t read_offset;  /* behind the last record that was read; -1: none yet */
    int64_t end_offset;   /* where the log ended when all of it had been read; -1: not known. What
                             ends a transaction takes offsets before it that are no records. */
    int64_t read_ms;      /* when that record was made (wall clock) */
    struct buf known;     /* requests that may be at next_offset - 1, as it was at the start */
    int64_t known_offset; /* that offset; -1: nothing is to be compared */
    bool is_anew;         /* the log was found to be another one */
    int64_t mark_offset;  /* where the log ended when the sweep looked last, */
    int64_t mark_ms;      /* and when that was (wall clock); 0: it has not */
};

/* Results of one transaction on their way to Kafka, and the offsets to hint at when all are there.
 */
struct announcement {
    struct acks acks;
    struct announcement *next;
    rd_kafka_topic_partition_list_t *offsets;
};

/* Events out of vote.outbox on their way into the log. */
struct relay {
    bool running;
    struct acks acks;
    struct buf ids; /* of their rows, as an array of Postgres */
    int64_t next_us;
};

/* Rows of vote.parked that are settled one way or the other, but for Kafka's acknowledgement. */
struct parked {
    bool running;
    struct acks acks;
    struct buf partitions, offsets; /* of those rows, as arrays of Postgres */
    int64_t next_us;
    int64_t delays_us[RETRY_DELAYS_MAX];
    int delay_count;
};

enum retry_class {
    RETRY_CONNECTION,
    RETRY_OPERATOR,
    RETRY_CONFLICT,
    RETRY_RESOURCES,
    RETRY_SCHEMA,
    RETRY_INTERNAL,
    RETRY_CLASSES
};
extern const char *const retry_class_names[RETRY_CLASSES]; /* as pg_transient_class has them */

enum dead_reason { DEAD_UNDECODABLE, DEAD_REFUSED, DEAD_REASONS };

struct commit_metrics {
    struct metric *outcomes[4]; /* by enum vote_outcome */
    struct metric *retries[RETRY_CLASSES];
    struct metric *dead[DEAD_REASONS];
    struct metric *replayed, *fenced, *parked, *lost, *lag_us, *lag_records, *ghosts, *ledger_ahead;
    struct metric *rows, *fold, *forgotten;
    int64_t applied_count; /* requests that were no replays */
    struct histogram *batch_votes, *transaction_us, *latency_us;
};

struct commit {
    const struct commit_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *postgres_check, *redis_check;
    struct commit_metrics metrics;
    struct tracer *tracer; /* NULL: none */
    struct stop stop;
    struct error failure; /* its code is set when there is no going on */
    rd_kafka_t *consumer, *producer;
    struct kafka_health kafka_health;
    struct pg pg;      /* for the batches alone: one may be in flight */
    struct pg side_pg; /* for all else */
    struct redis *redis;
    struct redis_batch settling;
    bool is_settling;             /* `settling` is under way */
    struct buf settling_projects; /* ids, each with its NUL, whose settling is under way */
    struct buf settling_requests; /* the same, of REQUEST_ID_SIZE each */
    struct buf stale_projects;    /* and those whose settling failed */
    struct buf unsettled;
    struct batch batches[2];
    struct batch *reading;   /* is being filled */
    struct batch *in_flight; /* is in Postgres' hands; NULL: none */
    struct position positions[PARTITIONS_MAX];
    struct announcement *announced_first, *announced_last;
    struct relay relay;
    struct parked parked;
    struct acks ghosts_told;        /* by the sweep */
    struct redis_batch ghosts_done; /* and what follows when Kafka has it */
    int64_t lag_next_us, sweep_next_us, ledger_next_us, hints_next_us;
    int64_t in_flight_us;   /* when the batch in flight was sent */
    bool was_assigned;      /* or revoked: the group has had us as a member */
    bool must_rewind;       /* what was read is not what comes next */
    bool holding;           /* a batch waits for Postgres: nothing more is read meanwhile */
    char owner[OWNER_SIZE]; /* host:pid, for people who look into vote.progress */
};

bool commit_run(void *config, const struct options *options, struct log *log, struct error *error);

/* Waits for the batch that Postgres has, announces and settles it, whatever became of it: before
 * partitions are handed over. */
void commit_finish_in_flight(struct commit *commit);

/* batch.c */

void batch_open(struct batch *batch, int64_t size);
void batch_close(struct batch *batch);
void batch_clear(struct batch *batch);

/* Reads the requests, and sends what is none to vote.dead. False when the log is not the one that
 * was applied before: then nothing of the batch is to be used. */
bool batch_decode(struct commit *commit, struct batch *batch) __attribute__((warn_unused_result));

/* Leaves out what is not ours any more. */
void batch_leave_out(struct commit *commit, struct batch *batch);

/* consume.c: the group, and which partitions are ours */

bool consume_open(struct commit *commit, struct error *error) __attribute__((warn_unused_result));
void consume_close(struct commit *commit);

/* Fills the batch with what is there, waiting at most `wait_ms` for the first record. */
void consume_batch(struct commit *commit, struct batch *batch, int wait_ms);

/* Keeps the group membership alive for a while without taking records. */
void consume_hold(struct commit *commit, int64_t duration_us);

/* Looks again where every partition of ours stands, and seeks there: after we were fenced off, or
 * when the log is not where it was. */
void consume_rewind(struct commit *commit);

/* place.c: where each partition starts */

/* Fills the positions of the listed partitions, and the list with the offsets to read from. Waits
 * for Postgres as long as it takes; false when a stop came first, or votes are lost that only the
 * operator may give up (commit->failure). */
bool place_partitions(struct commit *commit, rd_kafka_topic_partition_list_t *list)
    __attribute__((warn_unused_result));

/* The partition's log was made anew: starts at its beginning the next time it is placed. */
void place_anew(struct commit *commit, int32_t partition);

/* forget.c: who is not to be remembered */

/* Forgets everybody whom the batch has a wish of, in transactions of their own: only then may its
 * offsets move. Doing it twice does no harm. False when Postgres cannot do it now. */
bool forget_entries(struct commit *commit, const struct batch *batch, struct error *error)
    __attribute__((warn_unused_result));

/* reopen.c: what failed, and was sent back to be tried once more */

/* vote-replay --redrive has sent this very copy, and not a replay of it. */
bool entry_is_redriven(const rd_kafka_message_t *message);

/* Takes the failures of the batch's redriven requests out of the ledger. Doing it twice does no
 * harm. False when Postgres cannot do it now. */
bool reopen_entries(struct commit *commit, const struct batch *batch, struct error *error)
    __attribute__((warn_unused_result));

/* apply.c: the transaction */

enum apply { APPLY_DONE, APPLY_FENCED, APPLY_RETRY, APPLY_REFUSED };

/* What a statement's failure means for what it tried; a retry is counted by its class. */
enum apply apply_failure(struct commit *commit, const struct pg *pg);

/* Sends entries [from, to) as one transaction together with their partitions' offsets; then waits
 * for the answer and fills the results. Between the two, nothing else may ask Postgres. */
enum apply apply_send(struct commit *commit, const struct batch *batch, size_t from, size_t to,
                      struct error *error) __attribute__((warn_unused_result));
void apply_await(struct commit *commit); /* until apply_receive will not wait */
enum apply apply_receive(struct commit *commit, struct batch *batch, size_t from, size_t to,
                         struct error *error) __attribute__((warn_unused_result));

/* From accepted_at to committed_at. */
int64_t result_latency_us(const struct result *result);

/* Applies one request again that was parked. */
enum apply apply_again(struct commit *commit, const struct record *record,
                       const struct request *request, struct result *result, struct error *error)
    __attribute__((warn_unused_result));

/* Writes into the ledger that the request has failed, for `reason`. */
enum apply apply_fail(struct commit *commit, const struct record *record,
                      const struct request *request, const char *reason, struct result *result,
                      struct error *error) __attribute__((warn_unused_result));

/* announce.c: vote.results, and the offset hint after it */

bool announce_open(struct commit *commit, struct error *error) __attribute__((warn_unused_result));
void announce_close(struct commit *commit);
void announce_entries(struct commit *commit, const struct batch *batch, size_t from, size_t to);

/* Sends one result, in the trace of `parent`; NULL starts one. `acks` (NULL: nobody waits) is
 * counted up, and down again by Kafka's acknowledgement. */
void announce_result(struct commit *commit, const struct result *result,
                     const struct trace_context *parent, struct acks *acks);

/* Serves delivery reports and commits, a few times a second, the offsets that all results before
 * have been acknowledged for. Waits up to `wait_ms` for outstanding ones, and commits then. */
void announce_serve(struct commit *commit, int wait_ms);

/* spans.c: what the trace of a vote shows of this stage */

/* Ends the span now, or, with `acks`, when all that waits is acknowledged. */
void span_end_with(struct commit *commit, struct span *span, struct acks *acks);

/* Ends those that were kept for it; `arrived`: Kafka has acknowledged all. */
void acks_end_spans(struct commit *commit, struct acks *acks, bool arrived);

/* Begins the span of a vote that was committed in the batch's transaction. `shared` is that of the
 * transaction itself, which begins with the first of its votes that is recorded. */
void vote_span_begin(struct commit *commit, const struct batch *batch, const struct entry *entry,
                     struct span *shared, struct span *vote);

/* Begins the span of a record on its way to `topic`. */
void send_span_begin(struct commit *commit, struct span *send, const char *topic,
                     const struct trace_context *parent, const char *request_id);

/* dead.c: vote.dead */

/* Why a record is given up. */
struct death {
    enum dead_reason reason;
    const char *text;     /* names a member or a constraint, never a vote */
    const char *sqlstate; /* NULL: Postgres was not asked */
    int attempts;
    int64_t first_failed_ms; /* wall clock */
};

/* Sends the record, byte for byte, with its reason in headers. False when it could not be sent, not
 * even later; `acks` as in announce_result. */
bool dead_letter(struct commit *commit, const struct record *record, const struct death *death,
                 struct acks *acks) __attribute__((warn_unused_result));

/* park.c: what Postgres refuses, tried again beside the batches */

/* Reads --retry-delays. */
bool park_open(struct commit *commit, struct error *error) __attribute__((warn_unused_result));

/* Moves the entry into vote.parked, and the offset past it. `why` is the refusal. */
enum apply park_entry(struct commit *commit, const struct entry *entry, struct error *error)
    __attribute__((warn_unused_result));
void park_turn(struct commit *commit);

/* settle.c: Redis after a commit */

/* Shows in Redis what was committed; settle_wait waits until it is there. When Redis is away
 * projects and requests are remembered: when it is back, the state is dropped, and the requests are
 * settled from the ledger. */
void settle_entries(struct commit *commit, const struct batch *batch, size_t from, size_t to);
void settle_result(struct commit *commit, const struct record *record, const struct result *result);
void settle_wait(struct commit *commit);

/* Drops the state of the projects that are remembered so; true when none is left. */
bool settle_drop_stale(struct commit *commit, struct error *error)
    __attribute__((warn_unused_result));

/* Puts a project on the list of those whose state in Redis is to be dropped and loaded again. */
void settle_later(struct commit *commit, const char *project_id);

/* Adds all that settling does for one request; `final` has the counts and version of its project.
 * That it is on its way is taken back last. */
void settle_add(struct redis_batch *batch, int32_t partition, int64_t offset,
                const struct result *result, const struct result *final);

/* resettle.c: what was committed and not settled */

/* Settles those of the requests (an array of Postgres) that the ledger has. Doing it twice does no
 * harm. */
bool resettle(struct commit *commit, const char *ids, struct error *error)
    __attribute__((warn_unused_result));

/* Remembers ids, of REQUEST_ID_SIZE each, for resettle_turn: as many as there is room for, the
 * sweep finds the others. */
void resettle_later(struct commit *commit, const char *ids, size_t size);

/* Settles some of those that are remembered; false when that is not possible now. */
bool resettle_turn(struct commit *commit, struct error *error) __attribute__((warn_unused_result));

/* relay.c, lag.c, sweep.c, ledger.c: beside the batches, each when its time has come; lag_turn also
 * while Postgres is waited for */

void relay_turn(struct commit *commit);
void lag_turn(struct commit *commit);
void sweep_turn(struct commit *commit);
void ledger_turn(struct commit *commit);

#endif
