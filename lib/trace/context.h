/* context.h - W3C Trace Context (Recommendation, level 1): which span of which trace.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_CONTEXT_H
#define TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_ID_SIZE = 16, SPAN_ID_SIZE = 8, TRACEPARENT_SIZE = 56 };

/* Which span of which trace; ids are never all zero. */
struct trace_context {
    unsigned char trace_id[TRACE_ID_SIZE];
    unsigned char span_id[SPAN_ID_SIZE];
    bool is_sampled; /* whoever made the span may have recorded it */
};

/* Reads a traceparent (section 3.2.2), of a later version what this one knows of it (section
 * 3.2.4). False for NULL and for what is malformed. */
bool trace_context_parse(struct trace_context *context, const char *traceparent)
    __attribute__((warn_unused_result));

/* Writes version 00, whose one flag is "sampled", with its NUL. */
void trace_context_format(const struct trace_context *context, char traceparent[TRACEPARENT_SIZE]);

/* Makes a new trace, and its first span's id. */
void trace_context_start(struct trace_context *context, bool is_sampled);

/* Gives the context a new span id in the same trace. */
void trace_context_step(struct trace_context *context);

/* Whether a trace is among the share `ratio` (0 to 1) of all: the same in every process, since its
 * id decides. */
bool trace_context_is_within(const struct trace_context *context, double ratio);

/* For tools that record no spans: hands a well-formed traceparent on, and starts a trace that is
 * not sampled where there is none. */
void traceparent_continue(const char *incoming, char traceparent[TRACEPARENT_SIZE]);

/* Writes the hexadecimal digits of `size` bytes and a NUL. */
void trace_hex(const unsigned char *bytes, size_t size, char *text);

#endif
