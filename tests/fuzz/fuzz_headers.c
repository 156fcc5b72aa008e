/* fuzz_headers.c - whatever a client sends as traceparent, what goes on is well formed (W3C Trace
 * Context section 3.2), and only a well-formed one is taken over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "kafka/kafka.h"

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

static void check_continued(const char *incoming)
{
    char traceparent[TRACEPARENT_SIZE];
    memset(traceparent, 'x', sizeof traceparent);
    traceparent_continue(incoming, traceparent);
    assert(traceparent_is_valid(traceparent));
    if (incoming && traceparent_is_valid(incoming)) {
        assert(!strncmp(traceparent, incoming, TRACE_AT + TRACE_SIZE));
        assert(strncmp(traceparent + PARENT_AT, incoming + PARENT_AT, PARENT_SIZE) != 0);
        assert(traceparent_is_sampled(traceparent) == traceparent_is_sampled(incoming));
    } else {
        assert(!incoming || strlen(incoming) < TRACE_AT + TRACE_SIZE ||
               strncmp(traceparent + TRACE_AT, incoming + TRACE_AT, TRACE_SIZE) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *incoming = size ? strndup((const char *)data, size) : NULL;
    check_continued(incoming);
    free(incoming);
    return 0;
}
