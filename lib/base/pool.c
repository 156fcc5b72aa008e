/* pool.c - things lent to one thread at a time. SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <assert.h>

void pool_init(struct pool *pool)
{
    *pool = (struct pool){0};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->returned, NULL);
}

void pool_destroy(struct pool *pool)
{
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
}

void pool_give(struct pool *pool, void *thing)
{
    pthread_mutex_lock(&pool->lock);
    assert(pool->idle_count < POOL_MAX);
    pool->idle[pool->idle_count++] = thing;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

void *pool_take(struct pool *pool, int64_t deadline_us)
{
    struct timespec deadline = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
    pthread_mutex_lock(&pool->lock);
    while (pool->idle_count == 0 &&
           pthread_cond_clockwait(&pool->returned, &pool->lock, CLOCK_MONOTONIC, &deadline) == 0)
        ;
    void *thing = pool->idle_count ? pool->idle[--pool->idle_count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return thing;
}

void *pool_take_idle(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    void *thing = pool->idle_count ? pool->idle[--pool->idle_count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return thing;
}
