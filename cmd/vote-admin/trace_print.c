/* trace_print.c - a request's life in order of time, and what each gap in it means.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/trace.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { EVENTS_MAX = 8, MISSING_MAX = 8, LINE_SIZE = 240 };

struct event {
    int64_t time_ms;
    char text[LINE_SIZE];
};

/* What is to be said; the events come to be in order of time. */
struct story {
    struct event events[EVENTS_MAX];
    int event_count;
    char missing[MISSING_MAX][LINE_SIZE];
    int missing_count;
};

/* Behind all that were not later; a stage's clock may be a little ahead of the next one's. */
__attribute__((format(printf, 3, 4))) static void event_add(struct story *story, int64_t time_ms,
                                                            const char *format, ...)
{
    int at = story->event_count++;
    va_list args;
    for (; at > 0 && story->events[at - 1].time_ms > time_ms; at--)
        story->events[at] = story->events[at - 1];
    story->events[at].time_ms = time_ms;
    va_start(args, format);
    vsnprintf(story->events[at].text, LINE_SIZE, format, args);
    va_end(args);
}

__attribute__((format(printf, 2, 3))) static void missing_add(struct story *story,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(story->missing[story->missing_count++], LINE_SIZE, format, args);
    va_end(args);
}

static void record_tell(struct story *story, const struct trace_record *record, const char *what)
{
    if (record->found)
        event_add(story, record->time_ms, "%s, partition %d offset %lld%s%s%s%s", what,
                  (int)record->partition, (long long)record->offset, record->type[0] ? ", " : "",
                  record->type, record->reason[0] ? ": " : "", record->reason);
}

static void events_tell(struct story *story, const struct trace *trace)
{
    char next[CLOCK_TEXT_SIZE];
    if (trace->accepted_ms)
        event_add(story, trace->accepted_ms, "accepted by vote-ingest");
    if (trace->in_outbox)
        event_add(story, trace->outbox_ms, "waits in vote.outbox: Kafka was away");
    record_tell(story, &trace->logged, "in the log, vote.requests");
    if (trace->is_parked) {
        clock_format_ms(trace->next_attempt_ms, next);
        event_add(story, trace->parked_ms, "parked after %lld tries, next at %s: %s",
                  (long long)trace->parked_attempts, next, trace->parked_reason);
    }
    if (trace->in_ledger)
        event_add(story, trace->committed_ms, "%s in Postgres, version %lld%s%s", trace->outcome,
                  (long long)trace->version, trace->reason[0] ? ": " : "", trace->reason);
    record_tell(story, &trace->dead, "given up, in vote.dead");
    record_tell(story, &trace->announced, "announced, in vote.results");
}

static void missing_log(struct story *story, const struct trace *trace)
{
    if (trace->logged.found)
        return;
    if (trace->in_outbox)
        missing_add(story, "not in vote.requests: it waits in vote.outbox, and vote-commit relays "
                           "it when Kafka is back");
    else if (trace->logged.is_out_of_reach)
        missing_add(story, "not in vote.requests: retention has removed what was there then");
    else if (trace->in_ledger)
        missing_add(story, "not in vote.requests within --window of its time, though it was "
                           "applied: it was relayed later, or the topic was made anew");
    else
        missing_add(story, "not in vote.requests: the vote was shown and never reached the log; "
                           "vote-commit takes it back within its --optimism-grace");
}

static void missing_ledger(struct story *story, const struct trace *trace)
{
    const struct trace_record *logged = &trace->logged;
    if (trace->in_ledger || !logged->found)
        return;
    if (!strcmp(logged->type, EVENT_FORGOTTEN))
        return; /* no vote */
    if (trace->is_parked)
        missing_add(story, "not in the ledger: Postgres has refused it so far");
    else if (trace->next_offset >= 0 && trace->next_offset <= logged->offset)
        missing_add(story,
                    "not in the ledger: vote-commit has %lld records before it (vote-admin "
                    "lag)",
                    (long long)(logged->offset - trace->next_offset));
    else if (trace->dead.found)
        missing_add(story, "not in the ledger: it could not be read, and is in vote.dead");
    else
        missing_add(story, "not in the ledger, though its partition is applied beyond it: its "
                           "month was dropped, or vote-admin audit will tell");
}

static void missing_rest(struct story *story, const struct trace *trace)
{
    if (trace->in_ledger && !trace->announced.found)
        missing_add(story, trace->announced.is_out_of_reach
                               ? "not in vote.results: retention has removed what was there then"
                           : trace->in_outbox
                               ? "not in vote.results: it is announced when Kafka is back"
                               : "not in vote.results within --window of its commit: vote-commit "
                                 "announces it when it starts again, or it was announced later");
    if (trace->redis_away)
        missing_add(story, "Redis is away: what it knows is not here");
    else if (!trace->in_redis && strcmp(trace->logged.type, EVENT_FORGOTTEN) != 0)
        missing_add(story, "not in Redis: it is older than a day, Redis was emptied, or was away; "
                           "GET /api/votes/status asks the ledger");
    if (!strncmp(trace->request.user_id, "forgotten:", 10))
        missing_add(story, "no user: who cast it was forgotten");
}

