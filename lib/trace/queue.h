/* queue.h - ended spans on their way to the exporter: a bounded queue of many writers and one
 * reader, without a lock. SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_QUEUE_H
#define TRACE_QUEUE_H

#include "trace/trace.h"

#include <stdatomic.h>

/* `turn` says whose the cell is: position (a writer's), position + 1 (the reader's), or one lap
 * later (a writer's again). */
struct span_cell {
    _Atomic uint64_t turn;
    struct span span;
};

struct span_queue {
    struct span_cell *cells;
    uint64_t capacity;     /* a power of two */
    _Atomic uint64_t tail; /* the next writer's position */
    uint64_t head;         /* the reader's alone */
};

/* Room for at least `size` spans. */
void span_queue_open(struct span_queue *queue, uint64_t size);

/* Frees what is left in it, too. */
void span_queue_close(struct span_queue *queue);

/* Copies a span in, and its links with it; returns how many were put in so far with it, 0 when the
 * queue is full. */
uint64_t span_queue_put(struct span_queue *queue, const struct span *span)
    __attribute__((warn_unused_result));

/* Takes the oldest one out; false when there is none. For one thread at a time. */
bool span_queue_take(struct span_queue *queue, struct span *span)
    __attribute__((warn_unused_result));

#endif
