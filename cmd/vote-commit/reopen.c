/* reopen.c - a dead letter that an operator has sent back is no replay of what failed: it is to be
 * tried once more.
 *
 * Its failure leaves the ledger before the batch with it is applied. A crash between the two leaves
 * a request that waits in the log, as any other does. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

enum { NUMBER_SIZE = 24 };

static const char reopen_sql[] = "select vote.reopen($1, $2, $3, $4, $5)";

bool entry_is_redriven(const rd_kafka_message_t *message)
{
    char count[NUMBER_SIZE];
    return kafka_header_text(message, HEADER_REDRIVEN, count, sizeof count) &&
           kafka_header_is(message, HEADER_REPLAY_COUNT, count);
}

static bool entry_reopen(struct commit *commit, const struct entry *entry, struct error *error)
{
    const struct request *request = &entry->request;
    char numbers[2][NUMBER_SIZE], accepted_at[CLOCK_TEXT_SIZE];
    snprintf(numbers[0], NUMBER_SIZE, "%" PRId32, entry->message->partition);
    snprintf(numbers[1], NUMBER_SIZE, "%" PRId64, entry->message->offset);
    clock_format_ms(request->accepted_at_ms, accepted_at);
    const char *parameters[] = {TOPIC_REQUESTS, numbers[0], numbers[1], request->request_id,
                                accepted_at};
    PGresult *rows = pg_query(&commit->side_pg, reopen_sql, 5, parameters, error);
    if (!rows)
        return false;
    if (*PQgetvalue(rows, 0, 0) == 't')
        LOG_EVENT(commit->log, LOG_INFO, "tried again after a redrive",
                  LOG_STR("request_id", request->request_id));
    PQclear(rows);
    return true;
}

bool reopen_entries(struct commit *commit, const struct batch *batch, struct error *error)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        if (entry->is_redriven && !entry->left_out &&
            commit->positions[entry->message->partition].assigned &&
            !entry_reopen(commit, entry, error))
            return false;
    }
    return true;
}
