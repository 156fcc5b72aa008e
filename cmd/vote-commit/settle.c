/* settle.c - Redis after a commit: what is shown becomes what Postgres has, plus what is on its
 * way.
 *
 * A batch's settling travels while the next one is in Postgres. That a request is on its way
 * (vote:pending) is the record of what is to be settled for it, and leaves last: after a crash, or
 * a connection that was cut in the middle, the sweep finds it there. When Redis does not answer,
 * the projects and requests are remembered, too. When it is back the state is dropped, so that the
 * next click loads it again, and the requests are settled from the ledger.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "base/hash.h"
#include "vote/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD = 7,
    TEXT_SIZE = 24,
    STALE_MAX_BYTES = 4 * 1024 * 1024,
    STATUS_WORDS = 30,
    FAILED_WORDS = STATUS_WORDS - 6 /* it has no commit */
};

static const char *const value_names[] = {"-1", "0", "1"};

/* The entries of one project in a range, in order. */
struct chain {
    size_t first, last, count;
};

/* The entries of a range by project: the table maps a hash to a chain, `next` links its entries. */
struct chains {
    struct chain *table;
    size_t *next;
    size_t mask;
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

static struct chain *chain_find(const struct chains *chains, const struct batch *batch,
                                const char *project_id)
{
    size_t at = hash_text(project_id) & chains->mask;
    while (chains->table[at].count &&
           strcmp(batch->entries[chains->table[at].first].request.project_id, project_id) != 0)
        at = (at + 1) & chains->mask;
    return &chains->table[at];
}

static void chains_make(struct chains *chains, const struct batch *batch, size_t from, size_t to)
{
    size_t size = 16;
    while (size < 2 * (to - from))
        size *= 2;
    *chains = (struct chains){.table = allocate(size, sizeof *chains->table),
                              .next = allocate(batch->count + 1, sizeof *chains->next),
                              .mask = size - 1};
    for (size_t i = from; i < to; i++) {
        if (batch->entries[i].left_out)
            continue;
        struct chain *chain = chain_find(chains, batch, batch->entries[i].request.project_id);
        if (chain->count++)
            chains->next[chain->last] = i;
        else
            chain->first = i;
        chain->last = i;
    }
}

static void chains_free(struct chains *chains)
{
    free(chains->table);
    free(chains->next);
}

static void project_drop(struct redis_batch *batch, const char *project_id)
{
    struct project_keys keys;
    project_keys_make(&keys, project_id);
    redis_add(batch, keys.state, "DEL %s %s", keys.state, keys.voters);
}

/* An older database was put in place of the one that Redis has seen: its versions start again
 * below. */
static void project_forget(struct redis_batch *batch, const char *project_id)
{
    struct project_keys keys;
    project_keys_make(&keys, project_id);
    project_drop(batch, project_id);
    redis_add(batch, keys.settled, "DEL %s", keys.settled);
}

/* The first words of settle.lua: the counts are those after the last of the requests. */
static void settle_head(const struct project_keys *keys, const struct result *final,
                        char counts[3][TEXT_SIZE], const char **arguments)
{
    snprintf(counts[0], TEXT_SIZE, "%" PRId64, final->upvotes);
    snprintf(counts[1], TEXT_SIZE, "%" PRId64, final->downvotes);
    snprintf(counts[2], TEXT_SIZE, "%" PRId64, final->version);
    const char *head[HEAD] = {keys->state, keys->voters, keys->pending, keys->settled,
                              counts[0],   counts[1],    counts[2]};
    memcpy(arguments, head, sizeof head);
}

static void settle_add_project(struct commit *commit, const struct batch *batch,
                               const struct chains *chains, const struct chain *chain)
{
    const struct entry *final = &batch->entries[chain->last];
    struct project_keys keys;
    char counts[3][TEXT_SIZE];
    const char **arguments = allocate(HEAD + 3 * chain->count, sizeof *arguments);
    int count = HEAD;
    project_keys_make(&keys, final->request.project_id);
    settle_head(&keys, &final->result, counts, arguments);
    for (size_t n = 0, i = chain->first; n < chain->count; n++, i = chains->next[i]) {
        const struct entry *entry = &batch->entries[i];
        arguments[count++] = entry->request.request_id;
        arguments[count++] = entry->request.user_id;
        arguments[count++] = value_names[entry->result.standing + 1];
    }
    redis_add_script(&commit->settling, &script_settle, 4, count, arguments);
    free(arguments);
}

/* The user's set as the vote now stands. A failed vote must not stand in their own view, ahead of a
 * commit that never comes. */
static void settle_add_user(struct redis_batch *batch, const struct result *result)
{
    const struct request *request = result->request;
    char set[KEY_SIZE], recent[KEY_SIZE];
    key_of_upvotes(set, request->user_id);
    key_of_recent(recent, request->user_id);
    redis_add_words(
        batch, set, 3,
        (const char *[]){result->standing == VOTE_UP ? "SADD" : "SREM", set, request->project_id});
    if (result->outcome == OUTCOME_FAILED)
        redis_add_words(batch, recent, 3, (const char *[]){"HDEL", recent, request->project_id});
}

/* Adds what is kept of one request, but for its being on its way. */
static void settle_add_request(struct redis_batch *batch, int32_t partition, int64_t offset,
                               const struct result *result)
{
    const struct request *request = result->request;
    char accepted_at[CLOCK_TEXT_SIZE], committed_at[CLOCK_TEXT_SIZE], key[KEY_SIZE],
        numbers[5][TEXT_SIZE];
    const int64_t values[] = {request->seq, partition, offset, result->version,
                              result->committed_at_ms - request->accepted_at_ms};
    bool failed = result->outcome == OUTCOME_FAILED;
    for (int i = 0; i < 5; i++)
        snprintf(numbers[i], TEXT_SIZE, "%" PRId64, values[i]);
    if (partition < 0) /* applied while Kafka was away: it is not in the log yet */
        numbers[1][0] = numbers[2][0] = '\0';
    clock_format_ms(request->accepted_at_ms, accepted_at);
    clock_format_ms(result->committed_at_ms, committed_at);
    key_of_request(key, request->request_id);
    const char *words[STATUS_WORDS] = {"HSET",
                                       key,
                                       "state",
                                       vote_outcome_name(result->outcome),
                                       "user_id",
                                       request->user_id,
                                       "project_id",
                                       request->project_id,
                                       "vote_type",
                                       vote_type_name(request->vote_type),
                                       "previous",
                                       vote_type_name(request->previous),
                                       "action",
                                       vote_action_name(request->action),
                                       "seq",
                                       numbers[0],
                                       "accepted_at",
                                       accepted_at,
                                       "partition",
                                       numbers[1],
                                       "offset",
                                       numbers[2],
                                       "error", /* one that it was given up with goes */
                                       failed ? result->reason : "",
                                       "version",
                                       numbers[3],
                                       "committed_at",
                                       committed_at,
                                       "commit_latency_ms",
                                       numbers[4]};
    redis_add_words(batch, key, failed ? FAILED_WORDS : STATUS_WORDS, words);
    redis_add_words(batch, key, 3, (const char *[]){"EXPIRE", key, REQUEST_KEPT_S_TEXT});
    settle_add_user(batch, result);
}

static void name_add(struct buf *names, const char *project_id)
{
    for (size_t at = 0; at < names->size; at += strlen(names->data + at) + 1) {
        if (!strcmp(names->data + at, project_id))
            return;
    }
    if (names->size < STALE_MAX_BYTES)
        buf_put(names, project_id, strlen(project_id) + 1);
}

void settle_later(struct commit *commit, const char *project_id)
{
    name_add(&commit->stale_projects, project_id);
}

bool settle_drop_stale(struct commit *commit, struct error *error)
{
    struct buf *stale = &commit->stale_projects;
    struct redis_batch batch = {0};
    if (!stale->size)
        return true;
    for (size_t at = 0; at < stale->size; at += strlen(stale->data + at) + 1)
        project_drop(&batch, stale->data + at);
    bool dropped = redis_run(commit->redis, &batch, error);
    redis_batch_free(&batch);
    if (dropped)
        buf_clear(stale);
    return dropped;
}

void settle_wait(struct commit *commit)
{
    struct error error;
    const struct buf *names = &commit->settling_projects, *ids = &commit->settling_requests;
    if (!commit->is_settling)
        return;
    bool settled = redis_wait(&commit->settling, &error);
    commit->is_settling = false;
    atomic_store(&commit->redis_check->ready, settled);
    redis_batch_clear(&commit->settling);
    if (!settled) {
        log_error(commit->log, LOG_WARN, "redis not settled; it will be, from the ledger", &error);
        for (size_t at = 0; at < names->size; at += strlen(names->data + at) + 1)
            settle_later(commit, names->data + at);
        resettle_later(commit, ids->data, ids->size);
    }
    buf_clear(&commit->settling_projects);
    buf_clear(&commit->settling_requests);
}

static void settle_note(struct commit *commit, const struct request *request)
{
    buf_put(&commit->settling_requests, request->request_id, REQUEST_ID_SIZE);
}

/* Begins a settling; the one before is done then. */
static void settle_begin(struct commit *commit)
{
    struct error error;
    settle_wait(commit);
    if (!settle_drop_stale(commit, &error))
        log_error(commit->log, LOG_DEBUG, "the state cannot be dropped yet", &error);
}

static void settle_submit(struct commit *commit)
{
    redis_submit(commit->redis, &commit->settling);
    commit->is_settling = true;
}

/* The projects' part of a batch, behind the requests'. */
static void settle_add_chain(struct commit *commit, const struct batch *batch,
                             const struct chains *chains, const struct chain *chain)
{
    const struct entry *first = &batch->entries[chain->first];
    const char *project_id = first->request.project_id;
    buf_put(&commit->settling_projects, project_id, strlen(project_id) + 1);
    if (first->message->offset < commit->positions[first->message->partition].restored_offset)
        project_forget(&commit->settling, project_id);
    else
        settle_add_project(commit, batch, chains, chain);
}

void settle_entries(struct commit *commit, const struct batch *batch, size_t from, size_t to)
{
    struct chains chains;
    settle_begin(commit);
    chains_make(&chains, batch, from, to);
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->left_out)
            continue;
        settle_note(commit, &entry->request);
        settle_add_request(&commit->settling, entry->message->partition, entry->message->offset,
                           &entry->result);
    }
    for (size_t i = 0; i <= chains.mask; i++) {
        const struct chain *chain = &chains.table[i];
        if (chain->count)
            settle_add_chain(commit, batch, &chains, chain);
    }
    chains_free(&chains);
    settle_submit(commit);
}

void settle_add(struct redis_batch *batch, int32_t partition, int64_t offset,
                const struct result *result, const struct result *final)
{
    const struct request *request = result->request;
    struct project_keys keys;
    char counts[3][TEXT_SIZE];
    const char *arguments[HEAD + 3];
    project_keys_make(&keys, request->project_id);
    settle_head(&keys, final, counts, arguments);
    arguments[HEAD] = request->request_id;
    arguments[HEAD + 1] = request->user_id;
    arguments[HEAD + 2] = value_names[result->standing + 1];
    settle_add_request(batch, partition, offset, result);
    redis_add_script(batch, &script_settle, 4, HEAD + 3, arguments);
}

void settle_result(struct commit *commit, const struct record *record, const struct result *result)
{
    const char *project_id = result->request->project_id;
    settle_begin(commit);
    settle_note(commit, result->request);
    buf_put(&commit->settling_projects, project_id, strlen(project_id) + 1);
    settle_add(&commit->settling, record->partition, record->offset, result, result);
    settle_submit(commit);
}
