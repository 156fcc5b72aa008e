/* pg.c - a thin manner around libpq. SPDX-License-Identifier: Apache-2.0 */
#include "pg/pg.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_US = 5 * 1000 * 1000, FAREWELL_READS = 4 };

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

/* Waits for the socket; false when the deadline has come. */
static bool pg_await(const struct pg *pg, bool for_writing, int64_t deadline_us)
{
    struct pollfd fd = {.fd = PQsocket(pg->connection), .events = for_writing ? POLLOUT : POLLIN};
    int ready;
    do
        ready = poll(&fd, 1, clock_until_ms(deadline_us));
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static bool pg_connect_wait(struct pg *pg, int64_t deadline_us)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
        if (!pg_await(pg, status == PGRES_POLLING_WRITING, deadline_us))
            return false;
        status = PQconnectPoll(pg->connection);
    }
    return true;
}

/* An idle connection has nothing to read, unless the server has ended it meanwhile. */
static bool pg_is_alive(const struct pg *pg)
{
    struct pollfd fd = {.fd = PQsocket(pg->connection), .events = POLLIN};
    /* First its farewell is read, then the end. */
    for (int i = 0; i < FAREWELL_READS; i++) {
        if (PQtransactionStatus(pg->connection) != PQTRANS_IDLE || poll(&fd, 1, 0) <= 0)
            break;
        if (!PQconsumeInput(pg->connection))
            return false;
    }
    return PQstatus(pg->connection) == CONNECTION_OK;
}

bool pg_connect(struct pg *pg, struct error *error)
{
    char options[64];
    if (pg->connection && pg_is_alive(pg))
        return true;
    pg_close(pg);
    /* The server gives up with us, so that nothing happens behind the caller's back. */
    snprintf(options, sizeof options, "-c statement_timeout=%lld",
             (long long)(pg->timeout_us / 1000));
    const char *keywords[] = {"dbname", "application_name", "options", "client_encoding", NULL};
    const char *values[] = {pg->url, pg->name, pg->timeout_us ? options : NULL, "UTF8", NULL};
    int64_t limit_us = pg->timeout_us ? pg->timeout_us : CONNECT_TIMEOUT_US;
    pg->connection = PQconnectStartParams(keywords, values, 1);
    bool in_time = PQstatus(pg->connection) == CONNECTION_BAD ||
                   pg_connect_wait(pg, clock_mono_us() + limit_us);
    if (PQstatus(pg->connection) == CONNECTION_OK)
        return true;
    pg_fail(error, "unable to connect to postgres",
            in_time ? PQerrorMessage(pg->connection) : "no answer in time");
    pg_close(pg);
    memcpy(pg->sqlstate, "08006", 6);
    return false;
}

void pg_close(struct pg *pg)
{
    PQfinish(pg->connection);
    pg->connection = NULL;
}

/* The last result of the statement that was sent, or NULL when none comes in time. */
static PGresult *pg_result_until(struct pg *pg, int64_t deadline_us)
{
    PGresult *last = NULL, *next;
    for (;;) {
        while (PQisBusy(pg->connection)) {
            if (!pg_await(pg, false, deadline_us)) {
                PQclear(last);
                return NULL;
            }
            if (!PQconsumeInput(pg->connection))
                break; /* PQgetResult tells what happened */
        }
        if (!(next = PQgetResult(pg->connection)))
            return last;
        PQclear(last);
        last = next;
        if (PQresultStatus(last) == PGRES_COPY_IN)
            return last;
    }
}

static PGresult *pg_execute(struct pg *pg, const char *sql, int count,
                            const char *const *parameters)
{
    if (!pg->timeout_us)
        return count ? PQexecParams(pg->connection, sql, count, NULL, parameters, NULL, NULL, 0)
                     : PQexec(pg->connection, sql);
    int64_t deadline_us = clock_mono_us() + pg->timeout_us;
    int sent = count
                   ? PQsendQueryParams(pg->connection, sql, count, NULL, parameters, NULL, NULL, 0)
                   : PQsendQuery(pg->connection, sql);
    return sent ? pg_result_until(pg, deadline_us) : NULL;
}

PGresult *pg_query(struct pg *pg, const char *sql, int count, const char *const *parameters,
                   struct error *error)
{
    if (!pg_connect(pg, error))
        return NULL;
    PGresult *result = pg_execute(pg, sql, count, parameters);
    if (!result) {
        const char *message = PQerrorMessage(pg->connection);
        pg_fail(error, "postgres", *message ? message : "no answer in time");
        memcpy(pg->sqlstate, "08006", 6);
        pg_close(pg);
        return NULL;
    }
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
