/* redis.c - the callers' side of the Redis client: batches, their submission and their replies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOK_AGAIN_US = 5 * 1000 };

/* clang-format off */
const struct option redis_options[] = {
    {.name = "redis-url", .type = OPTION_TEXT, .offset = offsetof(struct redis_config, url),
     .preset = "redis://127.0.0.1:16379", .argument = "URL",
     .flags = OPTION_URL | OPTION_FILE, .check = url_check,
     .summary = "redis://[user:password@]host[:port][,...][/db]"},
    {.name = "redis-timeout", .type = OPTION_DURATION,
     .offset = offsetof(struct redis_config, timeout_us), .preset = "50ms", .argument = "DURATION",
     .min = 1000, .max = 60000000, .summary = "longest wait for Redis"},
};
/* clang-format on */

void queue_push(struct call_queue *queue, struct redis_call *call)
{
    call->next = NULL;
    if (queue->last)
        queue->last->next = call;
    else
        queue->first = call;
    queue->last = call;
}

struct redis_call *queue_pop(struct call_queue *queue)
{
    struct redis_call *call = queue->first;
    if (call && !(queue->first = call->next))
        queue->last = NULL;
    return call;
}

struct redis_call *call_new(enum call_kind kind, const char *command, int64_t deadline_us)
{
    struct redis_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->kind = kind;
    call->command = strdup(command);
    call->size = strlen(command);
    call->deadline_us = deadline_us;
    return call;
}

static void batch_finish(struct redis_batch *batch)
{
    if (batch->then)
        batch->then(batch);
    else
        sem_post(&batch->done);
}

/* The call's last moment: behind it, the batch may be gone. Takes over the reply. */
void call_finish(struct redis_call *call, redisReply *reply, const char *failure)
{
    struct redis_batch *batch = call->batch;
    if (call->kind != CALL_OF_BATCH) {
        freeReplyObject(reply);
        free(call->command);
        free(call);
        return;
    }
    call->reply = reply;
    if (failure && !batch->failure[0])
        snprintf(batch->failure, sizeof batch->failure, "%s", failure);
    if (--batch->left == 0)
        batch_finish(batch);
}

/* Takes over `command`, from malloc. */
void call_add(struct redis_batch *batch, const char *key, char *command, int size)
{
    if (size < 0)
        abort(); /* a format that is none: our bug */
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 8;
        batch->calls = realloc(batch->calls, batch->capacity * sizeof *batch->calls);
        if (!batch->calls)
            abort();
    }
    batch->calls[batch->count++] =
        (struct redis_call){.command = command, .size = (size_t)size, .slot = slot_of_key(key)};
}

void redis_add(struct redis_batch *batch, const char *key, const char *format, ...)
{
    char *command = NULL;
    va_list args;
    va_start(args, format);
    int size = redisvFormatCommand(&command, format, args);
    va_end(args);
    call_add(batch, key, command, size);
}

/* A command as RESP (https://redis.io/docs/reference/protocol-spec): an array of bulk strings. */
static void command_begin(struct buf *command, int count)
{
    buf_char(command, '*');
    buf_int(command, count);
    buf_put(command, "\r\n", 2);
}

static void command_word(struct buf *command, const char *word)
{
    size_t size = strlen(word);
    buf_char(command, '$');
    buf_int(command, (int64_t)size);
    buf_put(command, "\r\n", 2);
    buf_put(command, word, size);
    buf_put(command, "\r\n", 2);
}

void redis_add_words(struct redis_batch *batch, const char *key, int count,
                     const char *const *words)
{
    struct buf command = {0};
    command_begin(&command, count);
    for (int i = 0; i < count; i++)
        command_word(&command, words[i]);
    call_add(batch, key, command.data, (int)command.size);
}

void redis_add_script(struct redis_batch *batch, const struct redis_script *script, int key_count,
                      int count, const char *const *arguments)
{
    char keys[12];
    struct buf command = {0};
    snprintf(keys, sizeof keys, "%d", key_count);
    command_begin(&command, count + 3);
    command_word(&command, "EVALSHA");
    command_word(&command, script->digest);
    size_t rest = command.size;
    command_word(&command, keys);
    for (int i = 0; i < count; i++)
        command_word(&command, arguments[i]);
    call_add(batch, arguments[0], command.data, (int)command.size);
    struct redis_call *call = &batch->calls[batch->count - 1];
    call->script = script;
    call->script_words = count + 3;
    call->script_rest = rest;
}

static void batch_hand_over(struct redis *redis, struct redis_batch *batch)
{
    pthread_mutex_lock(&redis->lock);
    if (redis->incoming_last)
        redis->incoming_last->next = batch;
    else
        redis->incoming_first = batch;
    redis->incoming_last = batch;
    pthread_mutex_unlock(&redis->lock);
    bool is_awake = pthread_equal(pthread_self(), redis->thread); /* it looks before it sleeps */
    if (!is_awake && !atomic_exchange(&redis->signaled, 1))
        eventfd_write(redis->event_fd, 1);
}

