/* trace.h - distributed tracing: spans, and their export as OTLP/HTTP JSON.
 *
 * Whoever serves a request never waits for the collector: a span that ends goes into a bounded
 * queue, and one thread of the exporter's own sends what is there. What finds the queue full, or
 * what the collector does not take, is dropped and counted.
 *
 * A NULL tracer is tracing that is off: every call takes it, and a trace that comes from outside is
 * handed on as it is. SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/option.h"
#include "trace/context.h"

#include <stdbool.h>
#include <stdint.h>

/* --- span.c ----------------------------------------------------------------------------------- */

struct tracer;

/* The numbers are OTLP's. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

enum { SPAN_ATTRIBUTES_MAX = 6, SPAN_TEXT_SIZE = 48, SPAN_LINKS_MAX = 128 };

struct span_attribute {
    const char *key; /* borrowed for good: a literal */
    bool is_number;
    int64_t number;
    char text[SPAN_TEXT_SIZE]; /* UTF-8, cut to fit */
};

/* One piece of work. Lives where the work does, and is copied when it ends. */
struct span {
    bool is_recorded; /* false: nothing but `context` is filled */
    struct trace_context context;
    unsigned char parent_id[SPAN_ID_SIZE]; /* all zero: it begins its trace */
    const char *name;                      /* borrowed for good: a literal */
    enum span_kind kind;
    bool is_failed;
    int64_t start_us, end_us; /* monotonic */
    int attribute_count;
    struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
    struct trace_context *links; /* owned until the end */
    int link_count;
    int64_t links_left_out; /* beyond SPAN_LINKS_MAX */
};

/* Begins a span at the monotonic `start_us`. It is recorded when the trace of `parent` is sampled;
 * with `parent` NULL a trace begins, and the tracer's ratio decides. `span->context` is what to
 * hand on in either case: the new span's, or, when nothing is recorded, the parent's own. */
void span_begin(struct tracer *tracer, struct span *span, const char *name, enum span_kind kind,
                const struct trace_context *parent, int64_t start_us);

/* Begins a trace of work that is done for many: recorded whatever the ratio, since those it links
 * to are. `tracer` is not NULL. */
void span_begin_shared(struct span *span, const char *name, enum span_kind kind, int64_t start_us);

/* Each does nothing for a span that is not recorded, and nothing beyond SPAN_ATTRIBUTES_MAX. Never
 * put a user or a vote into a span. */
void span_text(struct span *span, const char *key, const char *text);
void span_number(struct span *span, const char *key, int64_t number);

/* The three that say which record of Kafka it is about, and of which request. */
void span_record(struct span *span, const char *topic, const char *request_id);

/* What happened was an error. */
void span_fail(struct span *span);

/* The span has to do with another one, in its trace or elsewhere. */
void span_link(struct span *span, const struct trace_context *to);

/* Makes the span's trace the example of a record that a histogram of the metrics has. */
void span_exemplar(const struct span *span, struct histogram *histogram, int64_t value);

/* Ends the span at the monotonic `end_us` and hands it to the exporter, or drops and counts it when
 * the queue is full: it never waits. Any thread may call it; the span is empty behind it. */
void span_end(struct tracer *tracer, struct span *span, int64_t end_us);

/* Gives the span up: counted as dropped. */
void span_drop(struct tracer *tracer, struct span *span);

/* --- exporter.c: OTLP/HTTP, `POST <endpoint>/v1/traces` as JSON --------------------------------
 */

struct trace_config {
    const char *endpoint; /* http or https URL; NULL: tracing is off */
    double sample;        /* the share of traces that begin here and are recorded */
    int64_t queue;        /* spans that may wait */
    int64_t timeout_us; /* longest wait for one answer of the collector, and for all at the stop */
};

/* --otlp-endpoint and its kin, for a struct trace_config. */
extern const struct option otlp_options[];
enum { OTLP_OPTION_COUNT = 4 };

/* Starts the exporter's thread; with no endpoint there is none, and *tracer is NULL. Spans are of
 * the service `log->tool`. The thread has no caller to return an error to: it logs when the
 * collector stops taking spans, and when it takes them again. Registers its metrics, so call it
 * before the first reader of those. `config` and `log` are borrowed until tracer_close. */
bool tracer_open(struct tracer **tracer, const struct trace_config *config, struct metrics *metrics,
                 const struct log *log, struct error *error) __attribute__((warn_unused_result));

/* Sends what is left, for no longer than the timeout, and frees the tracer. No span may end
 * meanwhile. NULL is fine. */
void tracer_close(struct tracer *tracer);

#endif
