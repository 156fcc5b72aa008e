/* invalidate.h - the parts of vote-invalidate: results in, purges out, offsets after them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_H
#define INVALIDATE_H

#include "base/admin.h"
#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "kafka/kafka.h"
#include "redis/redis.h"
#include "vote-invalidate/dirty.h"
#include "vote-invalidate/template.h"

enum { ENDPOINTS_MAX = 16, PURGE_MAX = 1000 };

struct invalidate_config {
    const char *admin_listen, *group;
    struct dirty_times times;
    const char *keys_file, *keys, *purge_urls;
    bool soft_purge;
    int64_t purge_timeout_us, scan_max, drain_timeout_us;
    struct kafka_config kafka;
    struct redis_config redis;
};

extern const struct option invalidate_options[];
extern const size_t invalidate_option_count;

struct invalidate_metrics {
    struct metric *purged[TARGETS];
    struct metric *redis_failures, *http_failures, *pending, *rounds, *breakers, *lag;
    struct histogram *latency_us;
};

/* Somebody who purges, or cannot just now. */
struct backoff {
    int failures;     /* in a row */
    int64_t retry_us; /* not asked before (monotonic) */
};

struct endpoint;

struct invalidate {
    const struct invalidate_config *config;
    struct log *log;
    struct stop stop;
    struct admin admin;
    struct admin_check *kafka_check, *redis_check, *http_check;
    struct invalidate_metrics metrics;
    struct templates templates;
    struct redis *redis;
    struct backoff redis_backoff;
    struct endpoint *endpoints;
    size_t endpoint_count;
    rd_kafka_t *consumer;
    struct kafka_health kafka_health;
    struct dirty *dirty;
    int64_t positions[DIRTY_PARTITIONS_MAX]; /* the next offset to read; -1: not ours */
    int64_t committed[DIRTY_PARTITIONS_MAX]; /* told to Kafka */
};

/* Serves until a stop is asked for: the tool's `run`. */
bool invalidate_run(void *config, const struct options *options, struct log *log,
                    struct error *error);

/* invalidate.c: waits longer after each failure in a row, and a little differently each time. */
bool backoff_is_over(const struct backoff *backoff);
void backoff_tell(struct backoff *backoff, bool fine);
bool backoff_is_open(const struct backoff *backoff); /* several failures in a row */

/* consume.c: vote.results, and which partitions are ours */
bool consume_open(struct invalidate *invalidate, struct error *error)
    __attribute__((warn_unused_result));
void consume_close(struct invalidate *invalidate);

/* Marks what the records that are there have changed; waits at most `wait_ms` for the first. */
void consume_read(struct invalidate *invalidate, int wait_ms);

/* Commits what is done with. `wait`: until Kafka has it. */
void consume_commit(struct invalidate *invalidate, bool wait);

/* purge_redis.c, purge_http.c: true when everything of the entries is purged there. Each sets the
 * bits of the entries that are done. */
bool purge_redis(struct invalidate *invalidate, const struct entries *entries);
bool http_open(struct invalidate *invalidate, struct error *error)
    __attribute__((warn_unused_result));
void http_close(struct invalidate *invalidate);
bool purge_http(struct invalidate *invalidate, const struct entries *entries);

#endif
