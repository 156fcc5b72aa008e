/* votes.c - the votes of a CSV file as requests. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/hash.h"
#include "base/table.h"
#include "vote/event.h"
#include "vote/names.h"
#include "vote/votes_csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vote {
    int64_t timestamp_ms, seq;
    uint32_t user, project;
    uint32_t line; /* keeps the file's order among equal times */
    signed char value, previous;
};

/* What a user's vote on a project is so far. */
struct standing {
    struct table_node node;
    uint32_t pair[2];
    signed char value;
};

struct votes {
    struct vote *list;
    size_t count, capacity;
    struct names users, projects;
};

static void vote_take(void *context, const struct csv_vote *row)
{
    struct votes *votes = context;
    if (votes->count == votes->capacity) {
        votes->capacity = votes->capacity ? votes->capacity * 2 : 1024;
        votes->list = reallocarray(votes->list, votes->capacity, sizeof *votes->list);
        if (!votes->list)
            abort();
    }
    votes->list[votes->count++] =
        (struct vote){.timestamp_ms = row->timestamp_ms,
                      .user = names_intern(&votes->users, row->user_id),
                      .project = names_intern(&votes->projects, row->project_id),
                      .line = (uint32_t)row->line,
                      .value = (signed char)row->vote_type};
}

static int vote_compare(const void *left, const void *right)
{
    const struct vote *a = left, *b = right;
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms < b->timestamp_ms ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static struct standing *standing_of(struct table *table, const struct vote *vote)
{
    uint32_t pair[2] = {vote->user, vote->project};
    uint64_t hash = table_hash(table, pair, sizeof pair);
    for (struct table_node *node = table_first(table, hash); node; node = table_next(node)) {
        struct standing *standing = (struct standing *)node;
        if (!memcmp(standing->pair, pair, sizeof pair))
            return standing;
    }
    struct standing *standing = calloc(1, sizeof *standing);
    if (!standing)
        abort();
    memcpy(standing->pair, pair, sizeof pair);
    table_add(table, &standing->node, hash);
    return standing;
}

static void standings_free(struct table *table)
{
    for (size_t i = 0; i < table->slot_count; i++) {
        for (struct table_node *node = table->slots[i], *next; node; node = next) {
            next = node->next;
            free(node);
        }
    }
    table_free(table);
}

/* In order of time each vote gets the one before it, and a seq that grows with its project. */
static void votes_chain(struct votes *votes)
{
    struct table standings;
    int64_t *last_seq = calloc(votes->projects.count + 1, sizeof *last_seq);
    if (!last_seq)
        abort();
    table_init(&standings);
    for (size_t i = 0; i < votes->count; i++) {
        struct vote *vote = &votes->list[i];
        struct standing *standing = standing_of(&standings, vote);
        int64_t *last = &last_seq[vote->project], now = vote->timestamp_ms * 1000;
        vote->seq = *last = now > *last ? now : *last + 1;
        vote->previous = standing->value;
        standing->value = vote->value;
    }
    standings_free(&standings);
    free(last_seq);
}

bool votes_read(struct votes **votes, FILE *file, struct error *error)
{
    *votes = calloc(1, sizeof **votes);
    if (!*votes)
        abort();
    if (!votes_csv_read(file, vote_take, *votes, error))
        return false;
    if ((*votes)->count)
        qsort((*votes)->list, (*votes)->count, sizeof *(*votes)->list, vote_compare);
    votes_chain(*votes);
    return true;
}

size_t votes_count(const struct votes *votes)
{
    return votes->count;
}

/* A UUID of version 8 (RFC 9562 section 5.8): the time, then a hash of the vote. */
static void request_id_derive(const struct request *request, char id[REQUEST_ID_SIZE])
{
    char text[3 * VOTE_ID_SIZE];
    snprintf(text, sizeof text, "%s %s %d %" PRId64, request->user_id, request->project_id,
             (int)request->vote_type, request->seq);
    uint64_t low = hash_text(text), time_ms = (uint64_t)request->accepted_at_ms;
    uint64_t high = hash_bytes(&low, sizeof low);
    snprintf(id, REQUEST_ID_SIZE, "%08x-%04x-8%03x-%04x-%012" PRIx64,
             (unsigned)(time_ms >> 16 & 0xffffffff), (unsigned)(time_ms & 0xffff),
             (unsigned)(high & 0xfff), (unsigned)(0x8000 | (low >> 48 & 0x3fff)),
             low & 0xffffffffffff);
}

static void request_make(const struct votes *votes, const struct vote *vote,
                         struct request *request)
{
    *request = (struct request){.vote_type = vote->value,
                                .previous = vote->previous,
                                .action = vote_action_between(vote->previous, vote->value),
                                .seq = vote->seq,
                                .accepted_at_ms = vote->timestamp_ms};
    snprintf(request->user_id, VOTE_ID_SIZE, "%s", votes->users.text[vote->user]);
    snprintf(request->project_id, VOTE_ID_SIZE, "%s", votes->projects.text[vote->project]);
    request_id_derive(request, request->request_id);
}

void votes_item(const struct votes *votes, size_t index, struct buf *value, struct item *item)
{
    const struct vote *vote = &votes->list[index];
    struct request request;
    char traceparent[TRACEPARENT_SIZE];
    request_make(votes, vote, &request);
    buf_clear(value);
    request_encode(&request, value);
    traceparent_continue(NULL, traceparent);
    item->is_new = true;
    item->envelope = (struct envelope){
        .topic = "",
        .partition = -1,
        .offset = -1,
        .timestamp_ms = vote->timestamp_ms,
        .key = votes->projects.text[vote->project],
        .key_size = strlen(votes->projects.text[vote->project]),
        .value = value->data,
        .value_size = value->size,
        .headers = kafka_event_headers("vote.requested.v1", "/vote-replay", request.request_id,
                                       vote->timestamp_ms, traceparent)};
}

void votes_free(struct votes *votes)
{
    if (!votes)
        return;
    names_free(&votes->users);
    names_free(&votes->projects);
    free(votes->list);
    free(votes);
}
