/* notify.h - the parts of vote-notify: results in, Socket.IO events out.
 *
 * One thread runs the loop and owns everything here. Two helpers work beside it, each behind a
 * queue of its own: `feed` reads vote.results, `lookup` asks Postgres.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "base/log.h"
#include "base/option.h"
#include "base/stop.h"
#include "base/table.h"
#include "http/admin.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "socketio/socketio.h"
#include "socketio/transport.h"
#include "tls/tls.h"
#include "trace/trace.h"
#include "vote/event.h"
#include "vote/token_cache.h"
#include "vote/token_config.h"

#include <uv.h>

struct notify_config {
    const char *listen;
    const char *admin_listen;
    struct tls_config tls;
    int64_t conflate_us;
    int64_t subscriptions_max;
    int64_t database_timeout_us;
    struct drain_config drain;
    struct token_config tokens;
    struct sio_config sio;
    struct kafka_config kafka;
    struct pg_config pg;
    struct trace_config trace;
};

extern const struct option notify_options[];
extern const size_t notify_option_count;

/* A project's committed counts. */
struct counts {
    int64_t upvotes, downvotes, version;
    double community_score;
};

/* --- feed.c: vote.results, in a thread of its own ------------------------------------------- */

/* A result that was announced. */
struct notice {
    struct notice *next;
    struct request request;
    struct result result;
    bool is_traced; /* its record has a trace: `trace` */
    struct trace_context trace;
    int64_t read_us; /* monotonic */
};

struct feed;

/* Starts to read every partition from its end. `on_notice` is called in the loop's thread for each
 * result, in the order of its partition; `on_live` when nothing that is announced from now on will
 * be missed: at the first start, and whenever something may have been. */
struct feed *feed_open(const struct kafka_config *config, const struct log *log, uv_loop_t *loop,
                       void (*on_notice)(void *context, const struct notice *notice),
                       void (*on_live)(void *context), void *context);
bool feed_is_up(const struct feed *feed);
void feed_close(struct feed *feed);

/* --- lookup.c: committed counts out of Postgres, in a thread of its own --------------------- */

struct lookup;

/* `found` is called in the loop's thread for each project that was asked for: with `counts` NULL
 * there is no such project; with `failed` it could not be asked for in time. */
struct lookup *lookup_open(const struct notify_config *config, const struct log *log,
                           uv_loop_t *loop,
                           void (*found)(void *context, const char *project_id,
                                         const struct counts *counts, bool failed),
                           void *context);
void lookup_ask(struct lookup *lookup, const char *project_id);
bool lookup_is_up(const struct lookup *lookup);
void lookup_close(struct lookup *lookup);

/* --- project.c: the projects that somebody looks at ------------------------------------------ */

struct waiter;

struct project {
    struct table_node node; /* must be first */
    char id[VOTE_ID_SIZE];
    char room[VOTE_ID_SIZE + 2];
    uint64_t key;       /* of its frames, for conflation; never 0 */
    size_t subscribers; /* sockets in its room, and subscriptions that wait for it */
    bool is_known;      /* `counts` are committed ones; otherwise they are being looked up */
    bool is_asked;      /* a lookup is under way */
    bool exists;
    struct counts counts;
    struct waiter *waiters;
    /* What the next public event will say, and for how many commits. */
    enum vote_type vote_type;
    enum vote_action action;
    int64_t committed_at_ms, accepted_at_ms;
    int64_t coalesced;
    int64_t sent_us;           /* monotonic: the last public event */
    bool is_cooling;           /* in the list of those that had one within --conflate */
    struct project *next_warm; /* in that list */
    struct span *telling;      /* of the vote that the next public event tells; NULL: none */
};

