/* tracer.h - what span.c, otlp.c and exporter.c share; for the rest see trace.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_TRACER_H
#define TRACE_TRACER_H

#include "base/buf.h"
#include "trace/queue.h"

#include <semaphore.h>

enum { TRACE_BATCH_MAX = 512 }; /* spans in one call */

enum trace_loss { LOSS_QUEUE, LOSS_REFUSED, LOSS_UNREACHABLE, TRACE_LOSSES };

struct exporter;

struct tracer {
    double sample;
    struct span_queue queue;
    uint64_t wake_every; /* so many spans wake the exporter before its time */
    sem_t awake;
    struct metric *exported, *lost[TRACE_LOSSES];
    struct exporter *exporter; /* NULL in tests of what needs no collector */
};

/* Without a thread: spans stay in the queue. The metrics may be NULL. */
void tracer_init(struct tracer *tracer, double sample, uint64_t queue_size);
void tracer_destroy(struct tracer *tracer);

/* Counts spans that nobody will see. */
void tracer_lose(struct tracer *tracer, enum trace_loss loss, int64_t count);

/* otlp.c: an ExportTraceServiceRequest in the JSON mapping of OTLP 1.x. `offset_us` added to the
 * spans' monotonic times gives Unix microseconds. */
void otlp_encode(const char *service, const char *instance, const struct span *spans, size_t count,
                 int64_t offset_us, struct buf *json);

/* How many spans the collector's answer (an ExportTraceServiceResponse) says it has not kept; 0
 * for anything else. */
int64_t otlp_rejected(const char *json, size_t size);

#endif