static const char *state_of(const struct trace *trace)
{
    return trace->in_ledger                               ? trace->outcome
           : trace->is_parked                             ? "parked"
           : trace->dead.found                            ? "failed"
           : trace->redis_state[0]                        ? trace->redis_state
           : trace->in_outbox                             ? "pending"
           : !strcmp(trace->logged.type, EVENT_FORGOTTEN) ? "forgotten"
                                                          : "pending";
}

/* What stands now of the user's vote on the project. */
static void row_tell(const struct trace *trace, char text[LINE_SIZE])
{
    if (trace->row_is_ours)
        snprintf(text, LINE_SIZE, "stands: vote.votes has it");
    else if (trace->has_row)
        snprintf(text, LINE_SIZE, "does not stand: vote.votes has request %s of the same user",
                 trace->row_request_id);
    else
        snprintf(text, LINE_SIZE, "does not stand: vote.votes has no row of its user");
}

static void text_print(const struct trace *trace, const struct story *story)
{
    const struct request *request = &trace->request;
    char time[CLOCK_TEXT_SIZE], row[LINE_SIZE];
    printf("request %s: %s\n", trace->request_id, state_of(trace));
    if (trace->is_known)
        printf("user %s, project %s: %s, before it %s (%s), seq %lld%s%s\n", request->user_id,
               request->project_id, vote_type_name(request->vote_type),
               vote_type_name(request->previous), vote_action_name(request->action),
               (long long)request->seq, request->variant[0] ? ", variant " : "", request->variant);
    for (int i = 0; i < story->event_count; i++) {
        const struct event *event = &story->events[i];
        clock_format_ms(event->time_ms, time);
        printf("%s %+8lld ms  %s\n", time,
               i ? (long long)(event->time_ms - story->events[i - 1].time_ms) : 0, event->text);
    }
    row_tell(trace, row);
    if (trace->is_known)
        puts(row);
    for (int i = 0; i < story->missing_count; i++)
        printf("missing: %s\n", story->missing[i]);
}

static void events_encode(const struct story *story, struct buf *json)
{
    char time[CLOCK_TEXT_SIZE];
    buf_member(json, "events");
    buf_char(json, '[');
    for (int i = 0; i < story->event_count; i++) {
        const struct event *event = &story->events[i];
        clock_format_ms(event->time_ms, time);
        buf_text(json, i ? ",{" : "{");
        buf_member_text(json, "at", time);
        buf_member_int(json, "after_ms", i ? event->time_ms - story->events[i - 1].time_ms : 0);
        buf_member_text(json, "what", event->text);
        buf_char(json, '}');
    }
    buf_char(json, ']');
}

static void record_encode(const char *name, const struct trace_record *record, struct buf *json)
{
    if (!record->found) {
        buf_member_text(json, name, NULL);
        return;
    }
    buf_member(json, name);
    buf_char(json, '{');
    buf_member_int(json, "partition", record->partition);
    buf_member_int(json, "offset", record->offset);
    buf_member_text(json, "type", record->type);
    buf_char(json, '}');
}

static void request_encode_known(const struct trace *trace, struct buf *json)
{
    const struct request *request = &trace->request;
    buf_member_text(json, "user_id", request->user_id);
    buf_member_text(json, "project_id", request->project_id);
    buf_member_text(json, "vote_type", vote_type_name(request->vote_type));
    buf_member_text(json, "previous", vote_type_name(request->previous));
    buf_member_text(json, "action", vote_action_name(request->action));
    buf_member_int(json, "seq", request->seq);
    buf_member(json, "stands");
    buf_text(json, trace->row_is_ours ? "true" : "false");
}

static void json_print(const struct trace *trace, const struct story *story)
{
    struct buf json = {0};
    buf_char(&json, '{');
    buf_member_text(&json, "request_id", trace->request_id);
    buf_member_text(&json, "state", state_of(trace));
    if (trace->is_known)
        request_encode_known(trace, &json);
    record_encode("requests", &trace->logged, &json);
    record_encode("results", &trace->announced, &json);
    record_encode("dead", &trace->dead, &json);
    events_encode(story, &json);
    buf_member(&json, "missing");
    buf_char(&json, '[');
    for (int i = 0; i < story->missing_count; i++) {
        if (i)
            buf_char(&json, ',');
        buf_json(&json, story->missing[i], strlen(story->missing[i]));
    }
    buf_text(&json, "]}");
    puts(json.data);
    buf_free(&json);
}

void trace_print(const struct trace *trace)
{
    struct story story = {0};
    events_tell(&story, trace);
    missing_log(&story, trace);
    missing_ledger(&story, trace);
    missing_rest(&story, trace);
    if (trace->config->format == FORMAT_JSON)
        json_print(trace, &story);
    else
        text_print(trace, &story);
}
