/* apply.c - one transaction: the offsets of a batch and its votes, both or neither.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "vote/request_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FENCE_COLUMNS = 4, PARAMETERS = 17, NUMBER_SIZE = 24, WAIT_MS = 100 };

/* The arrays that vote.commit_batch takes, as text. */
struct arrays {
    struct buf fence[FENCE_COLUMNS]; /* partition, expected, next and announced offset */
    struct request_columns requests;
};

static void arrays_free(struct arrays *arrays)
{
    for (int i = 0; i < FENCE_COLUMNS; i++)
        buf_free(&arrays->fence[i]);
    request_columns_free(&arrays->requests);
}

/* The offset behind the last of the entries in [from, to), by partition; -1 where there is none. */
static void entries_ends(const struct batch *batch, size_t from, size_t to,
                         int64_t ends[PARTITIONS_MAX])
{
    for (int32_t p = 0; p < PARTITIONS_MAX; p++)
        ends[p] = -1;
    for (size_t i = from; i < to; i++)
        ends[batch->entries[i].message->partition] = batch->entries[i].message->offset + 1;
}

/* Records below what was applied already come again only to be announced: they move nothing. */
static void arrays_add_fences(struct arrays *arrays, const struct commit *commit,
                              const struct batch *batch, size_t from, size_t to)
{
    int64_t ends[PARTITIONS_MAX];
    entries_ends(batch, from, to, ends);
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        const struct position *position = &commit->positions[p];
        if (!position->assigned || ends[p] < 0)
            continue;
        int64_t next = ends[p] > position->next_offset ? ends[p] : position->next_offset;
        pg_array_int(&arrays->fence[0], p);
        pg_array_int(&arrays->fence[1], position->next_offset);
        pg_array_int(&arrays->fence[2], next);
        pg_array_int(&arrays->fence[3], position->announced_offset);
    }
}

static void positions_advance(struct commit *commit, const struct batch *batch, size_t from,
                              size_t to)
{
    for (size_t i = from; i < to; i++) {
        const rd_kafka_message_t *message = batch->entries[i].message;
        struct position *position = &commit->positions[message->partition];
        if (message->offset + 1 > position->next_offset)
            position->next_offset = message->offset + 1;
    }
}

/* The columns of vote.apply and its kin. */
#define RESULT_COLUMNS                                                                             \
    "select outcome, reason, replayed, standing, upvotes, downvotes, community_score, version, "   \
    "       floor(extract(epoch from committed_at) * 1000)::bigint, written "

/* Votes for each row of vote.votes that was written: what folding a batch has saved. */
static void fold_count(struct commit_metrics *metrics, bool written)
{
    metric_add(metrics->rows, written);
    metrics->applied_count++;
    if (metric_get(metrics->rows))
        metric_set(metrics->fold, metrics->applied_count * 1000 / metric_get(metrics->rows));
}

int64_t result_latency_us(const struct result *result)
{
    return (result->committed_at_ms - result->request->accepted_at_ms) * 1000;
}

static void result_count(struct commit *commit, const struct result *result, bool replayed,
                         bool written)
{
    if (replayed) {
        metric_add(commit->metrics.replayed, 1);
        return;
    }
    fold_count(&commit->metrics, written);
    metric_add(commit->metrics.outcomes[result->outcome], 1);
    histogram_record(commit->metrics.latency_us, result_latency_us(result));
}

static void result_read(struct commit *commit, const struct request *request, PGresult *rows,
                        int row, struct result *result)
{
    *result = (struct result){.request = request};
    if (!vote_outcome_parse(PQgetvalue(rows, row, 0), &result->outcome))
        abort();
    snprintf(result->reason, sizeof result->reason, "%s", PQgetvalue(rows, row, 1));
    result->standing = (enum vote_type)strtol(PQgetvalue(rows, row, 3), NULL, 10);
    result->upvotes = strtoll(PQgetvalue(rows, row, 4), NULL, 10);
    result->downvotes = strtoll(PQgetvalue(rows, row, 5), NULL, 10);
    result->community_score = strtod(PQgetvalue(rows, row, 6), NULL);
    result->version = strtoll(PQgetvalue(rows, row, 7), NULL, 10);
    result->committed_at_ms = strtoll(PQgetvalue(rows, row, 8), NULL, 10);
    result_count(commit, result, *PQgetvalue(rows, row, 2) == 't',
                 *PQgetvalue(rows, row, 9) == 't');
}

enum apply apply_failure(struct commit *commit, const struct pg *pg)
{
    if (!strcmp(pg->sqlstate, PG_FENCED))
        return APPLY_FENCED;
    const char *class = pg_transient_class(pg);
    if (!class)
        return APPLY_REFUSED;
    for (int i = 0; i < RETRY_CLASSES; i++) {
        if (!strcmp(class, retry_class_names[i]))
            metric_add(commit->metrics.retries[i], 1);
    }
    return APPLY_RETRY;
}

