/* pg.h - a thin manner around libpq: connect with a deadline, run a statement, say what failed.
 *
 * A struct pg is used by one thread at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef PG_PG_H
#define PG_PG_H

#include "base/buf.h"
#include "base/error.h"
#include "base/option.h"

#include <libpq-fe.h>

#define PG_FENCED          "VP001" /* raised by vote.advance */
#define PG_CONNECTION_LOST "08006" /* before there was an answer, or it did not come in time */

struct pg {
    const char *url;    /* borrowed: a libpq connection string or URI */
    const char *name;   /* borrowed: application_name */
    int64_t timeout_us; /* for connecting and for each statement; 0: no limit but 5 s to connect */
    PGconn *connection;
    int64_t deadline_us;  /* of the statement under way (monotonic) */
    char sqlstate[6];     /* of the last failure; PG_CONNECTION_LOST when the connection is gone */
    char refused_by[120]; /* of the last failure: the constraint, column or function that refused,
                             without any value; may be empty */
};

struct pg_config {
    const char *url;
};

/* --database-url, for a struct pg_config. */
extern const struct option pg_options[];
enum { PG_OPTION_COUNT = 1 };

/* Connects when there is no living connection (at most 5 s); true when there is one. */
bool pg_connect(struct pg *pg, struct error *error) __attribute__((warn_unused_result));
void pg_close(struct pg *pg);

/* Runs one statement (its own transaction unless one is open) with text parameters, connecting
 * first where needed. Returns its result, which the caller clears, only when the statement has
 * succeeded and, outside a transaction block, is committed. On failure NULL, the error, and
 * `sqlstate`; after a lost connection, or when the time is over, the statement may or may not have
 * been committed. */
PGresult *pg_query(struct pg *pg, const char *sql, int count, const char *const *parameters,
                   struct error *error) __attribute__((warn_unused_result));

/* The two halves of pg_query, for work in between. After pg_send has returned true, pg_receive must
 * be called before any other statement; it returns as pg_query does. */
bool pg_send(struct pg *pg, const char *sql, int count, const char *const *parameters,
             struct error *error) __attribute__((warn_unused_result));
PGresult *pg_receive(struct pg *pg, struct error *error) __attribute__((warn_unused_result));

/* Waits up to `wait_ms` for the answer to pg_send; true when pg_receive will not wait. */
bool pg_is_answered(struct pg *pg, int wait_ms);

/* Why the last failure may pass by itself, or once somebody has mended the server: "connection",
 * "operator", "conflict" (serialization, deadlock), "resources", "schema", "internal". NULL when
 * the row itself was refused, which no later try changes: data, constraint, raised by a trigger. */
const char *pg_transient_class(const struct pg *pg);

/* The same of an SQLSTATE that is known from elsewhere. */
const char *pg_state_class(const char *sqlstate);

/* Says who refused the row at the last failure, never what was refused: the server's own words may
 * tell of a user's vote. The error of such a failure is in the same words. */
void pg_refusal(const struct pg *pg, char *text, size_t size);

/* Text of a bytea. */
void pg_bytea(struct buf *text, const void *bytes, size_t size);

/* Text of a Postgres array, element by element: "{" is put by the first, pg_array_end puts "}". */
void pg_array_text(struct buf *array, const char *text); /* NULL is NULL */
void pg_array_int(struct buf *array, int64_t value);
const char *pg_array_end(struct buf *array);

#endif
