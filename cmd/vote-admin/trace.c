/* trace.c - vote-admin trace: one vote's life, from the places that each know a part of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option trace_options[TRACE_OPTION_COUNT] = {
    {.name = "window",
     .type = OPTION_DURATION,
     ADMIN_AT(window_us),
     .preset = "10m",
     .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY,
     .min = 1000000,
     .max = INT64_C(31536000000000),
     .summary = "how long after its time a topic is searched"},
    OPTION_FORMAT,
};

/* A UUIDv7 begins with the Unix time in ms (RFC 9562 section 5.7); 0 for another one. */
static int64_t time_of_id(const char *request_id)
{
    char digits[13];
    if (request_id[14] != '7')
        return 0;
    snprintf(digits, sizeof digits, "%.8s%.4s", request_id, request_id + 9);
    return strtoll(digits, NULL, 16);
}

static bool trace_is_empty(const struct trace *trace)
{
    return !trace->in_redis && !trace->in_ledger && !trace->is_parked && !trace->in_outbox &&
           !trace->logged.found && !trace->announced.found && !trace->dead.found;
}

static bool trace_ask(struct trace *trace, struct error *error)
{
    trace_ask_redis(trace);
    if (!trace_ask_postgres(trace, error))
        return false;
    if (!trace->accepted_ms)
        trace->accepted_ms = time_of_id(trace->request_id);
    return trace_ask_topics(trace, error) && trace_ask_progress(trace, error);
}

static bool unknown(const struct trace *trace, struct error *error)
{
    return error_set(error, ERROR_FOUND,
                     "request %s is unknown: not in the ledger, vote.parked or vote.outbox, %s, "
                     "and in no topic%s",
                     trace->request_id, trace->redis_away ? "Redis is away" : "not in Redis",
                     trace->accepted_ms ? " within --window of its time"
                                        : " (its id tells no time to look at)");
}

bool trace_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)log;
    const struct admin_config *config = context;
    const char *id = options->argument_count ? options->arguments[0] : "";
    struct trace trace = {.config = config, .pg = {.url = config->pg.url, .name = "vote-admin"}};
    trace.partition = -1;
    trace.next_offset = -1;
    if (!request_id_is_valid(id, strlen(id)))
        return error_set(error, ERROR_USAGE, "trace takes a request id: a UUID in lower case");
    memcpy(trace.request_id, id, REQUEST_ID_SIZE);
    bool fine = trace_ask(&trace, error);
    pg_close(&trace.pg);
    if (!fine)
        return false;
    if (trace_is_empty(&trace))
        return unknown(&trace, error);
    trace_print(&trace);
    return true;
}
