/* spans.c - what the trace of a vote shows of its way to the browsers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"

#include <stdlib.h>

void notice_span_begin(struct notify *notify, struct span *span, const struct notice *notice)
{
    span_begin(notify->tracer, span, "process " TOPIC_RESULTS, SPAN_CONSUMER,
               notice->is_traced ? &notice->trace : NULL, notice->read_us);
    span_record(span, TOPIC_RESULTS, notice->request.request_id);
}

/* A vote that is overtaken before the event leaves is told by the one that overtakes it. */
void telling_begin(struct notify *notify, struct project *project, const struct span *span)
{
    int64_t now_us = clock_mono_us();
    if (project->telling) {
        span_text(project->telling, "vote.conflated", "true");
        span_end(notify->tracer, project->telling, now_us);
    }
    if (!span->is_recorded) {
        telling_free(project);
        return;
    }
    if (!project->telling && !(project->telling = malloc(sizeof *project->telling)))
        abort();
    span_begin(notify->tracer, project->telling, "broadcast to project", SPAN_PRODUCER,
               &span->context, now_us);
}

void telling_end(struct notify *notify, struct project *project)
{
    if (!project->telling)
        return;
    span_number(project->telling, "vote.coalesced", project->coalesced);
    span_number(project->telling, "vote.sockets",
                (int64_t)sio_room_size(notify->everyone, project->room));
    span_end(notify->tracer, project->telling, clock_mono_us());
    telling_free(project);
}

void telling_free(struct project *project)
{
    free(project->telling);
    project->telling = NULL;
}
