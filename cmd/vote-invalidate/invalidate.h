/* invalidate.h - what the parts of vote-invalidate share. SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_H
#define INVALIDATE_H

#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "http/admin.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "trace/trace.h"
#include "vote-invalidate/dirty.h"
#include "vote-invalidate/target.h"
#include "vote/event.h"

extern const char default_keys[]; /* pipelines/invalidate.keys */

struct invalidate_config {
    struct kafka_config kafka;
    struct redis_config redis;
    struct pg_config pg;
    struct trace_config trace;
    const char *admin_listen, *group;
    const char *keys_file;
    const char *keys;      /* of --key, one a line; NULL: none */
    const char *http_urls; /* of --http-url, one a line; NULL: none */
    const char *http_host;
    int64_t debounce_us, max_wait_us, double_us;
    int64_t batch_size, scan_max;
    int64_t http_timeout_us;
    int64_t check_interval_us, check_sample;
    int64_t drain_timeout_us;
    bool http_soft;
};

extern const struct option invalidate_options[];
extern const size_t invalidate_option_count;

enum { LABEL_SIZE = 300 };

struct invalidate_metrics {
    char labels[TARGETS_MAX][LABEL_SIZE]; /* of the targets: the registry borrows them */
    struct metric *purged[KINDS];
    struct metric *failures[TARGETS_MAX], *breaker[TARGETS_MAX];
    struct metric *records, *undecodable, *windows, *calls, *pending, *truncated;
    struct metric *lag_records, *lag_us, *consistency, *checks_done, *checks_failed;
    struct histogram *latency_us;
};

enum { TARGET_REDIS = 0 };

/* Votes whose keys are not all purged, and whose traces are recorded; in order of generations. */
struct purge_span;
struct purge_spans {
    STAILQ_HEAD(, purge_span) waiting;
    size_t count;
};

struct invalidate {
    const struct invalidate_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *redis_check, *http_checks[TARGETS_MAX];
    struct stop stop;
    struct invalidate_metrics metrics;
    struct templates templates;
    struct target targets[TARGETS_MAX]; /* TARGET_REDIS, then the HTTP caches */
    int target_count;
    char *http_urls; /* owns the names of the HTTP caches */
    struct progress progress;
    struct dirty dirty;
    struct redis *redis;
    struct http *http;
    struct sampler *sampler; /* NULL: none */

    struct tracer *tracer; /* NULL: none */
    struct purge_spans spans;

    rd_kafka_t *consumer;
    struct kafka_health kafka_health;
    bool was_assigned;
    bool assigned[PARTITIONS_MAX];
    int64_t committed[PARTITIONS_MAX]; /* what Kafka was told last; -1: nothing */
    int64_t give_back_at_us;           /* when to give a burst's memory back; 0: there was none */
    int64_t commit_at_us;              /* when to tell it again (monotonic) */
    struct error failure;              /* ends the loop */
};

/* consume.c: the consumer group. Offsets move as far as nothing behind them waits. */
bool consume_open(struct invalidate *invalidate, struct error *error)
    __attribute__((warn_unused_result));
void consume_close(struct invalidate *invalidate);

/* Reads what is there, for at most `wait_ms`, into invalidate->dirty. */
void consume_turn(struct invalidate *invalidate, int wait_ms);

/* Tells Kafka the offsets, and the metrics the lag; `now`: at once, and waits for the answer. */
void consume_commit(struct invalidate *invalidate, bool now);

/* purge.c: purges what is due; `everything`: what waits, due or not, and for the last time. */
void purge_turn(struct invalidate *invalidate, bool everything);

/* When something is to be purged next (monotonic); INT64_MAX: nothing waits. */
int64_t purge_next_us(const struct invalidate *invalidate);

/* purge_redis.c: false with the error filled when a part of it may not have been done. */
bool purge_redis(struct invalidate *invalidate, const struct entry_list *entries,
                 struct error *error) __attribute__((warn_unused_result));

/* http.c: PURGE calls to HTTP caches, many at a time. */
enum { SURROGATES_MAX = 256, SURROGATES_BYTES_MAX = 6 * 1024 };

struct http *http_new(const struct invalidate_config *config);
void http_free(struct http *http);

/* Adds calls for the entries of one cache; takes them over. */
void http_add(struct http *http, int target, const char *url, struct entry_list *entries);

/* Makes the calls, and hands each one's entries back. `error` is NULL when the call succeeded. */
void http_run(struct http *http, void *context,
              void (*on_done)(void *context, int target, struct entry_list *entries,
                              const struct error *error));

/* sampler.c: a thread that samples projects now and then, for vote_state_consistency_ratio. */
struct sampler *sampler_open(struct invalidate *invalidate);
void sampler_close(struct sampler *sampler); /* NULL is fine */

/* spans.c: what the trace of a vote shows of this stage: from the record to the purge of the last
 * of its keys. */
void spans_init(struct invalidate *invalidate);

/* The result's keys were touched, and hold the newest generation or older ones. */
void spans_add(struct invalidate *invalidate, const rd_kafka_message_t *record,
               const struct request *request);

/* Ends those whose keys are all purged; a round that began at `round_us` was the last for them. */
void spans_settle(struct invalidate *invalidate, int64_t round_us);

/* Ends all of them as failed: the next owner of their partitions purges their keys. */
void spans_give_up(struct invalidate *invalidate);

/* metrics.c */
void invalidate_register_metrics(struct invalidate *invalidate);

bool invalidate_run(void *config, const struct options *options, struct log *log,
                    struct error *error);

#endif
