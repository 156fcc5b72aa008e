/* scratch.c - a database beside the live one that is gone at the end.
 *
 * A database and not a schema: the functions name the schema `vote` in their bodies, so only in
 * another database do the very same functions run. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/scratch.h"

#include "vote/migrations.h"

#include <stdio.h>
#include <string.h>

static const char lock_sql[] = "select pg_try_advisory_lock(7368816923), current_database()";

static bool statement(struct pg *pg, const char *sql, struct error *error)
{
    PGresult *result = pg_query(pg, sql, 0, NULL, error);
    PQclear(result);
    return result != NULL;
}

/* Whoever has the lock of the live database has the name. */
static bool scratch_lock(struct scratch *scratch, struct error *error)
{
    PGresult *rows = pg_query(scratch->live, lock_sql, 0, NULL, error);
    if (!rows)
        return false;
    bool locked = *PQgetvalue(rows, 0, 0) == 't';
    buf_format(&scratch->name, "%.50s_verify", PQgetvalue(rows, 0, 1));
    PQclear(rows);
    return locked || error_set(error, ERROR_RETRY, "another --verify is under way");
}

static bool database_run(struct scratch *scratch, const char *form, struct error *error)
{
    struct buf sql = {0};
    char *name =
        PQescapeIdentifier(scratch->live->connection, scratch->name.data, scratch->name.size);
    if (!name)
        return error_set(error, ERROR_UNAVAILABLE, "postgres: %s",
                         PQerrorMessage(scratch->live->connection));
    for (; *form; form++) {
        if (*form == '@')
            buf_text(&sql, name);
        else
            buf_char(&sql, *form);
    }
    bool done = statement(scratch->live, sql.data, error);
    PQfreemem(name);
    buf_free(&sql);
    return done;
}

static void pair_put(struct buf *out, const char *keyword, const char *value)
{
    buf_format(out, "%s='", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_char(out, '\\');
        buf_char(out, *value);
    }
    buf_text(out, "' ");
}

/* The live database's address with the other name. */
static bool url_make(struct scratch *scratch, struct error *error)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(scratch->live->url, &why);
    if (!options) {
        error_set(error, ERROR_CONFIG, "--database-url: %s", why ? why : "is no address");
        PQfreemem(why);
        return false;
    }
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        if (option->val && *option->val && strcmp(option->keyword, "dbname"))
            pair_put(&scratch->url, option->keyword, option->val);
    }
    pair_put(&scratch->url, "dbname", scratch->name.data);
    PQconninfoFree(options);
    scratch->pg = (struct pg){.url = scratch->url.data, .name = "vote-replay"};
    return true;
}

static bool migrate(struct scratch *scratch, struct error *error)
{
    bool fine = statement(&scratch->pg, "set client_min_messages = warning", error) &&
                statement(&scratch->pg, "set synchronous_commit = off", error);
    for (size_t i = 0; fine && i < migration_count; i++)
        fine = statement(&scratch->pg, migrations[i].sql, error) ||
               error_wrap(error, "%s", migrations[i].name);
    return fine;
}

bool scratch_open(struct scratch *scratch, struct pg *live, struct error *error)
{
    *scratch = (struct scratch){.live = live};
    if (!scratch_lock(scratch, error) ||
        !statement(live, "set client_min_messages = warning", error) ||
        !database_run(scratch, "drop database if exists @ with (force)", error) ||
        !database_run(scratch, "create database @ template template0", error))
        return false;
    scratch->made = true;
    return url_make(scratch, error) && migrate(scratch, error);
}

/* The live connection may be in a transaction, or lost: another one is sure to do it. */
void scratch_close(struct scratch *scratch)
{
    struct error error;
    pg_close(&scratch->pg);
    pg_close(scratch->live);
    if (scratch->made && pg_connect(scratch->live, &error) &&
        !database_run(scratch, "drop database if exists @ with (force)", &error))
        fprintf(stderr, "vote-replay: %s stays: %s\n", scratch->name.data, error.text);
    buf_free(&scratch->name);
    buf_free(&scratch->url);
}
