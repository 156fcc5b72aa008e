/* settle.c - Redis after a commit: what is shown becomes what Postgres has, plus what is on its
 * way.
 *
 * Redis may be away: then the projects are remembered, and their state is dropped when it is back,
 * so that the next click loads it again. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZE = 32 + VOTE_ID_SIZE, TEXT_SIZE = 24, STALE_MAX_BYTES = 4 * 1024 * 1024 };

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

/* Queues settle.lua for one project with all its requests up to `last`, whose counts are final. */
static void settle_queue_project(struct commit *commit, size_t from, size_t last)
{
    const struct entry *final = &commit->batch.entries[last];
    const char *project_id = final->request.project_id;
    char keys[4][KEY_SIZE], counts[3][TEXT_SIZE];
    static const char *const prefixes[] = {"state", "voters", "pending", "settled"};
    const char **arguments = malloc((7 + 3 * (last - from + 1)) * sizeof *arguments);
    int count = 7;
    if (!arguments)
        abort();
    for (int i = 0; i < 4; i++) {
        snprintf(keys[i], KEY_SIZE, "vote:%s:{%s}", prefixes[i], project_id);
        arguments[i] = keys[i];
    }
    snprintf(counts[0], TEXT_SIZE, "%lld", (long long) final->result.upvotes);
    snprintf(counts[1], TEXT_SIZE, "%lld", (long long) final->result.downvotes);
    snprintf(counts[2], TEXT_SIZE, "%lld", (long long) final->result.version);
    for (int i = 0; i < 3; i++)
        arguments[4 + i] = counts[i];
    for (size_t i = from; i <= last; i++) {
        const struct entry *entry = &commit->batch.entries[i];
        if (strcmp(entry->request.project_id, project_id) != 0)
            continue;
        arguments[count++] = entry->request.request_id;
        arguments[count++] = entry->request.user_id;
        arguments[count++] = value_names[entry->result.standing + 1];
    }
    redis_queue_run(&commit->redis, &commit->settle_script, 4, count, arguments);
    free(arguments);
}

/* Queues the status hash of one request: 2 commands. */
static void settle_queue_status(struct commit *commit, const struct entry *entry)
{
    const struct request *request = &entry->request;
    const struct result *result = &entry->result;
    char accepted_at[CLOCK_TEXT_SIZE], committed_at[CLOCK_TEXT_SIZE];
    clock_format_ms(request->accepted_at_ms, accepted_at);
    clock_format_ms(result->committed_at_ms, committed_at);
    redis_queue(&commit->redis,
                "HSET vote:request:%s state %s user_id %s project_id %s vote_type %s action %s "
                "accepted_at %s partition %d offset %lld committed_at %s version %lld "
                "commit_latency_ms %lld",
                request->request_id, vote_outcome_name(result->outcome), request->user_id,
                request->project_id, vote_type_name(request->vote_type),
                vote_action_name(request->action), accepted_at, (int)entry->message->partition,
                (long long)entry->message->offset, committed_at, (long long)result->version,
                (long long)(result->committed_at_ms - request->accepted_at_ms));
    redis_queue(&commit->redis, "EXPIRE vote:request:%s 86400", request->request_id);
}

/* Puts a project on the list of those whose state in Redis is to be dropped. */
static void stale_add(struct commit *commit, const char *project_id)
{
    struct buf *stale = &commit->stale_projects;
    for (size_t at = 0; at < stale->size; at += strlen(stale->data + at) + 1) {
        if (!strcmp(stale->data + at, project_id))
            return;
    }
    if (stale->size < STALE_MAX_BYTES)
        buf_put(stale, project_id, strlen(project_id) + 1);
}

static bool stale_drop(struct commit *commit, struct error *error)
{
    struct buf *stale = &commit->stale_projects;
    int count = 0;
    for (size_t at = 0; at < stale->size; at += strlen(stale->data + at) + 1, count++) {
        const char *id = stale->data + at;
        redis_queue(&commit->redis, "DEL vote:state:{%s} vote:voters:{%s} vote:pending:{%s}", id,
                    id, id);
    }
    if (!redis_collect(&commit->redis, count, error))
        return false;
    buf_clear(stale);
    return true;
}

static bool settle_try(struct commit *commit, size_t from, size_t to, struct error *error)
{
    int queued = 0;
    if (!redis_connect(&commit->redis, error) ||
        (!commit->settle_script.digest[0] &&
         !redis_load(&commit->redis, &commit->settle_script, error)) ||
        (commit->stale_projects.size && !stale_drop(commit, error)))
        return false;
    for (size_t i = from; i < to; i++) {
        if (is_last_of_project(commit, i, to)) {
            settle_queue_project(commit, from, i);
            queued++;
        }
        settle_queue_status(commit, &commit->batch.entries[i]);
        queued += 2;
    }
    return redis_collect(&commit->redis, queued, error);
}

void settle_entries(struct commit *commit, size_t from, size_t to)
{
    struct error error;
    bool settled = settle_try(commit, from, to, &error);
    atomic_store(&commit->redis_check->ready, settled);
    if (settled)
        return;
    redis_close(&commit->redis); /* replies of a broken pipeline must not answer the next one */
    commit->settle_script.digest[0] = '\0'; /* a Redis that restarted has forgotten it */
    log_error(commit->log, LOG_WARN, "redis not settled; the state will be loaded again", &error);
    for (size_t i = from; i < to; i++)
        stale_add(commit, commit->batch.entries[i].request.project_id);
}
