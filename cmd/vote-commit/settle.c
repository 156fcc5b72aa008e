/* settle.c - Redis after a commit: what is shown becomes what Postgres has, plus what is on its
 * way.
 *
 * Redis may be away: then the projects are remembered, and their state is dropped when it is back,
 * so that the next click loads it again. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "vote/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 7, TEXT_SIZE = 24, STALE_MAX_BYTES = 4 * 1024 * 1024 };

static const char *const value_names[] = {"-1", "0", "1"};

static bool is_last_of_project(const struct commit *commit, size_t at, size_t to)
{
    const char *project_id = commit->batch.entries[at].request.project_id;
    for (size_t i = at + 1; i < to; i++) {
        if (!strcmp(commit->batch.entries[i].request.project_id, project_id))
            return false;
    }
    return true;
}

/* Adds settle.lua for one project with all its requests up to `last`, whose counts are final. */
static void settle_add_project(struct commit *commit, size_t from, size_t last)
{
    const struct entry *final = &commit->batch.entries[last];
    const char *project_id = final->request.project_id;
    struct project_keys keys;
    char counts[3][TEXT_SIZE];
    const char **arguments = malloc((HEAD + 3 * (last - from + 1)) * sizeof *arguments);
    int count = HEAD;
    if (!arguments)
        abort();
    project_keys_make(&keys, project_id);
    snprintf(counts[0], TEXT_SIZE, "%lld", (long long) final->result.upvotes);
    snprintf(counts[1], TEXT_SIZE, "%lld", (long long) final->result.downvotes);
    snprintf(counts[2], TEXT_SIZE, "%lld", (long long) final->result.version);
    const char *head[HEAD] = {keys.state, keys.voters, keys.pending, keys.settled,
                              counts[0],  counts[1],   counts[2]};
    memcpy(arguments, head, sizeof head);
    for (size_t i = from; i <= last; i++) {
        const struct entry *entry = &commit->batch.entries[i];
        if (strcmp(entry->request.project_id, project_id) != 0)
            continue;
        arguments[count++] = entry->request.request_id;
        arguments[count++] = entry->request.user_id;
        arguments[count++] = value_names[entry->result.standing + 1];
    }
    redis_add_script(&commit->settling, &script_settle, 4, count, arguments);
    free(arguments);
}

/* Adds the status hash of one request, and the user's set as the vote now stands. */
static void settle_add_request(struct commit *commit, const struct entry *entry)
{
    const struct request *request = &entry->request;
    const struct result *result = &entry->result;
    struct redis_batch *batch = &commit->settling;
    char accepted_at[CLOCK_TEXT_SIZE], committed_at[CLOCK_TEXT_SIZE];
    char key[KEY_SIZE], upvotes[KEY_SIZE];
    clock_format_ms(request->accepted_at_ms, accepted_at);
    clock_format_ms(result->committed_at_ms, committed_at);
    key_of_request(key, request->request_id);
    key_of_upvotes(upvotes, request->user_id);
    redis_add(batch, key,
              "HSET %s state %s user_id %s project_id %s vote_type %s previous %s action %s "
              "seq %lld accepted_at %s partition %d offset %lld committed_at %s version %lld "
              "commit_latency_ms %lld",
              key, vote_outcome_name(result->outcome), request->user_id, request->project_id,
              vote_type_name(request->vote_type), vote_type_name(request->previous),
              vote_action_name(request->action), (long long)request->seq, accepted_at,
              (int)entry->message->partition, (long long)entry->message->offset, committed_at,
              (long long)result->version,
              (long long)(result->committed_at_ms - request->accepted_at_ms));
    redis_add(batch, key, "EXPIRE %s %d", key, (int)REQUEST_KEPT_S);
    redis_add(batch, upvotes, "%s %s %s", result->standing == VOTE_UP ? "SADD" : "SREM", upvotes,
              request->project_id);
}

void settle_later(struct commit *commit, const char *project_id)
{
    struct buf *stale = &commit->stale_projects;
    for (size_t at = 0; at < stale->size; at += strlen(stale->data + at) + 1) {
        if (!strcmp(stale->data + at, project_id))
            return;
    }
    if (stale->size < STALE_MAX_BYTES)
        buf_put(stale, project_id, strlen(project_id) + 1);
}

bool settle_drop_stale(struct commit *commit, struct error *error)
{
    struct buf *stale = &commit->stale_projects;
    struct redis_batch batch = {0};
    struct project_keys keys;
    if (!stale->size)
        return true;
    for (size_t at = 0; at < stale->size; at += strlen(stale->data + at) + 1) {
        project_keys_make(&keys, stale->data + at);
        redis_add(&batch, keys.state, "DEL %s %s %s", keys.state, keys.voters, keys.pending);
    }
    bool dropped = redis_run(commit->redis, &batch, error);
    redis_batch_free(&batch);
    if (dropped)
        buf_clear(stale);
    return dropped;
}

static bool settle_try(struct commit *commit, size_t from, size_t to, struct error *error)
{
    if (!settle_drop_stale(commit, error))
        return false;
    for (size_t i = from; i < to; i++) {
        if (is_last_of_project(commit, i, to))
            settle_add_project(commit, from, i);
        settle_add_request(commit, &commit->batch.entries[i]);
    }
    bool settled = redis_run(commit->redis, &commit->settling, error);
    redis_batch_clear(&commit->settling);
    return settled;
}

void settle_entries(struct commit *commit, size_t from, size_t to)
{
    struct error error;
    bool settled = settle_try(commit, from, to, &error);
    atomic_store(&commit->redis_check->ready, settled);
    if (settled)
        return;
    log_error(commit->log, LOG_WARN, "redis not settled; the state will be loaded again", &error);
    for (size_t i = from; i < to; i++)
        settle_later(commit, commit->batch.entries[i].request.project_id);
}
