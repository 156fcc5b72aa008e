/* workers.h - threads for what has to wait. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_WORKERS_H
#define BASE_WORKERS_H

struct workers;

/* One piece of work, its owner's until `run` returns; `run` may free it. */
struct work {
    struct work *next;
    void (*run)(struct work *work);
};

/* Threads are started when all there are have work, up to `max`, and then stay. */
struct workers *workers_new(int max);

/* Runs the work in a thread, in the order of the calls as threads become free. Never waits. */
void workers_run(struct workers *workers, struct work *work);

/* Waits until all of it is done, and ends the threads. NULL is fine. */
void workers_free(struct workers *workers);

#endif
