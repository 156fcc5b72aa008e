/* pool.h - a fixed set of things (connections) lent to one thread at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_MAX = 64 };

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    void *idle[POOL_MAX];
    size_t idle_count;
};

void pool_init(struct pool *pool);
void pool_destroy(struct pool *pool);

/* Puts a thing in, or back; at most POOL_MAX. The last one back is the next one lent: it is warm.
 */
void pool_give(struct pool *pool, void *thing);

/* Takes one out, waiting for one to come back until the monotonic deadline; NULL when none did. */
void *pool_take(struct pool *pool, int64_t deadline_us);

/* Takes one out without waiting, NULL when none is there: for emptying a pool at the end. */
void *pool_take_idle(struct pool *pool);

#endif