static const char batch_sql[] = RESULT_COLUMNS
    "  from vote.commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
    "$16, $17)";

enum apply apply_send(struct commit *commit, const struct batch *batch, size_t from, size_t to,
                      struct error *error)
{
    struct arrays arrays = {0};
    const char *parameters[PARAMETERS] = {TOPIC_REQUESTS};
    for (size_t i = from; i < to; i++) {
        const struct entry *entry = &batch->entries[i];
        if (!entry->left_out)
            request_columns_add(&arrays.requests, entry->message->partition, entry->message->offset,
                                &entry->request);
    }
    arrays_add_fences(&arrays, commit, batch, from, to);
    for (int i = 0; i < FENCE_COLUMNS; i++)
        parameters[1 + i] = pg_array_end(&arrays.fence[i]);
    parameters[1 + FENCE_COLUMNS] = commit->owner;
    request_columns_end(&arrays.requests, parameters + 2 + FENCE_COLUMNS);
    commit->in_flight_us = clock_mono_us();
    bool sent = pg_send(&commit->pg, batch_sql, PARAMETERS, parameters, error);
    arrays_free(&arrays);
    return sent ? APPLY_DONE : apply_failure(commit, &commit->pg);
}

void apply_await(struct commit *commit)
{
    while (!pg_is_answered(&commit->pg, WAIT_MS)) {
        admin_beat(&commit->admin);
        announce_serve(commit, 0);
        lag_turn(commit);
    }
}

enum apply apply_receive(struct commit *commit, struct batch *batch, size_t from, size_t to,
                         struct error *error)
{
    apply_await(commit);
    PGresult *rows = pg_receive(&commit->pg, error);
    if (!rows)
        return apply_failure(commit, &commit->pg);
    batch->sent_us = commit->in_flight_us;
    batch->answered_us = clock_mono_us();
    positions_advance(commit, batch, from, to);
    int row = 0;
    for (size_t i = from; i < to; i++) {
        struct entry *entry = &batch->entries[i];
        if (!entry->left_out)
            result_read(commit, &entry->request, rows, row++, &entry->result);
    }
    PQclear(rows);
    histogram_record(commit->metrics.batch_votes, row);
    histogram_record(commit->metrics.transaction_us, batch->answered_us - batch->sent_us);
    return APPLY_DONE;
}

/* One row of a statement about a single request. */
static enum apply single_run(struct commit *commit, const char *sql, int count,
                             const char *const *parameters, const struct request *request,
                             struct result *result, struct error *error)
{
    PGresult *rows = pg_query(&commit->side_pg, sql, count, parameters, error);
    if (!rows)
        return apply_failure(commit, &commit->side_pg);
    result_read(commit, request, rows, 0, result);
    PQclear(rows);
    return APPLY_DONE;
}

static const char again_sql[] =
    RESULT_COLUMNS "  from vote.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

enum apply apply_again(struct commit *commit, const struct record *record,
                       const struct request *request, struct result *result, struct error *error)
{
    struct request_columns columns = {0};
    const char *parameters[1 + REQUEST_COLUMNS] = {TOPIC_REQUESTS};
    request_columns_add(&columns, record->partition, record->offset, request);
    request_columns_end(&columns, parameters + 1);
    enum apply outcome =
        single_run(commit, again_sql, 1 + REQUEST_COLUMNS, parameters, request, result, error);
    request_columns_free(&columns);
    return outcome;
}

static const char fail_sql[] =
    RESULT_COLUMNS "  from vote.fail($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

enum apply apply_fail(struct commit *commit, const struct record *record,
                      const struct request *request, const char *reason, struct result *result,
                      struct error *error)
{
    char numbers[5][NUMBER_SIZE], accepted_at[CLOCK_TEXT_SIZE];
    const int64_t values[] = {record->partition, record->offset, request->vote_type,
                              request->previous, request->seq};
    for (int i = 0; i < 5; i++)
        snprintf(numbers[i], NUMBER_SIZE, "%" PRId64, values[i]);
    clock_format_ms(request->accepted_at_ms, accepted_at);
    const char *parameters[] = {TOPIC_REQUESTS,
                                numbers[0],
                                numbers[1],
                                request->request_id,
                                request->user_id,
                                request->project_id,
                                numbers[2],
                                numbers[3],
                                vote_action_name(request->action),
                                numbers[4],
                                accepted_at,
                                request->variant[0] ? request->variant : NULL,
                                reason};
    return single_run(commit, fail_sql, 13, parameters, request, result, error);
}
