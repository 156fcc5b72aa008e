/* redis.h - a thin manner around hiredis: a connection that comes back by itself, scripts by their
 * digest, pipelines. A struct redis is used by one thread at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#include "base/error.h"
#include "base/option.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdint.h>

struct redis_config {
    const char *url;    /* redis://[:password@]host[:port][/database] */
    int64_t timeout_us; /* for connecting and for each reply */
};

/* --redis-url and --redis-timeout, for a struct redis_config. */
extern const struct option redis_options[];
enum { REDIS_OPTION_COUNT = 2 };

struct redis {
    const struct redis_config *config; /* borrowed */
    redisContext *context;             /* NULL: not connected */
    int64_t retry_at_us;               /* no new connection before (monotonic) */
};

/* A Lua script and the digest the server knows it by. */
struct redis_script {
    const char *source;
    char digest[41]; /* empty until it is first loaded on this connection's server */
};

/* True when connected, connecting first where needed. After a failure the next attempt waits 100
 * ms, so that a Redis that is away costs a request nothing. */
bool redis_connect(struct redis *redis, struct error *error) __attribute__((warn_unused_result));
void redis_close(struct redis *redis);

/* One command (hiredis format). Returns its reply, which the caller frees with freeReplyObject, or
 * NULL with the error filled; an error reply counts as a failure. */
redisReply *redis_command(struct redis *redis, struct error *error, const char *format, ...)
    __attribute__((warn_unused_result));

/* True when Redis answers now. A connection that died idle is made again first. */
bool redis_answers(struct redis *redis, struct error *error) __attribute__((warn_unused_result));

/* Runs a script with `keys` first and then the other arguments; loads it when the server does not
 * know it (a restart forgets scripts). Same returns as redis_command. */
redisReply *redis_run(struct redis *redis, struct redis_script *script, int key_count, int count,
                      const char **arguments, struct error *error)
    __attribute__((warn_unused_result));

/* Makes the server know a script; nothing may be queued at the time. */
bool redis_load(struct redis *redis, struct redis_script *script, struct error *error)
    __attribute__((warn_unused_result));

/* Queues a script that redis_load has loaded. */
void redis_queue_run(struct redis *redis, const struct redis_script *script, int key_count,
                     int count, const char **arguments);

/* Queues a command on a living connection; redis_collect sends all and drops their `count` replies.
 * It fails when the connection is lost or a reply is an error. */
void redis_queue(struct redis *redis, const char *format, ...);
bool redis_collect(struct redis *redis, int count, struct error *error)
    __attribute__((warn_unused_result));

#endif
