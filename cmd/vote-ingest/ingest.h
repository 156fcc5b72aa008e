/* ingest.h - the parts of vote-ingest: HTTP in, Redis for the answer, Kafka for keeps.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef INGEST_H
#define INGEST_H

#include "base/admin.h"
#include "base/http.h"
#include "base/log.h"
#include "base/option.h"
#include "base/pool.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "vote/event.h"
#include "vote/token.h"

#include <pthread.h>

enum unknown_project { UNKNOWN_REJECT, UNKNOWN_CREATE };
enum { BODY_MAX_BYTES = 16 * 1024, LOAD_LOCKS = 64 };

struct ingest_config {
    const char *listen;
    const char *admin_listen;
    const char *jwt_secret;
    int64_t threads;
    int64_t redis_connections;
    int64_t database_connections;
    int64_t kafka_timeout_us;
    int64_t drain_timeout_us;
    int unknown_project; /* enum unknown_project */
    struct kafka_config kafka;
    struct redis_config redis;
    struct pg_config pg;
};

extern const struct option ingest_options[];
extern const size_t ingest_option_count;

/* A Redis connection with the scripts it has loaded. */
struct ingest_redis {
    struct redis client;
    struct redis_script vote, undo, load;
};

struct ingest_metrics {
    struct metric *accepted[4]; /* by enum vote_action */
    struct metric *refused_client, *refused_server;
    struct histogram *latency_us;
    struct histogram *kafka_us;
};

struct ingest {
    const struct ingest_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *redis_check;
    struct http_server *http;
    struct ingest_metrics metrics;
    struct pool redis_pool;                 /* of struct ingest_redis */
    struct pool pg_pool;                    /* of struct pg */
    pthread_mutex_t load_locks[LOAD_LOCKS]; /* by project: one load at a time */
    rd_kafka_t *producer;
    struct kafka_health kafka_health;
    pthread_t delivery_thread;
    _Atomic int delivery_stop;
};

/* Serves until a stop is asked for: the tool's `run`. */
bool ingest_run(void *config, const struct options *options, struct log *log, struct error *error);

/* vote_body.c */

struct vote_body {
    char project_id[VOTE_ID_SIZE];
    enum vote_type vote_type;
    bool toggle; /* the same vote again takes it back */
    char variant[VARIANT_MAX * 4 + 1];
};

/* Reads the JSON of POST /api/votes. `problems` gets a JSON array's inside, one {"field","detail"}
 * for each bad field; returns false when there is any. */
bool vote_body_parse(struct vote_body *body, const char *json, size_t size, struct buf *problems)
    __attribute__((warn_unused_result));

/* optimistic.c: the state in Redis that a click is answered from */

enum optimistic { OPTIMISTIC_OK, OPTIMISTIC_UNKNOWN_PROJECT, OPTIMISTIC_UNAVAILABLE };

/* What a click came to. */
struct shown {
    int64_t upvotes, downvotes;
};

/* Takes the vote's step in Redis and fills previous, vote_type, action and seq of `request`, whose
 * ids are set. Loads the project from Postgres when Redis does not have it. */
enum optimistic optimistic_vote(struct ingest *ingest, struct request *request, bool toggle,
                                struct shown *shown, struct error *error);

/* Writes what GET status shows, the audit stream and the user's set. A failure is no failure of the
 * vote: all of it is rebuilt or expires. */
void optimistic_record(struct ingest *ingest, const struct request *request);

/* Takes the step back after Kafka has refused it. */
void optimistic_undo(struct ingest *ingest, const struct request *request);

/* publish.c */

bool publish_open(struct ingest *ingest, struct error *error) __attribute__((warn_unused_result));
void publish_close(struct ingest *ingest);

/* Sends the request's event and waits until all in-sync replicas have it. `between` runs while it
 * is on its way. */
bool publish_request(struct ingest *ingest, const struct request *request, const char *traceparent,
                     void (*between)(struct ingest *, const struct request *), struct error *error)
    __attribute__((warn_unused_result));

/* auth.c */

/* Reads the bearer token (RFC 6750 section 2.1). Without a good one it answers 401 and returns
 * false. */
bool auth_check(struct http_request *request, struct token *token)
    __attribute__((warn_unused_result));

/* problem.c */

/* Answers with application/problem+json (RFC 9457). `errors` is NULL or the inside of a JSON array;
 * `headers` is NULL or whole lines. */
void problem_reply(struct http_request *request, int status, const char *type, const char *detail,
                   const char *errors, const char *headers);

/* Answers 503 temporary-reduced-capacity with Retry-After, and logs why. */
void problem_unavailable(struct http_request *request, const struct error *error);

/* Answers 404 and 405 for the router. */
void problem_refuse(struct http_request *request, int status, const char *allow);

/* api_vote.c, api_read.c: the routes */

void api_post_vote(struct http_request *request);
void api_get_status(struct http_request *request);
void api_get_project(struct http_request *request);

#endif
