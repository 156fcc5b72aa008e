/* fuzz_headers.c - whatever a client sends as traceparent, what goes on is well formed (W3C Trace
 * Context section 3.2), and a well-formed one is taken over as it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "trace/context.h"

#include <stdlib.h>
#include <string.h>

enum { TRACE_AT = 3, TRACE_SIZE = 32, PARENT_AT = 36, PARENT_SIZE = 16, FLAGS_AT = 53 };

static bool hex_holds(const char *text, size_t size)
{
    return strspn(text, "0123456789abcdef") >= size;
}

static bool traceparent_is_valid(const char *text)
{
    return strlen(text) == TRACEPARENT_SIZE - 1 && !strncmp(text, "00-", 3) &&
           hex_holds(text + TRACE_AT, TRACE_SIZE) && text[35] == '-' &&
           hex_holds(text + PARENT_AT, PARENT_SIZE) && text[52] == '-' &&
           hex_holds(text + FLAGS_AT, 2) && strspn(text + TRACE_AT, "0") < TRACE_SIZE &&
           strspn(text + PARENT_AT, "0") < PARENT_SIZE;
}

/* The lowest bit of the flags: whoever sent it records this trace. */
static bool traceparent_is_sampled(const char *text)
{
    return strtol(text + FLAGS_AT, NULL, 16) & 1;
}

/* Version 00 alone is known in full; what a later one has more may be anything behind a dash. */
static bool traceparent_is_later(const char *text)
{
    return strlen(text) >= TRACEPARENT_SIZE - 1 && strncmp(text, "00", 2) != 0;
}

static void check_continued(const char *incoming)
{
    char traceparent[TRACEPARENT_SIZE];
    struct trace_context context;
    memset(traceparent, 'x', sizeof traceparent);
    traceparent_continue(incoming, traceparent);
    assert(traceparent_is_valid(traceparent));
    bool parsed = trace_context_parse(&context, incoming);
    if (incoming && traceparent_is_valid(incoming)) {
        assert(parsed && context.is_sampled == traceparent_is_sampled(incoming));
        assert(!strncmp(traceparent, incoming, FLAGS_AT));
        assert(traceparent_is_sampled(traceparent) == traceparent_is_sampled(incoming));
    } else if (parsed) {
        assert(traceparent_is_later(incoming));
        assert(!strncmp(traceparent + TRACE_AT, incoming + TRACE_AT, FLAGS_AT - TRACE_AT));
    } else {
        assert(!traceparent_is_sampled(traceparent));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *incoming = size ? strndup((const char *)data, size) : NULL;
    check_continued(incoming);
    free(incoming);
    return 0;
}
