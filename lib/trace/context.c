/* context.c - W3C Trace Context: reads and writes traceparent. SPDX-License-Identifier: Apache-2.0
 */
#include "trace/context.h"

#include "base/random.h"

#include <string.h>

/* "00-<32 hex digits>-<16>-<2>": where each part stands (section 3.2.2). */
enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, FLAG_SAMPLED = 1, RATIO_BYTES = 7 };

static const char digits[] = "0123456789abcdef";

/* Lower case only; any other is malformed. */
static bool hex_read(const char *text, size_t size, unsigned char *bytes)
{
    for (size_t i = 0; i < 2 * size; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        unsigned value = (unsigned)(digit - digits);
        bytes[i / 2] = (unsigned char)(i & 1 ? bytes[i / 2] << 4 | value : value);
    }
    return true;
}

void trace_hex(const unsigned char *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

/* The id that is all zero means there is none. */
static bool is_id(const unsigned char *bytes, size_t size)
{
    unsigned char any = 0;
    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any != 0;
}

static void id_make(unsigned char *bytes, size_t size)
{
    do
        random_fill(bytes, size);
    while (!is_id(bytes, size));
}

/* Version ff is forbidden. A later one than 00 may go on behind the flags, after a dash. */
static bool version_fits(const char *text, size_t size)
{
    unsigned char version = 0;
    if (!hex_read(text, 1, &version) || version == 0xff)
        return false;
    return size == TRACEPARENT_SIZE - 1 || (version > 0 && text[TRACEPARENT_SIZE - 1] == '-');
}

bool trace_context_parse(struct trace_context *context, const char *traceparent)
{
    unsigned char flags = 0;
    size_t size = traceparent ? strlen(traceparent) : 0;
    if (size < TRACEPARENT_SIZE - 1 || !version_fits(traceparent, size) ||
        traceparent[TRACE_AT - 1] != '-' || traceparent[SPAN_AT - 1] != '-' ||
        traceparent[FLAGS_AT - 1] != '-' ||
        !hex_read(traceparent + TRACE_AT, TRACE_ID_SIZE, context->trace_id) ||
        !hex_read(traceparent + SPAN_AT, SPAN_ID_SIZE, context->span_id) ||
        !hex_read(traceparent + FLAGS_AT, 1, &flags))
        return false;
    context->is_sampled = flags & FLAG_SAMPLED;
    return is_id(context->trace_id, TRACE_ID_SIZE) && is_id(context->span_id, SPAN_ID_SIZE);
}

void trace_context_format(const struct trace_context *context, char traceparent[TRACEPARENT_SIZE])
{
    memcpy(traceparent, "00-", TRACE_AT);
    trace_hex(context->trace_id, TRACE_ID_SIZE, traceparent + TRACE_AT);
    traceparent[SPAN_AT - 1] = '-';
    trace_hex(context->span_id, SPAN_ID_SIZE, traceparent + SPAN_AT);
    memcpy(traceparent + FLAGS_AT - 1, context->is_sampled ? "-01" : "-00", sizeof "-00");
}

void trace_context_start(struct trace_context *context, bool is_sampled)
{
    id_make(context->trace_id, TRACE_ID_SIZE);
    id_make(context->span_id, SPAN_ID_SIZE);
    context->is_sampled = is_sampled;
}

void trace_context_step(struct trace_context *context)
{
    id_make(context->span_id, SPAN_ID_SIZE);
}

/* The last seven bytes of an id are random (level 2, section 3.2.2.3): others use them, too. */
bool trace_context_is_within(const struct trace_context *context, double ratio)
{
    uint64_t number = 0;
    for (int i = TRACE_ID_SIZE - RATIO_BYTES; i < TRACE_ID_SIZE; i++)
        number = number << 8 | context->trace_id[i];
    return (double)number < ratio * (double)(UINT64_C(1) << 8 * RATIO_BYTES);
}

void traceparent_continue(const char *incoming, char traceparent[TRACEPARENT_SIZE])
{
    struct trace_context context;
    if (!trace_context_parse(&context, incoming))
        trace_context_start(&context, false);
    trace_context_format(&context, traceparent);
}
