/* span.c - one piece of work, from its beginning to the exporter's queue.
 * SPDX-License-Identifier: Apache-2.0 */
#include "trace/tracer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tracer_init(struct tracer *tracer, double sample, uint64_t queue_size)
{
    *tracer = (struct tracer){.sample = sample};
    span_queue_open(&tracer->queue, queue_size);
    tracer->wake_every = tracer->queue.capacity / 2 ? tracer->queue.capacity / 2 : 1;
    if (tracer->wake_every > TRACE_BATCH_MAX)
        tracer->wake_every = TRACE_BATCH_MAX;
    sem_init(&tracer->awake, 0, 0);
}

void tracer_destroy(struct tracer *tracer)
{
    span_queue_close(&tracer->queue);
    sem_destroy(&tracer->awake);
}

void tracer_lose(struct tracer *tracer, enum trace_loss loss, int64_t count)
{
    if (tracer->lost[loss])
        metric_add(tracer->lost[loss], count);
}

/* A trace that begins here; whether it is recorded is decided once, for all stages. */
static void span_begin_trace(const struct tracer *tracer, struct span *span)
{
    trace_context_start(&span->context, false);
    span->context.is_sampled = tracer && trace_context_is_within(&span->context, tracer->sample);
    span->is_recorded = span->context.is_sampled;
    memset(span->parent_id, 0, SPAN_ID_SIZE);
}

static void span_begin_below(const struct tracer *tracer, struct span *span,
                             const struct trace_context *parent)
{
    span->context = *parent;
    span->is_recorded = tracer && parent->is_sampled;
    if (!span->is_recorded)
        return;
    memcpy(span->parent_id, parent->span_id, SPAN_ID_SIZE);
    trace_context_step(&span->context);
}

static void span_fill(struct span *span, const char *name, enum span_kind kind, int64_t start_us)
{
    span->name = name;
    span->kind = kind;
    span->is_failed = false;
    span->start_us = start_us;
    span->attribute_count = span->link_count = 0;
    span->links = NULL;
    span->links_left_out = 0;
}

void span_begin(struct tracer *tracer, struct span *span, const char *name, enum span_kind kind,
                const struct trace_context *parent, int64_t start_us)
{
    if (parent)
        span_begin_below(tracer, span, parent);
    else
        span_begin_trace(tracer, span);
    span_fill(span, name, kind, start_us);
}

void span_begin_shared(struct span *span, const char *name, enum span_kind kind, int64_t start_us)
{
    trace_context_start(&span->context, true);
    memset(span->parent_id, 0, SPAN_ID_SIZE);
    span->is_recorded = true;
    span_fill(span, name, kind, start_us);
}

static struct span_attribute *attribute_add(struct span *span, const char *key)
{
    if (!span->is_recorded || span->attribute_count == SPAN_ATTRIBUTES_MAX)
        return NULL;
    struct span_attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    return attribute;
}

void span_text(struct span *span, const char *key, const char *text)
{
    struct span_attribute *attribute = attribute_add(span, key);
    if (!attribute)
        return;
    attribute->is_number = false;
    snprintf(attribute->text, SPAN_TEXT_SIZE, "%s", text);
}

void span_number(struct span *span, const char *key, int64_t number)
{
    struct span_attribute *attribute = attribute_add(span, key);
    if (!attribute)
        return;
    attribute->is_number = true;
    attribute->number = number;
}

void span_record(struct span *span, const char *topic, const char *request_id)
{
    span_text(span, "messaging.system", "kafka");
    span_text(span, "messaging.destination.name", topic);
    span_text(span, "vote.request_id", request_id);
}

void span_fail(struct span *span)
{
    span->is_failed = true;
}

void span_link(struct span *span, const struct trace_context *to)
{
    if (!span->is_recorded)
        return;
    if (span->link_count == SPAN_LINKS_MAX) {
        span->links_left_out++;
        return;
    }
    if (!span->links && !(span->links = malloc(SPAN_LINKS_MAX * sizeof *span->links)))
        abort();
    span->links[span->link_count++] = *to;
}

void span_exemplar(const struct span *span, struct histogram *histogram, int64_t value)
{
    char trace_id[2 * TRACE_ID_SIZE + 1];
    if (!span->is_recorded)
        return;
    trace_hex(span->context.trace_id, TRACE_ID_SIZE, trace_id);
    metrics_exemplar(histogram, value, trace_id);
}

static void span_clear(struct span *span)
{
    free(span->links);
    span->links = NULL;
    span->is_recorded = false;
}

void span_end(struct tracer *tracer, struct span *span, int64_t end_us)
{
    if (!span->is_recorded)
        return;
    span->end_us = end_us < span->start_us ? span->start_us : end_us;
    uint64_t count = span_queue_put(&tracer->queue, span);
    if (!count) {
        span_drop(tracer, span);
        return;
    }
    if (count % tracer->wake_every == 0)
        sem_post(&tracer->awake);
    span->links = NULL; /* the queue's now */
    span_clear(span);
}

void span_drop(struct tracer *tracer, struct span *span)
{
    if (!span->is_recorded)
        return;
    tracer_lose(tracer, LOSS_QUEUE, 1);
    span_clear(span);
}
