/* sampler.c - compares a sample of projects now and then, in a thread of its own: Postgres may hang
 * without holding up a purge. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"
#include "vote/consistency.h"

#include <pthread.h>
#include <stdlib.h>

enum { SECOND_US = 1000 * 1000, DATABASE_TIMEOUT_US = 5 * SECOND_US };

struct sampler {
    struct invalidate *invalidate;
    struct pg pg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stop; /* under the lock */
};

static bool sampler_is_stopped(void *context)
{
    struct sampler *sampler = context;
    pthread_mutex_lock(&sampler->lock);
    bool stop = sampler->stop;
    pthread_mutex_unlock(&sampler->lock);
    return stop;
}

/* What a cache may still have to be purged for is no difference. */
static void sampler_run_once(struct sampler *sampler)
{
    struct invalidate *invalidate = sampler->invalidate;
    const struct invalidate_config *config = invalidate->config;
    struct consistency check = {.pg = &sampler->pg,
                                .redis = invalidate->redis,
                                .sample = config->check_sample,
                                .timeout_us = config->max_wait_us + 2 * SECOND_US,
                                .is_stopped = sampler_is_stopped,
                                .context = sampler};
    struct error error;
    if (!consistency_check(&check, &error)) {
        log_error(invalidate->log, LOG_WARN, "consistency not checked", &error);
        metric_add(invalidate->metrics.checks_failed, 1);
        return;
    }
    metric_add(invalidate->metrics.checks_done, 1);
    metric_set(invalidate->metrics.consistency, (int64_t)(consistency_ratio(&check) * 1e6));
    if (check.differ)
        LOG_EVENT(invalidate->log, LOG_WARN, "caches and Postgres differ",
                  LOG_INT("projects", (int64_t)check.differ),
                  LOG_INT("sampled", (int64_t)check.sampled));
}

/* False when it is to end. */
static bool sampler_wait(struct sampler *sampler, int64_t duration_us)
{
    int64_t until_us = clock_mono_us() + duration_us;
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
    int outcome = 0;
    pthread_mutex_lock(&sampler->lock);
    while (!sampler->stop && !outcome)
        outcome = pthread_cond_clockwait(&sampler->woken, &sampler->lock, CLOCK_MONOTONIC, &until);
    bool stop = sampler->stop;
    pthread_mutex_unlock(&sampler->lock);
    return !stop;
}

static void *sampler_run(void *context)
{
    struct sampler *sampler = context;
    while (sampler_wait(sampler, sampler->invalidate->config->check_interval_us))
        sampler_run_once(sampler);
    return NULL;
}

struct sampler *sampler_open(struct invalidate *invalidate)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        abort();
    sampler->invalidate = invalidate;
    sampler->pg = (struct pg){.url = invalidate->config->pg.url,
                              .name = "vote-invalidate",
                              .timeout_us = DATABASE_TIMEOUT_US};
    metric_set(invalidate->metrics.consistency, 1000 * 1000);
    pthread_mutex_init(&sampler->lock, NULL);
    pthread_cond_init(&sampler->woken, NULL);
    if (pthread_create(&sampler->thread, NULL, sampler_run, sampler))
        abort(); /* no threads at the start: nothing would work */
    return sampler;
}

void sampler_close(struct sampler *sampler)
{
    if (!sampler)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->stop = true;
    pthread_cond_signal(&sampler->woken);
    pthread_mutex_unlock(&sampler->lock);
    pthread_join(sampler->thread, NULL);
    pg_close(&sampler->pg);
    pthread_mutex_destroy(&sampler->lock);
    pthread_cond_destroy(&sampler->woken);
    free(sampler);
}
