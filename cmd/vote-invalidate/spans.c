/* spans.c - what the trace of a vote shows of the purge of its keys. A vote is through when the
 * generation that its keys hold is: those of it that were dirty already are in older ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"

#include <stdlib.h>

enum { WAITING_MAX = 4096 };

struct purge_span {
    STAILQ_ENTRY(purge_span) next;
    uint64_t generation;
    struct span span;
};

void spans_init(struct invalidate *invalidate)
{
    STAILQ_INIT(&invalidate->spans.waiting);
}

static void waiting_add(struct invalidate *invalidate, const struct span *span)
{
    struct purge_span *waiting = malloc(sizeof *waiting);
    if (!waiting)
        abort();
    waiting->span = *span;
    waiting->generation = invalidate->progress.last;
    STAILQ_INSERT_TAIL(&invalidate->spans.waiting, waiting, next);
    invalidate->spans.count++;
}

void spans_add(struct invalidate *invalidate, const rd_kafka_message_t *record,
               const struct request *request)
{
    struct span span;
    struct trace_context parent;
    bool is_known = kafka_message_trace(record, &parent);
    span_begin(invalidate->tracer, &span, "process " TOPIC_RESULTS, SPAN_CONSUMER,
               is_known ? &parent : NULL, clock_mono_us());
    if (!span.is_recorded)
        return;
    span_record(&span, TOPIC_RESULTS, request->request_id);
    if (invalidate->spans.count < WAITING_MAX)
        waiting_add(invalidate, &span);
    else
        span_drop(invalidate->tracer, &span);
}

static void waiting_end(struct invalidate *invalidate, struct purge_span *waiting, int64_t round_us,
                        int64_t now_us)
{
    struct span purge;
    span_begin(invalidate->tracer, &purge, "purge", SPAN_CLIENT, &waiting->span.context, round_us);
    span_end(invalidate->tracer, &purge, now_us);
    span_end(invalidate->tracer, &waiting->span, now_us);
    STAILQ_REMOVE_HEAD(&invalidate->spans.waiting, next);
    invalidate->spans.count--;
    free(waiting);
}

void spans_settle(struct invalidate *invalidate, int64_t round_us)
{
    struct purge_span *waiting;
    int64_t now_us = clock_mono_us();
    while ((waiting = STAILQ_FIRST(&invalidate->spans.waiting)) &&
           progress_is_through(&invalidate->progress, waiting->generation))
        waiting_end(invalidate, waiting, round_us, now_us);
}

void spans_give_up(struct invalidate *invalidate)
{
    struct purge_span *waiting;
    while ((waiting = STAILQ_FIRST(&invalidate->spans.waiting))) {
        span_fail(&waiting->span);
        span_end(invalidate->tracer, &waiting->span, clock_mono_us());
        STAILQ_REMOVE_HEAD(&invalidate->spans.waiting, next);
        free(waiting);
    }
}