void redis_submit(struct redis *redis, struct redis_batch *batch)
{
    if (!batch->deadline_us)
        batch->deadline_us = clock_mono_us() + redis->config->timeout_us;
    batch->next = NULL;
    batch->failure[0] = '\0';
    batch->left = batch->count;
    sem_init(&batch->done, 0, 0);
    for (size_t i = 0; i < batch->count; i++) {
        batch->calls[i].batch = batch;
        batch->calls[i].deadline_us = batch->deadline_us;
    }
    if (!batch->count) {
        batch_finish(batch);
        return;
    }
    if (atomic_load(&redis->usable)) {
        batch_hand_over(redis, batch);
        return;
    }
    for (size_t left = batch->count; left > 0; left--)
        call_finish(&batch->calls[batch->count - left], NULL, "not reachable just now");
}

bool redis_wait(struct redis_batch *batch, struct error *error)
{
    while (sem_wait(&batch->done) && errno == EINTR)
        ;
    return redis_outcome(batch, error);
}

const char *reply_complaint(const redisReply *reply, char why[COMPLAINT_SIZE])
{
    const char *arguments = strstr(reply->str, ", with args beginning with");
    size_t size = arguments ? (size_t)(arguments - reply->str) : reply->len;
    snprintf(why, COMPLAINT_SIZE, "%.*s", (int)(size < COMPLAINT_SIZE ? size : COMPLAINT_SIZE - 1),
             reply->str);
    return why;
}

bool redis_outcome(struct redis_batch *batch, struct error *error)
{
    sem_destroy(&batch->done);
    batch->deadline_us = 0;
    batch->then = NULL;
    char why[COMPLAINT_SIZE];
    if (batch->failure[0])
        return error_set(error, ERROR_UNAVAILABLE, "redis: %s", batch->failure);
    for (size_t i = 0; i < batch->count; i++) {
        const redisReply *reply = batch->calls[i].reply;
        if (reply->type == REDIS_REPLY_ERROR)
            return error_set(error, ERROR_UNAVAILABLE, "redis: %s", reply_complaint(reply, why));
    }
    return true;
}

bool redis_run(struct redis *redis, struct redis_batch *batch, struct error *error)
{
    redis_submit(redis, batch);
    return redis_wait(batch, error);
}

const redisReply *redis_reply(const struct redis_batch *batch, size_t at)
{
    const redisReply *reply = at < batch->count ? batch->calls[at].reply : NULL;
    return reply && reply->type != REDIS_REPLY_ERROR ? reply : NULL;
}

int64_t redis_reply_int(const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    return reply && reply->str ? strtoll(reply->str, NULL, 10) : 0;
}

void redis_batch_clear(struct redis_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        freeReplyObject(batch->calls[i].reply);
        free(batch->calls[i].command);
    }
    batch->count = 0;
}

void redis_batch_free(struct redis_batch *batch)
{
    redis_batch_clear(batch);
    free(batch->calls);
    batch->calls = NULL;
    batch->capacity = 0;
}

bool redis_is_up(const struct redis *redis)
{
    return atomic_load(&redis->up);
}

bool redis_wait_up(const struct redis *redis, int64_t timeout_us)
{
    int64_t until_us = clock_mono_us() + timeout_us;
    while (!redis_is_up(redis) && clock_mono_us() < until_us)
        clock_sleep_us(LOOK_AGAIN_US);
    return redis_is_up(redis);
}

bool redis_open(struct redis **result, const struct redis_config *config, struct error *error)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        abort();
    redis->config = config;
    memset(redis->slots, NO_NODE, sizeof redis->slots);
    if (!url_parse(redis, config->url, error)) {
        free(redis);
        return false;
    }
    atomic_store(&redis->usable, 1);
    pthread_mutex_init(&redis->lock, NULL);
    redis->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    redis->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (redis->epoll_fd < 0 || redis->event_fd < 0 ||
        epoll_ctl(redis->epoll_fd, EPOLL_CTL_ADD, redis->event_fd, &event) ||
        pthread_create(&redis->thread, NULL, loop_run, redis))
        abort(); /* no descriptors or threads at the start: nothing would work */
    *result = redis;
    return true;
}

void redis_close(struct redis *redis)
{
    if (!redis)
        return;
    atomic_store(&redis->stop, 1);
    eventfd_write(redis->event_fd, 1);
    pthread_join(redis->thread, NULL);
    for (size_t i = 0; i < redis->node_count; i++)
        node_close(&redis->nodes[i]);
    close(redis->epoll_fd);
    close(redis->event_fd);
    pthread_mutex_destroy(&redis->lock);
    free(redis);
}
