/* api_vote.c - POST /api/votes. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool content_type_is_json(const char *type)
{
    static const char json[] = "application/json";
    if (!type || strncasecmp(type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

/* Reads and checks the body; answers and returns false when it is no vote. */
static bool vote_read(struct http_request *request, struct vote_body *body)
{
    struct buf json = {0}, problems = {0};
    bool parsed = false;
    enum http_body read = http_read_body(request, BODY_MAX_BYTES, &json);
    if (read == HTTP_BODY_TOO_LARGE)
        problem_reply(request, 413, "too-large", "the body is over 16 KiB", NULL, NULL);
    else if (read == HTTP_BODY_BROKEN)
        problem_reply(request, 400, "malformed", "the body ended early", NULL, NULL);
    else if (json.size && !content_type_is_json(http_header(request, "Content-Type")))
        problem_reply(request, 415, "unsupported-media-type", "the body is not application/json",
                      NULL, "Accept: application/json\r\n");
    else if (!vote_body_parse(body, json.data, json.size, &problems))
        problem_reply(request, 400, "malformed", "the vote is malformed: see errors", problems.data,
                      NULL);
    else
        parsed = true;
    buf_free(&json);
    buf_free(&problems);
    return parsed;
}

static void vote_reply(struct http_request *request, const struct request *vote,
                       const struct shown *shown)
{
    struct buf body = {0};
    char location[96];
    snprintf(location, sizeof location, "Location: /api/votes/status/%s\r\n", vote->request_id);
    buf_text(&body, "{\"status\":\"success\",\"message\":\"Vote recorded\",\"data\":{");
    buf_member_text(&body, "id", vote->project_id);
    buf_member_int(&body, "upvotes", shown->upvotes);
    buf_member_int(&body, "downvotes", shown->downvotes);
    buf_member_int(&body, "voteCount", shown->upvotes - shown->downvotes);
    buf_member_text(&body, "user_vote",
                    vote->vote_type == VOTE_NONE ? NULL : vote_type_name(vote->vote_type));
    buf_member_text(&body, "request_id", vote->request_id);
    buf_member_text(&body, "action", vote_action_name(vote->action));
    buf_text(&body, "}}");
    http_reply(request, 202, "application/json", location, body.data, body.size);
    buf_free(&body);
}

/* Accepts a vote: first the optimistic state, then Kafka. A crash between the two leaves a step in
 * Redis that nothing in Kafka stands for; settling and reloading correct it. */
static bool vote_accept(struct http_request *http, struct request *vote, bool toggle,
                        struct shown *shown)
{
    struct ingest *ingest = http->context;
    char traceparent[TRACEPARENT_SIZE];
    struct error error = {0};
    switch (optimistic_vote(ingest, vote, toggle, shown, &error)) {
    case OPTIMISTIC_UNKNOWN_PROJECT:
        problem_reply(http, 404, "unknown-project", "there is no such project", NULL, NULL);
        return false;
    case OPTIMISTIC_UNAVAILABLE: problem_unavailable(http, &error); return false;
    case OPTIMISTIC_OK: break;
    }
    traceparent_continue(http_header(http, "traceparent"), traceparent);
    vote->accepted_at_ms = clock_wall_ms();
    if (publish_request(ingest, vote, traceparent, optimistic_record, &error))
        return true;
    optimistic_undo(ingest, vote);
    problem_unavailable(http, &error);
    return false;
}

void api_post_vote(struct http_request *http)
{
    struct ingest *ingest = http->context;
    int64_t start_us = clock_mono_us();
    struct vote_body body;
    struct token token;
    struct shown shown = {0};
    struct request vote = {0};
    if (!auth_check(http, &token) || !vote_read(http, &body))
        return;
    request_id_make(vote.request_id);
    memcpy(vote.user_id, token.user_id, sizeof vote.user_id);
    memcpy(vote.project_id, body.project_id, sizeof vote.project_id);
    memcpy(vote.variant, body.variant, sizeof vote.variant);
    vote.vote_type = body.vote_type;
    if (!vote_accept(http, &vote, body.toggle, &shown))
        return;
    vote_reply(http, &vote, &shown);
    int64_t latency_us = clock_mono_us() - start_us;
    metric_add(ingest->metrics.accepted[vote.action], 1);
    histogram_record(ingest->metrics.latency_us, latency_us);
    LOG_EVENT(ingest->log, LOG_DEBUG, "accepted", LOG_STR("request_id", vote.request_id),
              LOG_REAL("latency_ms", (double)latency_us / 1000));
}
