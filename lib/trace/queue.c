/* queue.c - a bounded queue of many writers and one reader. SPDX-License-Identifier: Apache-2.0 */
#include "trace/queue.h"

#include <stdlib.h>

void span_queue_open(struct span_queue *queue, uint64_t size)
{
    *queue = (struct span_queue){.capacity = 1};
    while (queue->capacity < size)
        queue->capacity *= 2;
    queue->cells = calloc(queue->capacity, sizeof *queue->cells);
    if (!queue->cells)
        abort();
    for (uint64_t i = 0; i < queue->capacity; i++)
        atomic_init(&queue->cells[i].turn, i);
}

void span_queue_close(struct span_queue *queue)
{
    struct span span;
    while (span_queue_take(queue, &span))
        free(span.links);
    free(queue->cells);
}

static struct span_cell *cell_at(const struct span_queue *queue, uint64_t position)
{
    return &queue->cells[position & (queue->capacity - 1)];
}

uint64_t span_queue_put(struct span_queue *queue, const struct span *span)
{
    uint64_t position = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    for (;;) {
        struct span_cell *cell = cell_at(queue, position);
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        if (turn < position)
            return 0; /* the reader has not come round yet */
        if (turn > position) {
            position = atomic_load_explicit(&queue->tail, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&queue->tail, &position, position + 1,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
            cell->span = *span;
            atomic_store_explicit(&cell->turn, position + 1, memory_order_release);
            return position + 1;
        }
    }
}

bool span_queue_take(struct span_queue *queue, struct span *span)
{
    struct span_cell *cell = cell_at(queue, queue->head);
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != queue->head + 1)
        return false;
    *span = cell->span;
    atomic_store_explicit(&cell->turn, queue->head + queue->capacity, memory_order_release);
    queue->head++;
    return true;
}
