/* migrations.h - the numbered SQL files of lib/vote/sql, embedded by the build.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_MIGRATIONS_H
#define VOTE_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int number;
    const char *name; /* "0001_schema.sql" */
    const char *sql;
};

extern const struct migration migrations[]; /* in the order of their numbers */
extern const size_t migration_count;

#endif
