/* ingest.h - the parts of vote-ingest: HTTP in, Redis for the answer, Kafka for keeps.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef INGEST_H
#define INGEST_H

#include "base/log.h"
#include "base/option.h"
#include "base/pool.h"
#include "base/stop.h"
#include "http/admin.h"
#include "http/files.h"
#include "http/http.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "tls/tls.h"
#include "trace/trace.h"
#include "vote-ingest/breaker.h"
#include "vote/event.h"
#include "vote/keys.h"
#include "vote/token_cache.h"
#include "vote/token_config.h"

#include <pthread.h>

enum unknown_project { UNKNOWN_REJECT, UNKNOWN_CREATE };
enum { BODY_MAX_BYTES = 16 * 1024, LOAD_LOCKS = 64, TOUCH_SLOTS = 4096, IDEMPOTENCY_KEY_MAX = 255 };

struct ingest_config {
    const char *listen;
    const char *admin_listen;
    struct tls_config tls;
    struct token_config tokens;
    const char *cors_origins;
    const char *web_root;   /* NULL: no page */
    const char *notify_url; /* where the page finds vote-notify; NULL: nowhere */
    bool dev_tokens;
    struct option_quota rate_limit;
    int64_t rate_burst;
    int64_t threads, connections_max;
    int64_t max_in_flight;
    int64_t database_connections;
    int64_t database_timeout_us;
    int64_t kafka_timeout_us;
    struct drain_config drain;
    int64_t leaderboard_ttl_us;
    int unknown_project; /* enum unknown_project */
    struct kafka_config kafka;
    struct redis_config redis;
    struct pg_config pg;
    struct trace_config trace;
};

extern const struct option ingest_options[];
extern const size_t ingest_option_count;

struct ingest_metrics {
    struct metric *accepted[4]; /* by enum vote_action */
    struct metric *errors, *refused_client, *refused_server, *limited, *replayed;
    struct metric *without_redis, *synchronous, *in_flight, *breaker;
    struct histogram *latency_us;
    struct histogram *kafka_us;
};

struct leaderboard;
struct totals;

struct ingest {
    const struct ingest_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *redis_check, *postgres_check;
    struct tls_context *tls; /* NULL: the API is served in plain */
    struct http_server *http;
    struct files *page; /* NULL: none */
    struct ingest_metrics metrics;
    struct redis *redis;
    struct pool pg_pool; /* of struct pg */
    struct pg probe_pg;
    struct token_cache *tokens;
    pthread_mutex_t load_locks[LOAD_LOCKS]; /* by project: one load at a time */
    _Atomic uint64_t touched[TOUCH_SLOTS];  /* by project: when KEY_TOUCHED was last told */
    _Atomic int64_t in_flight;              /* votes being worked on */
    rd_kafka_t *producer;
    struct kafka_health kafka_health;
    struct breaker breaker;
    struct leaderboard *leaderboard;
    struct totals *totals;
    struct tracer *tracer; /* NULL: none */
    pthread_t delivery_thread;
    _Atomic int delivery_stop;
};

/* Serves until a stop is asked for: the tool's `run`. */
bool ingest_run(void *config, const struct options *options, struct log *log, struct error *error);

/* Borrows a connection to Postgres for at most the database timeout's wait; NULL with the error
 * filled when all are busy. Give it back with ingest_give_pg. */
struct pg *ingest_take_pg(struct ingest *ingest, struct error *error)
    __attribute__((warn_unused_result));
void ingest_give_pg(struct ingest *ingest, struct pg *pg);

/* One statement on a borrowed connection; returns as pg_query. */
PGresult *ingest_query(struct ingest *ingest, const char *sql, int count,
                       const char *const *parameters, struct error *error)
    __attribute__((warn_unused_result));

/* body.c: the JSON body of a POST, borrowed from the request; without one that can be read it
 * answers and returns false. */
bool body_receive(struct http_request *request, const char **json, size_t *size)
    __attribute__((warn_unused_result));

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

/* Adds one {"field","detail"} to such a list. */
void problem_add(struct buf *problems, const char *field, const char *detail);

