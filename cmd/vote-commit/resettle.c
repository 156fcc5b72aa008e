/* resettle.c - what was committed, and not settled in Redis, is settled from the ledger.
 *
 * Redis did not answer, or a process died in between: it may have all of the settling, some of it,
 * or nothing. Doing it again, with what the rows are now, ends at the same.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 500, UNSETTLED_MAX_BYTES = 4 * 1024 * 1024 };

enum column {
    C_REQUEST,
    C_USER,
    C_PROJECT,
    C_VALUE,
    C_PREVIOUS,
    C_ACTION,
    C_SEQ,
    C_ACCEPTED,
    C_PARTITION,
    C_OFFSET,
    C_OUTCOME,
    C_REASON,
    C_COMMITTED,
    C_VERSION,
    C_STANDING,
    C_UPVOTES,
    C_DOWNVOTES,
    C_PROJECT_VERSION
};

static const char ledger_sql[] =
    "select l.request_id, l.user_id, l.project_id, l.value, l.previous, l.action, l.seq, "
    "       (extract(epoch from l.accepted_at) * 1000)::bigint, l.\"partition\", l.\"offset\", "
    "       l.outcome, l.reason, floor(extract(epoch from l.committed_at) * 1000)::bigint, "
    "l.version, "
    "       coalesce(v.value, 0), coalesce(p.upvotes, 0), coalesce(p.downvotes, 0), "
    "       coalesce(p.version, 0) "
    "  from vote.log l left join vote.projects p using (project_id) "
    "  left join vote.votes v on v.project_id = l.project_id and v.user_id = l.user_id "
    " where l.request_id = any ($1::uuid[]) order by l.seq";

static int64_t column_number(const PGresult *rows, int row, enum column column)
{
    return strtoll(PQgetvalue(rows, row, (int)column), NULL, 10);
}

static void column_text(char *to, size_t size, const PGresult *rows, int row, enum column column)
{
    snprintf(to, size, "%s", PQgetvalue(rows, row, (int)column));
}

/* False when somebody has written there what no tool of ours does. */
static bool row_read(struct request *request, struct result *result, const PGresult *rows, int row)
{
    *request = (struct request){.vote_type = (enum vote_type)column_number(rows, row, C_VALUE),
                                .previous = (enum vote_type)column_number(rows, row, C_PREVIOUS),
                                .seq = column_number(rows, row, C_SEQ),
                                .accepted_at_ms = column_number(rows, row, C_ACCEPTED)};
    *result = (struct result){.request = request,
                              .standing = (enum vote_type)column_number(rows, row, C_STANDING),
                              .version = column_number(rows, row, C_VERSION),
                              .committed_at_ms = column_number(rows, row, C_COMMITTED)};
    column_text(request->request_id, sizeof request->request_id, rows, row, C_REQUEST);
    column_text(request->user_id, sizeof request->user_id, rows, row, C_USER);
    column_text(request->project_id, sizeof request->project_id, rows, row, C_PROJECT);
    column_text(result->reason, sizeof result->reason, rows, row, C_REASON);
    return vote_action_parse(PQgetvalue(rows, row, C_ACTION), &request->action) &&
           vote_outcome_parse(PQgetvalue(rows, row, C_OUTCOME), &result->outcome);
}

static void row_settle(struct redis_batch *batch, const PGresult *rows, int row)
{
    struct request request;
    struct result result;
    struct result final = {.upvotes = column_number(rows, row, C_UPVOTES),
                           .downvotes = column_number(rows, row, C_DOWNVOTES),
                           .version = column_number(rows, row, C_PROJECT_VERSION)};
    if (row_read(&request, &result, rows, row))
        settle_add(batch, (int32_t)column_number(rows, row, C_PARTITION),
                   column_number(rows, row, C_OFFSET), &result, &final);
}

bool resettle(struct commit *commit, const char *ids, struct error *error)
{
    struct redis_batch batch = {0};
    const char *parameters[] = {ids};
    settle_wait(commit); /* what is under way is older than what is read here */
    PGresult *rows = pg_query(&commit->side_pg, ledger_sql, 1, parameters, error);
    for (int row = 0; rows && row < PQntuples(rows); row++)
        row_settle(&batch, rows, row);
    bool settled = rows && redis_run(commit->redis, &batch, error);
    if (rows && !settled && !batch.failure[0]) {
        log_error(commit->log, LOG_WARN, "redis refuses what settles a vote", error);
        settled = true; /* of all but that; asking again would change nothing */
    }
    redis_batch_free(&batch);
    PQclear(rows);
    return settled;
}

void resettle_later(struct commit *commit, const char *ids, size_t size)
{
    if (commit->unsettled.size + size <= UNSETTLED_MAX_BYTES)
        buf_put(&commit->unsettled, ids, size);
}

bool resettle_turn(struct commit *commit, struct error *error)
{
    struct buf *unsettled = &commit->unsettled, ids = {0};
    settle_wait(commit); /* it may add to them */
    size_t rest = unsettled->size;
    if (!rest)
        return true;
    for (int i = 0; i < AT_ONCE && rest > 0; i++) {
        rest -= REQUEST_ID_SIZE;
        pg_array_text(&ids, unsettled->data + rest);
    }
    bool settled = resettle(commit, pg_array_end(&ids), error);
    buf_free(&ids);
    if (settled)
        unsettled->size = rest;
    return settled;
}
