/* redis.h - a client for Redis, alone or as a cluster, that any number of threads share.
 *
 * One thread of the client's own does the talking, over one connection to each node: what many
 * callers ask at a time travels together. Commands are put into a batch, each with the key that
 * says which node it goes to; the caller waits for the whole batch, never longer than its deadline.
 * A Redis that is away costs a caller nothing: batches fail at once until it answers again.
 *
 * A command of a failed batch may or may not have been carried out.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#include "base/error.h"
#include "base/option.h"

#include <hiredis/hiredis.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>

struct redis_config {
    const char *url;    /* redis://[:password@]host[:port][,host[:port]...][/database] */
    int64_t timeout_us; /* for connecting, and for a batch from its submission */
};

/* --redis-url and --redis-timeout, for a struct redis_config. */
extern const struct option redis_options[];
enum { REDIS_OPTION_COUNT = 2 };

struct redis;

/* Starts the client; it connects, and comes back after failures, by itself. `config` is borrowed
 * until redis_close. Fails on a URL that is none. */
bool redis_open(struct redis **redis, const struct redis_config *config, struct error *error)
    __attribute__((warn_unused_result));

/* Ends the client; no batch may be under way. NULL is fine. */
void redis_close(struct redis *redis);

/* True when every node that holds keys can be reached just now. */
bool redis_is_up(const struct redis *redis);

/* Waits until redis_is_up, at most `timeout_us`; returns what it is. */
bool redis_wait_up(const struct redis *redis, int64_t timeout_us);

/* A Lua script and its SHA-1 in hex, by which a server knows it. */
struct redis_script {
    const char *source;
    const char *digest;
};

struct redis_call;

/* Commands that travel together. Zero-initialised is empty. */
struct redis_batch {
    struct redis_call *calls;
    size_t count, capacity;
    int64_t deadline_us; /* monotonic; 0: the client's timeout from the submission on */
    /* NULL, or what is called, by the client's thread or by redis_submit, when every reply is there
     * or the deadline has come: instead of redis_wait. It must not block, and may hand the batch on
     * as its last act. */
    void (*then)(struct redis_batch *batch);
    void *owner; /* the caller's, for `then` */
    size_t left; /* the client's own while the batch is under way */
    sem_t done;
    char failure[120];
    struct redis_batch *next;
};

/* Adds a command in hiredis' format (%s, %b); it goes to the node that has `key`. */
void redis_add(struct redis_batch *batch, const char *key, const char *format, ...);

/* Adds a command of `count` words; faster than redis_add where there are many. */
void redis_add_words(struct redis_batch *batch, const char *key, int count,
                     const char *const *words);

/* Adds a script with `key_count` keys first (all of one slot) and then the other arguments. The
 * server gets the script's source when it does not know the digest. */
void redis_add_script(struct redis_batch *batch, const struct redis_script *script, int key_count,
                      int count, const char *const *arguments);

/* Sends the batch. It stays the client's until redis_wait has returned; each submission is waited
 * for exactly once. */
void redis_submit(struct redis *redis, struct redis_batch *batch);

/* Waits for every reply or the deadline. False with the error filled when a command has no reply or
 * an error reply; the others' replies are there all the same. */
bool redis_wait(struct redis_batch *batch, struct error *error) __attribute__((warn_unused_result));

/* What became of a batch with `then`, once it was called; returns as redis_wait. */
bool redis_outcome(struct redis_batch *batch, struct error *error)
    __attribute__((warn_unused_result));

/* redis_submit and redis_wait. */
bool redis_run(struct redis *redis, struct redis_batch *batch, struct error *error)
    __attribute__((warn_unused_result));

/* The reply to the command added as number `at`; borrowed until the batch is cleared; NULL when
 * there is none, or an error reply. */
const redisReply *redis_reply(const struct redis_batch *batch, size_t at);

/* A reply's whole number, given as one or as text; 0 when it is neither. */
int64_t redis_reply_int(const redisReply *reply);

/* Drops commands and replies; keeps the memory of the batch itself for the next ones. */
void redis_batch_clear(struct redis_batch *batch);
void redis_batch_free(struct redis_batch *batch);

#endif
