/* spans.c - what the trace of a vote shows of the commit: it was read, committed in a transaction
 * with others, and announced. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 64, NUMBER_SIZE = 24 };

static void acks_keep(struct acks *acks, struct span *span)
{
    if (acks->span_count == acks->span_room) {
        acks->span_room = acks->span_room ? 2 * acks->span_room : ROOM_MIN;
        acks->spans = realloc(acks->spans, acks->span_room * sizeof *acks->spans);
        if (!acks->spans)
            abort();
    }
    acks->spans[acks->span_count++] = *span;
}

void span_end_with(struct commit *commit, struct span *span, struct acks *acks)
{
    if (!span->is_recorded)
        return;
    if (acks)
        acks_keep(acks, span);
    else
        span_end(commit->tracer, span, clock_mono_us());
}

void acks_end_spans(struct commit *commit, struct acks *acks, bool arrived)
{
    int64_t now_us = acks->span_count ? clock_mono_us() : 0;
    for (size_t i = 0; i < acks->span_count; i++) {
        if (!arrived)
            span_fail(&acks->spans[i]);
        span_end(commit->tracer, &acks->spans[i], now_us);
    }
    free(acks->spans);
    acks->spans = NULL;
    acks->span_count = acks->span_room = 0;
}

static void place_tell(struct span *span, const rd_kafka_message_t *message)
{
    char partition[NUMBER_SIZE];
    snprintf(partition, sizeof partition, "%d", (int)message->partition);
    span_text(span, "messaging.destination.partition.id", partition);
    span_number(span, "messaging.kafka.offset", message->offset);
}

/* The vote's share of the transaction, in its own trace; the two link to each other. */
static void vote_share(struct commit *commit, const struct batch *batch, struct span *shared,
                       const struct span *vote)
{
    struct span commit_span;
    if (!shared->is_recorded) {
        span_begin_shared(shared, "commit batch", SPAN_CLIENT, batch->sent_us);
        span_text(shared, "db.system.name", "postgresql");
    }
    span_link(shared, &vote->context);
    span_begin(commit->tracer, &commit_span, "postgres commit", SPAN_CLIENT, &vote->context,
               batch->sent_us);
    span_text(&commit_span, "db.system.name", "postgresql");
    span_link(&commit_span, &shared->context);
    span_end(commit->tracer, &commit_span, batch->answered_us);
}

void vote_span_begin(struct commit *commit, const struct batch *batch, const struct entry *entry,
                     struct span *shared, struct span *vote)
{
    struct trace_context parent;
    bool is_known = kafka_trace_context(record_of_message(entry->message).headers, &parent);
    span_begin(commit->tracer, vote, "process " TOPIC_REQUESTS, SPAN_CONSUMER,
               is_known ? &parent : NULL, entry->read_us);
    if (!vote->is_recorded)
        return;
    span_record(vote, TOPIC_REQUESTS, entry->request.request_id);
    place_tell(vote, entry->message);
    vote_share(commit, batch, shared, vote);
}

void send_span_begin(struct commit *commit, struct span *send, const char *topic,
                     const struct trace_context *parent, const char *request_id)
{
    bool is_result = !strcmp(topic, TOPIC_RESULTS);
    span_begin(commit->tracer, send, is_result ? "send " TOPIC_RESULTS : "send " TOPIC_REQUESTS,
               SPAN_PRODUCER, parent, clock_mono_us());
    span_record(send, topic, request_id);
}