struct quota {
    bool known; /* whether there is a limit, and Redis said how much of it is left */
    int64_t remaining, reset_us, wait_us;
};

enum acceptance { ACCEPTED, NO_PROJECT, NOT_KEPT, MAY_BE_KEPT };

/* One POST on its way. It has no thread of its own: each step is given to Redis or Kafka, and the
 * next begins in the thread that has the answer; what waits for Postgres runs in a worker. */
struct click {
    struct ingest *ingest;
    struct http_request *http;
    int64_t start_us; /* monotonic, as all _us here */
    struct request request;
    struct vote_body body;
    const char *idempotency_key; /* NULL: none was given */
    struct quota quota;
    bool again;                 /* an earlier attempt of this request died half way */
    bool in_redis;              /* the step was taken there, and must be taken back on failure */
    bool may_be_kept;           /* no answer says whether Kafka or Postgres has it */
    int loads;                  /* of its project */
    int64_t redis_until_us;     /* Redis is not waited for behind this */
    int64_t upvotes, downvotes; /* as shown after the click */
    struct redis_batch redis;   /* for one question after the other */
    struct redis_batch record;  /* on its way while Kafka is waited for */
    _Atomic int left;           /* of these two */
    rd_kafka_resp_err_t delivery;
    int64_t published_us, delivered_us;
    struct span post, asked, send; /* the whole call, a question to Redis, the send to Kafka */
    enum acceptance acceptance;
    struct buf answer;  /* the body of its 202 */
    struct error error; /* why it was not accepted */
};

/* click.c: the steps in their order. Each is the caller's last touch of the click. */

enum guard { GUARD_GO, GUARD_LIMITED, GUARD_REPLAY, GUARD_DIFFERS, GUARD_BUSY, GUARD_UNKNOWN };

void click_guarded(struct click *click, enum guard verdict);
void click_published(struct click *click, bool is_acknowledged);
void click_decided(struct click *click, enum acceptance acceptance);

/* Sends what click->redis has; `then` is called when the replies are there, or the time has come
 * (monotonic; 0: the client's timeout from now on). */
void click_ask(struct click *click, int64_t until_us, void (*then)(struct redis_batch *batch));

/* api_vote.c: answers, and frees the click. */
void click_refuse(struct click *click, enum guard verdict);
void click_finish(struct click *click);

/* guard.c: the rate limit and the idempotency record of the click's user */

/* Asks whether the click may go on, and reserves its idempotency key; goes on at click_guarded.
 * Without Redis it may: votes are taken all the same, but for a toggle with a key (GUARD_UNKNOWN):
 * if it is a retry, it would take back what the first attempt has done. The click's answer gets the
 * first answer at GUARD_REPLAY, and its request the id. */
void guard_check(struct click *click);

/* Keeps the answer for replays (without one the next attempt may go on at once), then
 * click_finish: the key is free, or has its answer, before the client hears of it. */
void guard_answer(struct click *click);

/* optimistic.c: the state that a click is answered from */

enum optimistic { OPTIMISTIC_OK, OPTIMISTIC_UNKNOWN_PROJECT, OPTIMISTIC_UNAVAILABLE };

/* Takes the vote's step and fills previous, vote_type, action and seq of the request; goes on at
 * publish_click, or click_decided when there is nothing to answer from. Loads the project from
 * Postgres when Redis does not have it; without Redis the state comes from Postgres. */
void optimistic_vote(struct click *click);

/* Sends what GET status shows, the audit stream and the user's own view; `then` (NULL:
 * optimistic_recorded waits) is called when it is there. A failure is no failure of the vote: all
 * of it is rebuilt or expires. */
void optimistic_record(struct ingest *ingest, struct click *click,
                       void (*then)(struct redis_batch *batch));
void optimistic_recorded(struct ingest *ingest, struct click *click);

/* Takes the step back after the vote was refused. */
void optimistic_undo(struct ingest *ingest, struct click *click);

/* recall.c: what an earlier attempt of the same request had come to */

