/* click.c - the way of a vote through vote-ingest, from step to step.
 *
 *   guard_check -> optimistic_vote -> publish_click -> guard_answer -> click_finish
 *
 * None of these waits. What has to, because Postgres is asked, is given to a worker: a retry of an
 * attempt that died, a project that Redis does not have, a vote that Kafka does not take.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

void click_ask(struct click *click, int64_t until_us, void (*then)(struct redis_batch *batch))
{
    click->redis.then = then;
    click->redis.owner = click;
    click->redis.deadline_us = until_us;
    redis_submit(click->ingest->redis, &click->redis);
}

/* In a worker: an earlier attempt of the same request may have taken the step. */
static void recall_step(struct http_request *http)
{
    struct click *click = http->state;
    switch (click_recall(click->ingest, click, &click->error)) {
    case RECALL_FOUND:
        click->may_be_kept = true; /* by the earlier attempt */
        publish_click(click);
        break;
    case RECALL_NOTHING: optimistic_vote(click); break;
    case RECALL_UNKNOWN: click_decided(click, MAY_BE_KEPT); break;
    }
}

void click_guarded(struct click *click, enum guard verdict)
{
    if (verdict != GUARD_GO)
        click_refuse(click, verdict);
    else if (click->again)
        http_work(click->http, recall_step);
    else
        optimistic_vote(click);
}

/* In a worker: the vote is made durable in Postgres, while Kafka is away. A crash behind the step
 * leaves a ghost in Redis that nothing stands for; vote-commit sweeps it. What may be kept is not
 * taken back either: the commit settles it, or the sweep finds it, and a retry goes on with it. */
static void keep_without_kafka(struct http_request *http)
{
    struct click *click = http->state;
    if (sync_click(click->ingest, click, &click->error)) {
        click_decided(click, ACCEPTED);
    } else if (click->may_be_kept) {
        click_decided(click, MAY_BE_KEPT);
    } else {
        optimistic_undo(click->ingest, click);
        click_decided(click, NOT_KEPT);
    }
}

void click_published(struct click *click, bool is_acknowledged)
{
    if (is_acknowledged)
        click_decided(click, ACCEPTED);
    else
        http_work(click->http, keep_without_kafka);
}

static void answer_encode(struct click *click)
{
    const struct request *vote = &click->request;
    struct buf *body = &click->answer;
    buf_text(body, "{\"status\":\"success\",\"message\":\"Vote recorded\",\"data\":{");
    buf_member_text(body, "id", vote->project_id);
    buf_member_int(body, "upvotes", click->upvotes);
    buf_member_int(body, "downvotes", click->downvotes);
    buf_member_int(body, "voteCount", click->upvotes - click->downvotes);
    buf_member_text(body, "user_vote",
                    vote->vote_type == VOTE_NONE ? NULL : vote_type_name(vote->vote_type));
    buf_member_text(body, "request_id", vote->request_id);
    buf_member_text(body, "action", vote_action_name(vote->action));
    buf_text(body, "}}");
}

void click_decided(struct click *click, enum acceptance acceptance)
{
    click->acceptance = acceptance;
    if (acceptance == ACCEPTED)
        answer_encode(click);
    guard_answer(click);
}
