/* redis.c - a thin manner around hiredis. SPDX-License-Identifier: Apache-2.0 */
#include "redis/redis.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_US = 100 * 1000, DEFAULT_PORT = 6379 };

/* clang-format off */
const struct option redis_options[] = {
    {.name = "redis-url", .type = OPTION_TEXT, .offset = offsetof(struct redis_config, url),
     .preset = "redis://127.0.0.1:16379", .argument = "URL", .flags = OPTION_URL,
     .summary = "redis://[:password@]host[:port][/db]"},
    {.name = "redis-timeout", .type = OPTION_DURATION,
     .offset = offsetof(struct redis_config, timeout_us), .preset = "50ms", .argument = "DURATION",
     .min = 1000, .max = 60000000, .summary = "longest wait for Redis"},
};
/* clang-format on */

struct redis_address {
    char host[256];
    int port;
    int database;
    char password[256]; /* empty: none */
};

/* Reads redis://[user:password@]host[:port][/database] (IANA `redis` URI scheme). */
static bool address_parse(struct redis_address *address, const char *url, struct error *error)
{
    const char *rest = strncmp(url, "redis://", 8) ? NULL : url + 8;
    const char *at = rest ? strrchr(rest, '@') : NULL;
    *address = (struct redis_address){.port = DEFAULT_PORT};
    if (at) {
        const char *colon = memchr(rest, ':', (size_t)(at - rest));
        const char *start = colon ? colon + 1 : rest;
        snprintf(address->password, sizeof address->password, "%.*s", (int)(at - start), start);
        rest = at + 1;
    }
    size_t size = rest ? strcspn(rest, ":/") : 0;
    if (size == 0 || size >= sizeof address->host)
        return error_set(error, ERROR_CONFIG, "redis-url is not redis://host:port");
    memcpy(address->host, rest, size);
    rest += size;
    if (*rest == ':')
        address->port = (int)strtol(rest + 1, (char **)&rest, 10);
    if (*rest == '/')
        address->database = (int)strtol(rest + 1, (char **)&rest, 10);
    if (*rest || address->port < 1 || address->port > 65535)
        return error_set(error, ERROR_CONFIG, "redis-url is not redis://host:port");
    return true;
}

void redis_close(struct redis *redis)
{
    redisFree(redis->context);
    redis->context = NULL;
}

static bool redis_lost(struct redis *redis, struct error *error)
{
    const char *why = redis->context && redis->context->err ? redis->context->errstr : "no answer";
    error_set(error, ERROR_UNAVAILABLE, "redis: %s", why);
    redis_close(redis);
    return false;
}

