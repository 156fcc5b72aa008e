/* loop.c - the Redis client's thread: takes batches from callers, serves the nodes' connections,
 * keeps deadlines. SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include "base/clock.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { EVENTS_MAX = 16, SLOTS_AGAIN_US = 500 * 1000 };

static struct redis_batch *loop_take(struct redis *redis)
{
    atomic_store(&redis->signaled, 0);
    pthread_mutex_lock(&redis->lock);
    struct redis_batch *first = redis->incoming_first;
    redis->incoming_first = redis->incoming_last = NULL;
    pthread_mutex_unlock(&redis->lock);
    return first;
}

static void loop_start_batches(struct redis *redis)
{
    struct redis_batch *next;
    for (struct redis_batch *batch = loop_take(redis); batch; batch = next) {
        next = batch->next; /* behind its last call, a batch may be gone */
        for (size_t count = batch->count, i = 0; i < count; i++) {
            struct redis_call *call = &batch->calls[i];
            node_send(cluster_route(redis, call->slot), call);
        }
    }
}

/* What the callers may know without asking the thread. */
static void loop_tell_state(struct redis *redis)
{
    bool usable = false, up = true;
    for (size_t i = 0; i < redis->node_count; i++) {
        const struct node *node = &redis->nodes[i];
        usable = usable || node->state == NODE_UP || !node->failed;
        up = up && (node->state == NODE_UP || !node->owns_slots);
    }
    atomic_store(&redis->usable, usable);
    atomic_store(&redis->up, up);
}

/* Asks a living node for the map of slots, again and again while a node is away. */
static void loop_refresh_slots(struct redis *redis, int64_t now_us)
{
    if (!redis->is_cluster || !redis->slots_at_us || now_us < redis->slots_at_us)
        return;
    redis->slots_at_us = 0;
    for (size_t i = 0; i < redis->node_count; i++) {
        const struct node *node = &redis->nodes[i];
        if (node->state != NODE_UP && node->owns_slots)
            redis->slots_at_us = now_us + SLOTS_AGAIN_US;
    }
    for (size_t i = 0; i < redis->node_count; i++) {
        struct node *node = &redis->nodes[i];
        if (node->state != NODE_UP)
            continue;
        node_send(node, call_new(CALL_SLOTS, "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n",
                                 now_us + redis->config->timeout_us));
        return;
    }
}

/* Returns how long the thread may sleep, in milliseconds. */
static int loop_tick(struct redis *redis)
{
    int64_t now_us = clock_mono_us(), wake_us = now_us + 1000 * 1000;
    loop_refresh_slots(redis, now_us);
    for (size_t i = 0; i < redis->node_count; i++) {
        int64_t at_us = node_tick(&redis->nodes[i], now_us);
        if (at_us < wake_us)
            wake_us = at_us;
        node_flush(&redis->nodes[i]);
    }
    if (redis->slots_at_us && redis->slots_at_us < wake_us)
        wake_us = redis->slots_at_us;
    loop_tell_state(redis);
    return clock_until_ms(wake_us);
}

void *loop_run(void *context)
{
    struct redis *redis = context;
    struct epoll_event events[EVENTS_MAX];
    eventfd_t ignored;
    while (!atomic_load(&redis->stop)) {
        int count = epoll_wait(redis->epoll_fd, events, EVENTS_MAX, loop_tick(redis));
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                node_on_event(events[i].data.ptr, events[i].events);
            else
                eventfd_read(redis->event_fd, &ignored);
        }
        loop_start_batches(redis);
    }
    return NULL;
}