struct notify {
    const struct notify_config *config;
    struct log *log;
    struct admin admin;
    struct admin_check *kafka_check, *postgres_check;
    struct notify_metrics *metrics;
    uv_loop_t loop;
    uv_timer_t second, cooling, leaving;
    uv_signal_t terminate, interrupt;
    int stops;
    uint64_t seconds;
    struct sio_server *server;
    struct sio_namespace *everyone;
    struct tls_context *tls; /* NULL: in plain */
    struct sio_transport *transport;
    struct feed *feed;
    struct lookup *lookup;
    struct token_cache *tokens;
    struct tracer *tracer; /* NULL: none */
    struct table projects;
    uint64_t last_key;
    struct project *cooling_first, *cooling_last; /* by sent_us */
};

/* The project, made when nobody has looked at it yet. */
struct project *project_take(struct notify *notify, const char *project_id);
struct project *project_find(struct notify *notify, const char *project_id);

/* One subscriber less; the last one lets the project go. */
void project_leave(struct notify *notify, struct project *project);

/* A result of the project: newer counts are told to its room, at once or with the next event. */
void project_on_result(struct notify *notify, struct project *project, const struct result *result,
                       const struct span *span);

/* Counts out of Postgres: the newer of these and what is known stands. */
void project_on_counts(struct notify *notify, struct project *project, const struct counts *counts);

/* Asks Postgres about every project again: results may have been missed. */
void projects_refresh(struct notify *notify);

/* Tells what has waited for --conflate. */
void projects_on_timer(uv_timer_t *timer);
void projects_free(struct notify *notify);

/* --- subscribe.c: what clients ask for ------------------------------------------------------- */

bool client_on_connect(struct sio_socket *socket, const struct sio_connect *request,
                       struct sio_refusal *refusal);
void client_on_event(struct sio_socket *socket, const char *name, const struct sio_args *args,
                     int64_t ack_id);
void client_on_disconnect(struct sio_socket *socket, enum sio_reason reason);

/* The project is known now, or (`failed`) cannot be looked up: those who wait for it are answered.
 */
void waiters_answer(struct notify *notify, struct project *project, bool failed);

/* Closes sockets whose token has expired. */
void clients_expire(struct notify *notify);

/* project_ids.c */

/* Reads the ids of a subscribe or unsubscribe, [{"project_ids":["p1",...]}], into `ids`, which has
 * room for `max`. */
bool subscribe_parse(const json_t *args, char (*ids)[VOTE_ID_SIZE], int max, int *count,
                     struct error *error) __attribute__((warn_unused_result));

/* --- event.c: what is told ------------------------------------------------------------------- */

/* The public event: never a user's id. */
void event_public(struct notify *notify, struct project *project);

/* The user's own: one for each vote, never coalesced. */
void event_private(struct notify *notify, const struct result *result, const struct span *span);

/* Members of an object: upvotes, downvotes, voteCount, community_score, version. */
void counts_encode(const struct counts *counts, struct buf *json);

/* --- spans.c: what the trace of a vote shows of this stage ------------------------------------ */

void notice_span_begin(struct notify *notify, struct span *span, const struct notice *notice);

/* The project's next public event tells of the vote of `span`. */
void telling_begin(struct notify *notify, struct project *project, const struct span *span);

/* The event has been queued for its clients. */
void telling_end(struct notify *notify, struct project *project);
void telling_free(struct project *project);

/* --- metrics.c -------------------------------------------------------------------------------- */

struct notify_metrics *notify_metrics_new(struct metrics *all);
void notify_metrics_free(struct notify_metrics *metrics);

/* Copies what the server has counted. */
void notify_metrics_tell(struct notify_metrics *metrics, const struct sio_stats *stats);

/* An event left, for a vote of these moments (wall clock, milliseconds) and that span (NULL: it has
 * none). */
void notify_metrics_delivered(struct notify_metrics *metrics, int64_t accepted_at_ms,
                              int64_t committed_at_ms, const struct span *span);

bool notify_run(void *config, const struct options *options, struct log *log, struct error *error);

#endif