static bool redis_greet(struct redis *redis, const struct redis_address *address,
                        struct error *error)
{
    redisReply *reply = NULL;
    if (address->password[0]) {
        reply = redisCommand(redis->context, "AUTH %s", address->password);
        if (!reply || reply->type == REDIS_REPLY_ERROR)
            error_set(error, ERROR_CONFIG, "redis refuses the password");
    }
    if (address->database && (!reply || reply->type != REDIS_REPLY_ERROR)) {
        freeReplyObject(reply);
        reply = redisCommand(redis->context, "SELECT %d", address->database);
    }
    bool fine = !redis->context->err && (!reply || reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    return fine || redis_lost(redis, error);
}

bool redis_connect(struct redis *redis, struct error *error)
{
    struct redis_address address;
    if (redis->context)
        return true;
    if (clock_mono_us() < redis->retry_at_us)
        return error_set(error, ERROR_UNAVAILABLE, "redis: not reachable a moment ago");
    if (!address_parse(&address, redis->config->url, error))
        return false;
    int64_t timeout_us = redis->config->timeout_us;
    struct timeval timeout = {timeout_us / 1000000, timeout_us % 1000000};
    redis->context = redisConnectWithTimeout(address.host, address.port, timeout);
    if (!redis->context)
        abort();
    if (!redis->context->err && redisSetTimeout(redis->context, timeout) == REDIS_OK &&
        redis_greet(redis, &address, error))
        return true;
    redis->retry_at_us = clock_mono_us() + RETRY_US;
    if (redis->context) {
        error_set(error, ERROR_UNAVAILABLE, "unable to connect to redis %s:%d: %s", address.host,
                  address.port, redis->context->errstr);
        redis_close(redis);
    }
    return false;
}

/* Takes over a reply: NULL and error replies become failures. */
static redisReply *redis_check(struct redis *redis, redisReply *reply, struct error *error)
{
    if (!reply) {
        redis_lost(redis, error);
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR)
        return reply;
    error_set(error, ERROR_UNAVAILABLE, "redis: %s", reply->str);
    freeReplyObject(reply);
    return NULL;
}

redisReply *redis_command(struct redis *redis, struct error *error, const char *format, ...)
{
    if (!redis_connect(redis, error))
        return NULL;
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(redis->context, format, args);
    va_end(args);
    return redis_check(redis, reply, error);
}

bool redis_answers(struct redis *redis, struct error *error)
{
    redisReply *reply = NULL;
    bool was_connected = redis->context != NULL;
    reply = redis_command(redis, error, "PING");
    if (!reply && was_connected)
        reply = redis_command(redis, error, "PING");
    freeReplyObject(reply);
    return reply != NULL;
}

bool redis_load(struct redis *redis, struct redis_script *script, struct error *error)
{
    redisReply *reply = redis_command(redis, error, "SCRIPT LOAD %s", script->source);
    if (!reply)
        return false;
    snprintf(script->digest, sizeof script->digest, "%s", reply->str ? reply->str : "");
    freeReplyObject(reply);
    return true;
}

/* Puts EVALSHA into the output of the connection. */
static void script_append(struct redis *redis, const struct redis_script *script, int key_count,
                          int count, const char **arguments)
{
    char keys[12];
    const char **words = malloc(((size_t)count + 3) * sizeof *words);
    if (!words)
        abort();
    snprintf(keys, sizeof keys, "%d", key_count);
    words[0] = "EVALSHA";
    words[1] = script->digest;
    words[2] = keys;
    memcpy(words + 3, arguments, (size_t)count * sizeof *words);
    redisAppendCommandArgv(redis->context, count + 3, words, NULL);
    free(words);
}

static redisReply *script_call(struct redis *redis, const struct redis_script *script,
                               int key_count, int count, const char **arguments)
{
    void *reply = NULL;
    script_append(redis, script, key_count, count, arguments);
    return redisGetReply(redis->context, &reply) == REDIS_OK ? reply : NULL;
}

redisReply *redis_run(struct redis *redis, struct redis_script *script, int key_count, int count,
                      const char **arguments, struct error *error)
{
    if (!redis_connect(redis, error) || (!script->digest[0] && !redis_load(redis, script, error)))
        return NULL;
    redisReply *reply = script_call(redis, script, key_count, count, arguments);
    if (reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8)) {
        freeReplyObject(reply);
        if (!redis_load(redis, script, error))
            return NULL;
        reply = script_call(redis, script, key_count, count, arguments);
    }
    return redis_check(redis, reply, error);
}

void redis_queue_run(struct redis *redis, const struct redis_script *script, int key_count,
                     int count, const char **arguments)
{
    if (redis->context)
        script_append(redis, script, key_count, count, arguments);
}

void redis_queue(struct redis *redis, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (redis->context)
        redisvAppendCommand(redis->context, format, args);
    va_end(args);
}

bool redis_collect(struct redis *redis, int count, struct error *error)
{
    if (!redis->context)
        return error_set(error, ERROR_UNAVAILABLE, "redis: not connected");
    bool fine = true;
    for (int i = 0; i < count; i++) {
        void *data = NULL;
        if (redisGetReply(redis->context, &data) != REDIS_OK)
            return redis_lost(redis, error);
        redisReply *reply = data;
        if (reply->type == REDIS_REPLY_ERROR)
            fine = error_set(error, ERROR_UNAVAILABLE, "redis: %s", reply->str);
        freeReplyObject(reply);
    }
    return fine;
}
