/* ledger.c - the months of vote.log: the coming ones are made ahead, those past
 * --ledger-retention are dropped.
 *
 * Any number of processes may do it. Each call waits half a second for its locks at most, since
 * votes wait behind it; when it gets none (somebody reads the ledger for long), votes go on as
 * before, and a later turn tries again: the months ahead are the time there is for that.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MONTHS_AHEAD = 2, TEXT_SIZE = 40 };

static const int64_t LATER_US = INT64_C(3600) * 1000 * 1000, SOON_US = INT64_C(60) * 1000 * 1000;

static const char make_sql[] = "select string_agg(m, ' ') from vote.make_log_months($1::integer) m";
static const char drop_sql[] =
    "select string_agg(m, ' ') from vote.drop_log_months($1::interval) m";
static const char ahead_sql[] = "select vote.log_months_ahead()";

/* Calls one of the two functions and tells which partitions it returned; false when it failed. */
static bool ledger_call(struct commit *commit, const char *sql, const char *parameter,
                        const char *what)
{
    struct error error;
    PGresult *rows = pg_query(&commit->side_pg, sql, 1, &parameter, &error);
    if (!rows)
        log_error(commit->log, LOG_WARN, "the ledger's months stay as they are for now", &error);
    else if (!PQgetisnull(rows, 0, 0))
        LOG_EVENT(commit->log, LOG_INFO, what, LOG_STR("partitions", PQgetvalue(rows, 0, 0)));
    PQclear(rows);
    return rows != NULL;
}

/* How many months after this one have a partition; -1 when Postgres does not say. */
static int64_t ledger_ahead(struct commit *commit)
{
    struct error error;
    if (!commit->side_pg.connection)
        return -1; /* it was tried just now: once is enough to wait */
    PGresult *rows = pg_query(&commit->side_pg, ahead_sql, 0, NULL, &error);
    int64_t ahead = rows ? strtoll(PQgetvalue(rows, 0, 0), NULL, 10) : -1;
    PQclear(rows);
    return ahead;
}

void ledger_turn(struct commit *commit)
{
    char ahead[TEXT_SIZE], retention[TEXT_SIZE];
    int64_t now_us = clock_mono_us();
    if (now_us < commit->ledger_next_us)
        return;
    snprintf(ahead, sizeof ahead, "%d", MONTHS_AHEAD);
    snprintf(retention, sizeof retention, "%" PRId64 " microseconds",
             commit->config->ledger_retention_us);
    bool made = ledger_call(commit, make_sql, ahead, "ledger months made");
    bool dropped = made && ledger_call(commit, drop_sql, retention, "ledger months dropped");
    int64_t found = ledger_ahead(commit);
    if (found >= 0)
        metric_set(commit->metrics.ledger_ahead, found);
    bool fine = made && dropped && found >= MONTHS_AHEAD;
    commit->ledger_next_us = now_us + (fine ? LATER_US : SOON_US);
}
