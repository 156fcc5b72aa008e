/* apply.c - one transaction: the offsets of a batch and its votes, both or neither.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 11, FENCE_COLUMNS = 3, PARAMETERS = 16 };

/* The arrays that vote.commit_batch takes, as text. */
struct arrays {
    struct buf fence[FENCE_COLUMNS]; /* partition, expected offset, next offset */
    struct buf columns[COLUMNS];
};

static void arrays_free(struct arrays *arrays)
{
    for (int i = 0; i < FENCE_COLUMNS; i++)
        buf_free(&arrays->fence[i]);
    for (int i = 0; i < COLUMNS; i++)
        buf_free(&arrays->columns[i]);
}

static void arrays_add_entry(struct arrays *arrays, const struct entry *entry)
{
    const struct request *request = &entry->request;
    char accepted_at[CLOCK_TEXT_SIZE];
    clock_format_ms(request->accepted_at_ms, accepted_at);
    struct buf *column = arrays->columns;
    pg_array_int(column++, entry->message->partition);
    pg_array_int(column++, entry->message->offset);
    pg_array_text(column++, request->request_id);
    pg_array_text(column++, request->user_id);
    pg_array_text(column++, request->project_id);
    pg_array_int(column++, request->vote_type);
    pg_array_int(column++, request->previous);
    pg_array_text(column++, vote_action_name(request->action));
    pg_array_int(column++, request->seq);
    pg_array_text(column++, accepted_at);
    pg_array_text(column++, request->variant[0] ? request->variant : NULL);
}

/* Where partition `p` stands behind the last of its entries in [from, to); -1 when it has none. */
static int64_t entries_next_offset(const struct commit *commit, size_t from, size_t to, int32_t p)
{
    for (size_t i = to; i-- > from;) {
        const rd_kafka_message_t *message = commit->batch.entries[i].message;
        if (message->partition == p)
            return message->offset + 1;
    }
    return -1;
}

/* Records below what was applied already come again only to be announced: they move nothing. */
static void arrays_add_fences(struct arrays *arrays, const struct commit *commit, size_t from,
                              size_t to)
{
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        const struct position *position = &commit->positions[p];
        int64_t next = position->assigned ? entries_next_offset(commit, from, to, p) : -1;
        if (next < 0)
            continue;
        pg_array_int(&arrays->fence[0], p);
        pg_array_int(&arrays->fence[1], position->next_offset);
        pg_array_int(&arrays->fence[2],
                     next > position->next_offset ? next : position->next_offset);
    }
}

static void positions_advance(struct commit *commit, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const rd_kafka_message_t *message = commit->batch.entries[i].message;
        struct position *position = &commit->positions[message->partition];
        if (message->offset + 1 > position->next_offset)
            position->next_offset = message->offset + 1;
    }
}

/* `row` is one of vote.apply's. */
static void result_read(struct commit *commit, struct entry *entry, PGresult *rows, int row)
{
    struct result *result = &entry->result;
    *result = (struct result){.request = &entry->request};
    if (!vote_outcome_parse(PQgetvalue(rows, row, 1), &result->outcome))
        abort();
    snprintf(result->reason, sizeof result->reason, "%s", PQgetvalue(rows, row, 2));
    result->standing = (enum vote_type)atoi(PQgetvalue(rows, row, 4));
    result->upvotes = atoll(PQgetvalue(rows, row, 6));
    result->downvotes = atoll(PQgetvalue(rows, row, 7));
    result->community_score = strtod(PQgetvalue(rows, row, 8), NULL);
    result->version = atoll(PQgetvalue(rows, row, 9));
    result->committed_at_ms = atoll(PQgetvalue(rows, row, 10));
    if (*PQgetvalue(rows, row, 3) == 't') {
        metric_add(commit->metrics.replayed, 1);
        return;
    }
    metric_add(commit->metrics.outcomes[result->outcome], 1);
    histogram_record(commit->metrics.latency_us,
                     (result->committed_at_ms - entry->request.accepted_at_ms) * 1000);
}

static const char apply_sql[] = "select ord, outcome, reason, replayed, standing, old_value, "
                                "upvotes, downvotes, community_score, "
                                "       version, (extract(epoch from committed_at) * 1000)::bigint "
                                "  from vote.commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
                                "$11, $12, $13, $14, $15, $16)";

static enum apply apply_failed(struct commit *commit)
{
    if (!strcmp(commit->pg.sqlstate, PG_FENCED))
        return APPLY_FENCED;
    return pg_is_transient(&commit->pg) ? APPLY_RETRY : APPLY_REFUSED;
}

enum apply apply_entries(struct commit *commit, size_t from, size_t to, struct error *error)
{
    struct arrays arrays = {0};
    const char *parameters[PARAMETERS] = {TOPIC_REQUESTS};
    int64_t start_us = clock_mono_us();
    for (size_t i = from; i < to; i++)
        arrays_add_entry(&arrays, &commit->batch.entries[i]);
    arrays_add_fences(&arrays, commit, from, to);
    for (int i = 0; i < FENCE_COLUMNS; i++)
        parameters[1 + i] = pg_array_end(&arrays.fence[i]);
    parameters[4] = commit->owner;
    for (int i = 0; i < COLUMNS; i++)
        parameters[5 + i] = pg_array_end(&arrays.columns[i]);
    PGresult *rows = pg_query(&commit->pg, apply_sql, PARAMETERS, parameters, error);
    arrays_free(&arrays);
    if (!rows)
        return apply_failed(commit);
    positions_advance(commit, from, to);
    for (int row = 0; row < PQntuples(rows); row++)
        result_read(commit, &commit->batch.entries[from + (size_t)row], rows, row);
    PQclear(rows);
    histogram_record(commit->metrics.batch_votes, (int64_t)(to - from));
    histogram_record(commit->metrics.transaction_us, clock_mono_us() - start_us);
    return APPLY_DONE;
}
