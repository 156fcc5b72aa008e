/* workers.c - see workers.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct work *first, *last;
    pthread_t *threads;
    int max, count, idle, queued;
    bool is_ending;
};

static struct work *take(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->idle++;
    while (!workers->first && !workers->is_ending)
        pthread_cond_wait(&workers->changed, &workers->lock);
    workers->idle--;
    struct work *work = workers->first;
    if (work) {
        workers->first = work->next;
        workers->queued--;
    }
    pthread_mutex_unlock(&workers->lock);
    return work;
}

static void *serve(void *context)
{
    struct work *work;
    while ((work = take(context)))
        work->run(work);
    return NULL;
}

struct workers *workers_new(int max)
{
    struct workers *workers = calloc(1, sizeof *workers);
    pthread_t *threads = calloc((size_t)max, sizeof *threads);
    if (!workers || !threads)
        abort();
    workers->threads = threads;
    workers->max = max;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->changed, NULL);
    return workers;
}

void workers_run(struct workers *workers, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&workers->lock);
    *(workers->first ? &workers->last->next : &workers->first) = work;
    workers->last = work;
    bool is_short = ++workers->queued > workers->idle && workers->count < workers->max;
    if (is_short && !pthread_create(&workers->threads[workers->count], NULL, serve, workers))
        workers->count++;
    else if (workers->count == 0)
        abort(); /* no thread at all: nothing would ever be done */
    pthread_cond_signal(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->is_ending = true;
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->changed);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers);
}
