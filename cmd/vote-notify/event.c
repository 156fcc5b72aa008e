/* event.c - what is told to whom. SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"

#include <stdio.h>

enum { KIND_OTHER, KIND_PUBLIC };

void counts_encode(const struct counts *counts, struct buf *json)
{
    buf_member_int(json, "upvotes", counts->upvotes);
    buf_member_int(json, "downvotes", counts->downvotes);
    buf_member_int(json, "voteCount", counts->upvotes - counts->downvotes);
    buf_member_double(json, "community_score", counts->community_score);
    buf_member_int(json, "version", counts->version);
}

/* The members that every event about a commit has; the object stays open. */
static void commit_encode(const char *project_id, const struct counts *counts,
                          enum vote_action action, int64_t coalesced, int64_t committed_at_ms,
                          struct buf *json)
{
    char committed_at[CLOCK_TEXT_SIZE];
    clock_format_ms(committed_at_ms, committed_at);
    buf_char(json, '{');
    buf_member_text(json, "project_id", project_id);
    counts_encode(counts, json);
    buf_member_text(json, "action", vote_action_name(action));
    buf_member_int(json, "coalesced", coalesced);
    buf_member_text(json, "committed_at", committed_at);
}

static const char *event_name(enum vote_type vote_type)
{
    return vote_type == VOTE_NONE ? "vote:removed" : "vote:cast";
}

/* What waits in a slow client's queue is replaced by what is newer of the same project. */
void event_public(struct notify *notify, struct project *project)
{
    struct buf json = {0};
    commit_encode(project->id, &project->counts, project->action, project->coalesced,
                  project->committed_at_ms, &json);
    buf_char(&json, '}');
    struct sio_frame *frame = sio_frame_new(
        notify->everyone, &(struct sio_message){.event = event_name(project->vote_type),
                                                .args = json.data,
                                                .args_size = json.size,
                                                .kind = KIND_PUBLIC,
                                                .key = project->key});
    sio_broadcast(notify->everyone, project->room, frame, NULL);
    sio_frame_unref(frame);
    buf_free(&json);
    notify_metrics_delivered(notify->metrics, project->accepted_at_ms, project->committed_at_ms,
                             project->telling);
    telling_end(notify, project);
}

static const char *user_vote(enum vote_type standing)
{
    return standing == VOTE_NONE ? NULL : vote_type_name(standing);
}

/* The vote is gone: the page rolls back to what stands. */
static void failure_encode(const struct result *result, struct buf *json)
{
    buf_char(json, '{');
    buf_member_text(json, "request_id", result->request->request_id);
    buf_member_text(json, "project_id", result->request->project_id);
    buf_member_text(json, "reason", result->reason);
    buf_member_text(json, "user_vote", user_vote(result->standing));
    buf_char(json, '}');
}

static void success_encode(const struct result *result, struct buf *json)
{
    const struct request *request = result->request;
    const struct counts counts = {.upvotes = result->upvotes,
                                  .downvotes = result->downvotes,
                                  .version = result->version,
                                  .community_score = result->community_score};
    commit_encode(request->project_id, &counts, request->action, 1, result->committed_at_ms, json);
    buf_member_text(json, "request_id", request->request_id);
    buf_member_text(json, "user_vote", user_vote(result->standing));
    if (result->outcome != OUTCOME_COMMITTED)
        buf_member_text(json, "reason", result->reason);
    buf_char(json, '}');
}

void event_private(struct notify *notify, const struct result *result, const struct span *span)
{
    struct buf json = {0};
    struct span telling;
    char room[VOTE_ID_SIZE + 2];
    snprintf(room, sizeof room, "u:%s", result->request->user_id);
    if (!sio_room_size(notify->everyone, room))
        return;
    span_begin(notify->tracer, &telling, "broadcast to user", SPAN_PRODUCER, &span->context,
               clock_mono_us());
    bool failed = result->outcome == OUTCOME_FAILED;
    if (failed)
        failure_encode(result, &json);
    else
        success_encode(result, &json);
    const char *name = failed ? "vote:failed"
                       : result->outcome == OUTCOME_COMMITTED
                           ? event_name(result->request->vote_type)
                           : "vote:reconciled";
    struct sio_frame *frame = sio_frame_new(
        notify->everyone,
        &(struct sio_message){.event = name, .args = json.data, .args_size = json.size});
    sio_broadcast(notify->everyone, room, frame, NULL);
    sio_frame_unref(frame);
    buf_free(&json);
    span_text(&telling, "vote.event", name);
    span_end(notify->tracer, &telling, clock_mono_us());
}
