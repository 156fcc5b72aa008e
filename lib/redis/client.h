/* client.h - inside the Redis client: its nodes, and the calls under way to each.
 *
 * Everything but `incoming` belongs to the client's thread alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "base/buf.h"
#include "redis/redis.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { NODES_MAX = 64, SLOTS = 16384, NO_NODE = 255, HOST_SIZE = 256, REDIRECTS_MAX = 5 };

/* What a reply is for. */
enum call_kind { CALL_OF_BATCH, CALL_GREETING, CALL_SLOTS, CALL_ASKING };

struct redis_call {
    enum call_kind kind;
    struct redis_batch *batch; /* CALL_OF_BATCH */
    struct redis_call *next;   /* in its node's queue */
    char *command;             /* as RESP, made by hiredis */
    size_t size;
    const struct redis_script *script; /* NULL: a plain command */
    size_t script_rest;                /* where the command goes on behind script and digest */
    int script_words;                  /* of the whole command */
    int64_t deadline_us;
    int slot;
    int redirects;
    redisReply *reply;
};

struct call_queue {
    struct redis_call *first, *last;
};

/* Moved by node_move alone. A FRESH node has never failed: calls wait for it to come up. */
enum node_state { NODE_FRESH, NODE_DOWN, NODE_CONNECTING, NODE_GREETING, NODE_UP };

struct node {
    struct redis *redis;
    char host[HOST_SIZE];
    int port;
    enum node_state state;
    bool failed;     /* since it was last up: calls do not wait for it */
    bool owns_slots; /* or may, as far as is known */
    int fd;          /* -1: none */
    bool writable_awaited;
    struct sockaddr_storage address;
    socklen_t address_size; /* 0: not resolved yet */
    redisReader *reader;
    struct buf out;
    size_t out_sent;
    struct call_queue sent;    /* waiting for their replies, in order */
    struct call_queue waiting; /* for the node to come up */
    int64_t earliest_us;       /* no deadline of a queued call is before; 0: none is queued */
    int64_t connect_by_us, retry_at_us;
    int greetings_left;
};

struct redis {
    const struct redis_config *config;
    char user[HOST_SIZE];     /* empty: the default one */
    char password[HOST_SIZE]; /* empty: none */
    int database;
    struct node nodes[NODES_MAX];
    size_t node_count;
    bool is_cluster;
    unsigned char slots[SLOTS]; /* index of the node, or NO_NODE */
    int64_t slots_at_us;        /* when to ask for the map again; 0: not */

    int epoll_fd, event_fd;
    pthread_t thread;
    _Atomic int usable; /* 0: no node is worth waiting for */
    _Atomic int up;
    _Atomic int stop;

    pthread_mutex_t lock;
    struct redis_batch *incoming_first, *incoming_last;
    _Atomic int signaled;
};

/* redis.c */
void call_finish(struct redis_call *call, redisReply *reply, const char *failure);
void call_add(struct redis_batch *batch, const char *key, char *command, int size);
struct redis_call *call_new(enum call_kind kind, const char *command, int64_t deadline_us);
void queue_push(struct call_queue *queue, struct redis_call *call);
struct redis_call *queue_pop(struct call_queue *queue);

/* What an error says, without the arguments that a server repeats of a command that it does not
 * know: a password, or a user's vote. Returns `why`. */
enum { COMPLAINT_SIZE = 160 };
const char *reply_complaint(const redisReply *reply, char why[COMPLAINT_SIZE]);

/* loop.c */
void *loop_run(void *redis);

/* node.c */
struct node *node_add(struct redis *redis, const char *host, int port);
void node_send(struct node *node, struct redis_call *call);
void node_fail(struct node *node, const char *why);
void node_on_event(struct node *node, unsigned events);

/* Connects when it is time, fails what is too late; returns when to look again (monotonic). */
int64_t node_tick(struct node *node, int64_t now_us);
void node_flush(struct node *node);
void node_close(struct node *node);

/* cluster.c: https://redis.io/docs/reference/cluster-spec */
int slot_of_key(const char *key);
void cluster_read_slots(struct node *asked, const redisReply *reply);

/* Follows MOVED and ASK; true when the call is on its way elsewhere. */
bool cluster_redirect(struct redis *redis, struct redis_call *call, const redisReply *reply);
struct node *cluster_route(struct redis *redis, int slot);

/* url.c */
bool url_parse(struct redis *redis, const char *url, struct error *error);
bool url_check(const char *url, struct error *error);

#endif
