/* pg.c - a thin manner around libpq. SPDX-License-Identifier: Apache-2.0 */
#include "pg/pg.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
const struct option pg_options[] = {
    {.name = "database-url", .type = OPTION_TEXT, .offset = offsetof(struct pg_config, url),
     .preset = "postgresql://votepipe@127.0.0.1:15432/votepipe", .argument = "URL",
     .flags = OPTION_URL, .summary = "Postgres, as libpq reads it"},
};
/* clang-format on */

/* libpq's messages end with a newline and may have several lines: the first says it. */
static bool pg_fail(struct error *error, const char *what, const char *message)
{
    int size = (int)strcspn(message, "\n");
    return error_set(error, ERROR_UNAVAILABLE, "%s: %.*s", what, size, message);
}

bool pg_connect(struct pg *pg, struct error *error)
{
    if (pg->connection && PQstatus(pg->connection) == CONNECTION_OK)
        return true;
    pg_close(pg);
    const char *keywords[] = {"dbname", "application_name", "connect_timeout", "client_encoding",
                              NULL};
    const char *values[] = {pg->url, pg->name, "5", "UTF8", NULL};
    pg->connection = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg->connection) == CONNECTION_OK)
        return true;
    pg_fail(error, "unable to connect to postgres", PQerrorMessage(pg->connection));
    pg_close(pg);
    memcpy(pg->sqlstate, "08006", 6);
    return false;
}

void pg_close(struct pg *pg)
{
    PQfinish(pg->connection);
    pg->connection = NULL;
}

PGresult *pg_query(struct pg *pg, const char *sql, int count, const char *const *parameters,
                   struct error *error)
{
    if (!pg_connect(pg, error))
        return NULL;
    PGresult *result =
        count ? PQexecParams(pg->connection, sql, count, NULL, parameters, NULL, NULL, 0)
              : PQexec(pg->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_IN)
        return result;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", state ? state : "08006");
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    pg_fail(error, "postgres", primary ? primary : PQerrorMessage(pg->connection));
    PQclear(result);
    if (PQstatus(pg->connection) != CONNECTION_OK)
        pg_close(pg);
    return NULL;
}

bool pg_is_transient(const struct pg *pg)
{
    static const char *const classes[] = {"08", "40", "53", "55", "57", "58"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (!strncmp(pg->sqlstate, classes[i], 2))
            return true;
    }
    return false;
}

void pg_array_text(struct buf *array, const char *text)
{
    buf_char(array, array->size ? ',' : '{');
    if (!text) {
        buf_text(array, "NULL");
        return;
    }
    buf_char(array, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_char(array, '\\');
        buf_char(array, *text);
    }
    buf_char(array, '"');
}

void pg_array_int(struct buf *array, int64_t value)
{
    buf_char(array, array->size ? ',' : '{');
    buf_int(array, value);
}

const char *pg_array_end(struct buf *array)
{
    buf_text(array, array->size ? "}" : "{}");
    return array->data;
}
