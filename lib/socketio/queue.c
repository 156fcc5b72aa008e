/* queue.c - frames that wait for one client, in order; a newer one may take an older one's place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/engine.h"

#include <stdlib.h>

enum { RING_AT_FIRST = 4 };

static struct sio_frame **queue_slot(const struct queue *queue, uint32_t at)
{
    return &queue->ring[(queue->first + at) % queue->capacity];
}

struct sio_frame *queue_at(const struct queue *queue, uint32_t at)
{
    return *queue_slot(queue, at);
}

static void queue_grow(struct queue *queue)
{
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : RING_AT_FIRST;
    struct sio_frame **ring = calloc(capacity, sizeof *ring);
    if (!ring)
        abort();
    for (uint32_t i = 0; i < queue->count; i++)
        ring[i] = queue_at(queue, i);
    free(queue->ring);
    queue->ring = ring;
    queue->first = 0;
    queue->capacity = capacity;
}

void queue_push(struct queue *queue, struct sio_frame *frame)
{
    if (queue->count == queue->capacity)
        queue_grow(queue);
    *queue_slot(queue, queue->count++) = sio_frame_ref(frame);
    queue->bytes += frame->total_size;
}

/* A frame of which a part has gone is neither replaced nor dropped. */
static uint32_t first_unsent(const struct queue *queue)
{
    return queue->part ? 1 : 0;
}

bool queue_replace(struct queue *queue, struct sio_frame *frame)
{
    for (uint32_t i = first_unsent(queue); i < queue->count; i++) {
        struct sio_frame *old = queue_at(queue, i);
        if (old->key != frame->key || old->kind != frame->kind || !old->is_event)
            continue;
        queue->bytes += frame->total_size - old->total_size;
        *queue_slot(queue, i) = sio_frame_ref(frame);
        sio_frame_unref(old);
        return true;
    }
    return false;
}

/* What a burst made large is given back when it is over. */
static void queue_shrink(struct queue *queue)
{
    if (queue->count > 0 || queue->capacity <= RING_AT_FIRST)
        return;
    free(queue->ring);
    queue->ring = NULL;
    queue->capacity = queue->first = 0;
}

void queue_pop(struct queue *queue)
{
    struct sio_frame *frame = queue_at(queue, 0);
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    queue->bytes -= frame->total_size;
    queue->part = NULL;
    sio_frame_unref(frame);
    queue_shrink(queue);
}

size_t queue_drop(struct queue *queue, bool (*superseded)(const struct sio_frame *, void *),
                  void *context)
{
    uint32_t kept = first_unsent(queue), count = queue->count;
    for (uint32_t i = kept; i < count; i++) {
        struct sio_frame *frame = queue_at(queue, i);
        if (frame->is_event && superseded(frame, context)) {
            queue->bytes -= frame->total_size;
            sio_frame_unref(frame);
        } else {
            *queue_slot(queue, kept++) = frame;
        }
    }
    queue->count = kept;
    return count - kept;
}

void queue_free(struct queue *queue)
{
    while (queue->count > 0)
        queue_pop(queue);
    free(queue->ring);
    *queue = (struct queue){0};
}
