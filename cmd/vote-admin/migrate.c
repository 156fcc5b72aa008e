/* migrate.c - applies the numbered SQL files that the database does not have yet.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"

#include "vote/migrations.h"

#include <stdio.h>
#include <string.h>

/* Any fixed number: two migrations at once wait for each other here. */
static const char lock_sql[] = "select pg_advisory_lock(7368816921)";
static const char table_sql[] =
    "create schema if not exists vote; "
    "create table if not exists vote.migrations (number integer primary key, name text not null, "
    "    checksum text not null, applied_at timestamptz not null default now())";

static bool statement(struct pg *pg, const char *sql, struct error *error)
{
    PGresult *result = pg_query(pg, sql, 0, NULL, error);
    PQclear(result);
    return result != NULL;
}

/* In one transaction: the file and the note that it was applied. */
static bool migration_apply(struct pg *pg, const struct migration *migration, const char *number,
                            struct error *error)
{
    const char *parameters[] = {number, migration->name, migration->sql};
    if (!statement(pg, "begin", error))
        return false;
    bool applied = statement(pg, migration->sql, error);
    PGresult *noted = applied ? pg_query(pg,
                                         "insert into vote.migrations (number, name, checksum) "
                                         "values ($1, $2, md5($3))",
                                         3, parameters, error)
                              : NULL;
    PQclear(noted);
    if (noted && statement(pg, "commit", error)) {
        printf("applied %s\n", migration->name);
        return true;
    }
    struct error rollback;
    if (!statement(pg, "rollback", &rollback))
        pg_close(pg);
    return error_wrap(error, "%s", migration->name);
}

static bool migration_ensure(struct pg *pg, const struct migration *migration, int *applied,
                             struct error *error)
{
    char number[12];
    const char *parameters[] = {number, migration->sql};
    snprintf(number, sizeof number, "%d", migration->number);
    PGresult *rows =
        pg_query(pg, "select checksum = md5($2) from vote.migrations where number = $1", 2,
                 parameters, error);
    if (!rows)
        return false;
    bool known = PQntuples(rows) > 0, same = known && *PQgetvalue(rows, 0, 0) == 't';
    PQclear(rows);
    if (known && !same)
        return error_set(error, ERROR_CONFIG,
                         "%s was applied with another content: this database belongs to another "
                         "version",
                         migration->name);
    if (known)
        return true;
    ++*applied;
    return migration_apply(pg, migration, number, error);
}

/* The ledger's coming months. Where somebody reads the ledger for long they are left to
 * vote-commit, which makes them as well: that is no reason to stop here. */
static void months_make(struct pg *pg, struct log *log)
{
    struct error error;
    PGresult *rows = pg_query(pg, "select vote.make_log_months()", 0, NULL, &error);
    for (int row = 0; rows && row < PQntuples(rows); row++)
        printf("made vote.%s\n", PQgetvalue(rows, row, 0));
    if (!rows)
        log_error(log, LOG_WARN, "the ledger's months are left to vote-commit", &error);
    PQclear(rows);
}

bool migrate_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct pg pg = {.url = ((struct admin_config *)config)->pg.url, .name = "vote-admin"};
    int applied = 0;
    bool fine = statement(&pg, lock_sql, error) &&
                statement(&pg, "set client_min_messages = warning", error) &&
                statement(&pg, table_sql, error);
    for (size_t i = 0; fine && i < migration_count; i++)
        fine = migration_ensure(&pg, &migrations[i], &applied, error);
    if (fine)
        months_make(&pg, log);
    if (fine && applied == 0)
        printf("up to date: %zu migrations\n", migration_count);
    pg_close(&pg); /* gives the lock back */
    return fine;
}
