/* audit.c - vote-admin audit: do the totals equal the rows, the rows the log, and Redis both?
 *
 * Postgres is read in one snapshot, and the log up to where that snapshot says it was applied: so
 * it may run at any time, beside any load. It changes nothing unless told to repair.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/audit.h"
#include "vote-admin/commands.h"

#include "vote/event.h"

#include <stdio.h>

const struct option audit_options[AUDIT_OPTION_COUNT] = {
    {.name = "repair",
     .type = OPTION_SWITCH,
     ADMIN_AT(repair),
     .flags = OPTION_FLAG_ONLY,
     .summary = "make rows what the log says, totals what the rows say"},
    OPTION_DRY_RUN("with --repair: say what it would do"),
    OPTION_YES,
};

static const char totals_sql[] =
    "select (select count(*) from vote.projects), (select count(*) from vote.votes), "
    "       (select count(*) from vote.log)";

bool audit_execute(struct audit *audit, const char *sql, struct error *error)
{
    PGresult *result = pg_query(&audit->pg, sql, 0, NULL, error);
    PQclear(result);
    return result != NULL;
}

static bool audit_print_totals(struct audit *audit, struct error *error)
{
    PGresult *rows = pg_query(&audit->pg, totals_sql, 0, NULL, error);
    if (!rows)
        return false;
    printf("%s projects, %s votes, %s requests in the ledger, %lld records in the log\n",
           PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 2),
           (long long)audit->records);
    if (audit->undecodable)
        printf("%lld records are no votes\n", (long long)audit->undecodable);
    if (audit->forgotten)
        printf("%lld records are wishes to be forgotten\n", (long long)audit->forgotten);
    PQclear(rows);
    return true;
}

static bool audit_compare(struct audit *audit, struct error *error)
{
    return audit_execute(audit, "begin isolation level repeatable read", error) &&
           audit_load_log(audit, error) && audit_print_totals(audit, error) &&
           audit_make_views(audit, error) && audit_find(audit, "", &audit->differences, error) &&
           audit_execute(audit, "commit", error);
}

/* The last line, and the exit status: what was found, less what was repaired. */
static bool audit_conclude(const struct audit *audit, bool repaired, int64_t left,
                           struct error *error)
{
    if (audit->differences == 0)
        puts("audit: clean");
    else if (repaired && audit->dry_run)
        printf("audit: %lld differences, %lld of them cannot be repaired; nothing was changed\n",
               (long long)audit->differences, (long long)left);
    else if (!repaired)
        printf("audit: %lld differences\n", (long long)audit->differences);
    else if (left == 0)
        printf("audit: %lld differences, all repaired\n", (long long)audit->differences);
    else
        printf("audit: %lld differences, %lld not repaired\n", (long long)audit->differences,
               (long long)left);
    bool clean = left == 0 && !(repaired && audit->dry_run);
    return clean || error_set(error, ERROR_FOUND, "%s", "");
}

/* A person is asked. A script has said it by --repair: what is done makes rows and totals what the
 * log says, and loses nothing that the log has. */
static bool audit_may_repair(const struct audit *audit, const struct admin_config *config,
                             struct error *error)
{
    char question[64];
    fflush(stdout);
    snprintf(question, sizeof question, "Repair %lld differences?", (long long)audit->differences);
    return config->dry_run || !confirm_has_terminal() || confirm(config, question, error);
}

static bool audit_find_all(struct audit *audit, struct error *error)
{
    return audit_compare(audit, error) && (!audit->redis || audit_redis_compare(audit, error));
}

/* What is not in Redis is loaded from Postgres: so a Redis that is away spoils only the verdict. */
static bool audit_connect(struct audit *audit, const struct admin_config *config,
                          struct error *away, struct error *error)
{
    if (!audit_redis_open(audit, &config->redis, away) && away->code != ERROR_RETRY)
        return error_set(error, away->code, "%s", away->text);
    return reader_open(&audit->reader, &config->kafka, "vote-admin", TOPIC_REQUESTS, error);
}

static void audit_close(struct audit *audit)
{
    if (audit->reader.client)
        reader_close(&audit->reader);
    redis_close(audit->redis);
    pg_close(&audit->pg); /* rolls back what failed half way; the tables were temporary */
}

bool audit_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    const struct admin_config *config = context;
    struct audit audit = {.pg = {.url = config->pg.url, .name = "vote-admin"},
                          .dry_run = config->dry_run};
    struct error away = {0};
    bool fine = audit_connect(&audit, config, &away, error) && audit_find_all(&audit, error);
    int64_t left = audit.differences;
    bool repairs = config->repair && left > 0;
    if (fine && repairs)
        fine = audit_may_repair(&audit, config, error) && audit_repair(&audit, &left, error);
    audit_close(&audit);
    if (!fine || !audit_conclude(&audit, repairs, left, error))
        return false;
    return !away.code ||
           error_set(error, away.code, "redis was not compared, and may show what was repaired: %s",
                     away.text);
}
