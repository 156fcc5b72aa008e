/* pg.c - a thin manner around libpq. SPDX-License-Identifier: Apache-2.0 */
#include "pg/pg.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_TIMEOUT_US = 5 * 1000 * 1000, FAREWELL_READS = 4 };

/* What libpq says of a text that it cannot read, without the parts that it repeats in quotes. */
static bool url_refuse(const char *message, struct error *error)
{
    struct buf said = {0};
    bool quoted = false;
    for (const char *c = message; *c && *c != '\n'; c++) {
        if (*c == '"' && (quoted = !quoted))
            buf_text(&said, "\"***\"");
        else if (*c != '"' && !quoted)
            buf_char(&said, *c);
    }
    error_set(error, ERROR_CONFIG, "no connection string: %s", said.data ? said.data : "");
    buf_free(&said);
    return false;
}

/* A password with an `@` or `/` as it is ends up as a part of the host, port or database, which
 * every later message would tell. */
static bool url_is_encoded(const char *url, const PQconninfoOption *options)
{
    bool is_uri = strstr(url, "://") != NULL;
    for (; is_uri && options->keyword; options++) {
        const char *value = options->val ? options->val : "";
        bool is_port = !strcmp(options->keyword, "port");
        bool is_place = !strcmp(options->keyword, "host") || !strcmp(options->keyword, "dbname");
        if ((is_port && value[strspn(value, "0123456789,")]) || (is_place && strchr(value, '@')))
            return false;
    }
    return true;
}

static bool pg_url_check(const char *url, struct error *error)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &why);
    bool parsed = options != NULL, encoded = parsed && url_is_encoded(url, options);
    if (!parsed)
        url_refuse(why ? why : "", error);
    else if (!encoded)
        error_set(error, ERROR_CONFIG,
                  "a port that is no number, or an @ in host or database: "
                  "a user's or password's @ : / is written %%40 %%3A %%2F");
    PQconninfoFree(options);
    PQfreemem(why);
    return encoded;
}

/* clang-format off */
const struct option pg_options[] = {
    {.name = "database-url", .type = OPTION_TEXT, .offset = offsetof(struct pg_config, url),
     .preset = "postgresql://votepipe@127.0.0.1:15432/votepipe", .argument = "URL",
     .flags = OPTION_URL | OPTION_FILE, .check = pg_url_check, .summary = "Postgres, as libpq reads it"},
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

/* The connection cannot be trusted any more: what was sent may or may not be carried out. */
static void pg_give_up(struct pg *pg, struct error *error)
{
    const char *message = PQerrorMessage(pg->connection);
    pg_fail(error, "postgres", *message ? message : "no answer in time");
    memcpy(pg->sqlstate, "08006", 6);
    pg_close(pg);
}

static void pg_diagnose(struct pg *pg, const PGresult *result, struct error *error)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    const char *column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", state ? state : "08006");
    snprintf(pg->refused_by, sizeof pg->refused_by, "%s%s%.*s",
             constraint ? "constraint "
             : column   ? "column "
                        : "",
             constraint ? constraint
             : column   ? column
                        : "",
             constraint || column ? 0 : (int)strcspn(context ? context : "", "\n"),
             context ? context : "");
    pg_fail(error, "postgres", primary ? primary : PQerrorMessage(pg->connection));
}

bool pg_send(struct pg *pg, const char *sql, int count, const char *const *parameters,
             struct error *error)
{
    if (!pg_connect(pg, error))
        return false;
    pg->deadline_us = pg->timeout_us ? clock_mono_us() + pg->timeout_us : INT64_MAX;
    if (count ? PQsendQueryParams(pg->connection, sql, count, NULL, parameters, NULL, NULL, 0)
              : PQsendQuery(pg->connection, sql))
        return true;
    pg_give_up(pg, error);
    return false;
}

bool pg_is_answered(struct pg *pg, int wait_ms)
{
    int64_t until_us = clock_mono_us() + (int64_t)wait_ms * 1000;
    if (until_us > pg->deadline_us)
        until_us = pg->deadline_us;
    while (PQisBusy(pg->connection)) {
        if (!pg_await(pg, false, until_us))
            return until_us == pg->deadline_us;
        if (!PQconsumeInput(pg->connection))
            return true; /* pg_receive tells what happened */
    }
    return true;
}

PGresult *pg_receive(struct pg *pg, struct error *error)
{
    PGresult *result = pg_result_until(pg, pg->deadline_us);
    if (!result) {
        pg_give_up(pg, error);
        return NULL;
    }
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_IN)
        return result;
    pg_diagnose(pg, result, error);
    PQclear(result);
    if (PQstatus(pg->connection) != CONNECTION_OK)
        pg_close(pg);
    return NULL;
}

PGresult *pg_query(struct pg *pg, const char *sql, int count, const char *const *parameters,
                   struct error *error)
{
    return pg_send(pg, sql, count, parameters, error) ? pg_receive(pg, error) : NULL;
}

/* What a later try may not find any more; the others are about the row itself. A schema that is not
 * there yet is no fault of the votes either. */
static const struct {
    const char *state; /* the class: its first two characters */
    const char *name;
} transient_classes[] = {
    {"08", "connection"}, {"57", "operator"},  {"40", "conflict"}, {"55", "conflict"},
    {"53", "resources"},  {"58", "resources"}, {"25", "schema"},   {"28", "schema"},
    {"3D", "schema"},     {"3F", "schema"},    {"42", "schema"},   {"0A", "schema"},
    {"F0", "internal"},   {"72", "internal"},  {"XX", "internal"},
};

const char *pg_state_class(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof transient_classes / sizeof *transient_classes; i++) {
        if (!strncmp(sqlstate, transient_classes[i].state, 2))
            return transient_classes[i].name;
    }
    return NULL;
}

const char *pg_transient_class(const struct pg *pg)
{
    return pg_state_class(pg->sqlstate);
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

void pg_bytea(struct buf *text, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *byte = bytes;
    buf_text(text, "\\x");
    buf_reserve(text, 2 * size);
    for (size_t i = 0; i < size; i++) {
        buf_char(text, digits[byte[i] >> 4]);
        buf_char(text, digits[byte[i] & 15]);
    }
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