enum recall {
    RECALL_FOUND,   /* all of it: only its event is to be sent again */
    RECALL_NOTHING, /* no step was taken */
    RECALL_UNKNOWN, /* it cannot be found out now: another step might count the click twice */
};

enum recall click_recall(struct ingest *ingest, struct click *click, struct error *error)
    __attribute__((warn_unused_result));

/* load.c: a project from Postgres into Redis */

enum optimistic load_project(struct ingest *ingest, struct click *click, struct error *error)
    __attribute__((warn_unused_result));

/* The state of the click's project and user from Postgres alone, for when Redis is away. */
enum optimistic load_step(struct ingest *ingest, struct click *click, struct error *error)
    __attribute__((warn_unused_result));

/* publish.c: vote.requests */

bool publish_open(struct ingest *ingest, struct error *error) __attribute__((warn_unused_result));
void publish_close(struct ingest *ingest);

/* Gives the request's event to Kafka, and records the click in Redis meanwhile; goes on at
 * click_published when both are done. If Kafka does not have the event, click->may_be_kept says
 * whether it may have it all the same. */
void publish_click(struct click *click);

/* sync.c: Kafka is away. Applies the vote in Postgres and keeps its event in vote.outbox, both or
 * neither. On failure click->may_be_kept is set when Postgres may have it all the same. */
bool sync_click(struct ingest *ingest, struct click *click, struct error *error)
    __attribute__((warn_unused_result));

/* totals.c: vote:metrics, figures over all instances */

struct totals *totals_new(void);
void totals_free(struct totals *totals);

/* Counts a vote that was accepted after `latency_us`, or one that we could not take. */
void totals_accepted(struct totals *totals, int64_t latency_us);
void totals_failed(struct totals *totals);

/* Adds what was counted since the last time to Redis. Called by one thread, about once a second. */
void totals_flush(struct ingest *ingest);

/* auth.c */

/* Reads the bearer token (RFC 6750 section 2.1). Without a good one it answers 401 and returns
 * false. */
bool auth_check(struct http_request *request, struct token *token)
    __attribute__((warn_unused_result));

/* *value becomes the query parameter `limit`, or `preset` where there is none; what is no whole
 * number from 1 to `max` is added to the problems. */
void query_read_limit(struct http_request *request, int64_t preset, int64_t max, int64_t *value,
                      struct buf *problems);

/* Answers 400 when there are problems, which are freed. */
bool query_is_fine(struct http_request *request, struct buf *problems)
    __attribute__((warn_unused_result));

/* problem.c */

/* Answers with application/problem+json (RFC 9457). `errors` is NULL or the inside of a JSON array;
 * `headers` is NULL or whole lines. */
void problem_reply(struct http_request *request, int status, const char *type, const char *detail,
                   const char *errors, const char *headers);

/* Answers 503 temporary-reduced-capacity with Retry-After, and logs why. */
void problem_unavailable(struct http_request *request, const struct error *error);

/* Answers 503 outcome-unknown: the vote may be kept, and its status will tell. Logs why. */
void problem_unknown(struct http_request *request, const char *request_id,
                     const struct error *error);

/* Answers 400, 404, 405 and 431 for the router. */
void problem_refuse(struct http_request *request, int status, const char *allow);

/* The routes, in api_*.c. */

extern const struct http_route ingest_routes[];
extern const size_t ingest_route_count;

void api_post_vote(struct http_request *request);
void api_get_status(struct http_request *request);
void api_get_project(struct http_request *request);
void api_get_user_votes(struct http_request *request);
void api_get_metrics(struct http_request *request);
void api_get_leaderboard(struct http_request *request);
void api_get_openapi(struct http_request *request);

/* demo.c: what only the demo page uses, not a part of the contract in openapi.json */
bool demo_open(struct ingest *ingest, struct error *error) __attribute__((warn_unused_result));
void demo_get_page(struct http_request *request);
void demo_get_asset(struct http_request *request);
void demo_get_config(struct http_request *request);
void demo_post_token(struct http_request *request);

struct leaderboard *leaderboard_new(void);
void leaderboard_free(struct leaderboard *leaderboard);

#endif
