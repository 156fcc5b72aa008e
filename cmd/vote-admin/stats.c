/* stats.c - vote-admin stats: what there is, and what the ledger tells of the last minutes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_SIZE = 24 };

const struct option stats_options[STATS_OPTION_COUNT] = {
    {.name = "since",
     .type = OPTION_DURATION,
     ADMIN_AT(since_us),
     .preset = "15m",
     .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY,
     .min = 1000000,
     .max = INT64_C(31536000000000),
     .summary = "how far back outcomes and latencies go"},
    {.name = "top",
     .type = OPTION_INT,
     ADMIN_AT(top),
     .preset = "10",
     .argument = "N",
     .flags = OPTION_FLAG_ONLY,
     .min = 0,
     .max = 1000,
     .summary = "projects to name"},
    OPTION_FORMAT,
};

/* A part of what is told: an SQL statement of one row or many, whose columns name themselves. */
struct part {
    const char *name;  /* in JSON */
    const char *title; /* over the columns of the text; NULL: one row, a line each column */
    const char *sql;   /* $1: how far back, in seconds; $2: how many projects */
};

#define SINCE "committed_at > now() - $1::float8 * interval '1 second' "

static const struct part parts[] = {
    {"totals", NULL,
     "select count(*) as projects, coalesce(sum(upvotes), 0) as upvotes, "
     "       coalesce(sum(downvotes), 0) as downvotes, "
     "       (select count(distinct user_id) from vote.votes where value <> 0) as users, "
     "       (select count(*) from vote.log) as requests "
     "  from vote.projects where $1::float8 is not null and $2::bigint is not null"},
    {"minutes", "Votes by minute",
     "select to_char(m at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"') as minute, "
     "       count(l.request_id) as votes, "
     "       round(count(l.request_id) / greatest(extract(epoch from "
     "             least(now(), m + interval '1 minute') - m), 1), 1) as votes_per_s "
     "  from generate_series(date_trunc('minute', now()) - interval '9 minutes', "
     "                       date_trunc('minute', now()), interval '1 minute') m "
     "  left join vote.log l on l.committed_at >= m and l.committed_at < m + interval '1 minute' "
     "       and l.committed_at > now() - interval '11 minutes' "
     " where $1::float8 is not null and $2::bigint is not null group by m order by m"},
    {"outcomes", "Outcomes",
     "select outcome, count(*) as requests from vote.log "
     " where " SINCE "and $2::bigint is not null group by outcome order by 2 desc"},
    {"latency_ms", NULL,
     "select round(p[1]::numeric, 1) as p50, round(p[2]::numeric, 1) as p95, "
     "       round(p[3]::numeric, 1) as p99 "
     "  from (select percentile_cont(array[0.5, 0.95, 0.99]) "
     "               within group (order by commit_latency_ms) as p "
     "          from vote.log where " SINCE "and $2::bigint is not null) l"},
    {"top", "Top projects",
     "select p.project_id, p.upvotes, p.downvotes, round(p.community_score::numeric, 4) as score, "
     "       l.requests "
     "  from (select project_id, count(*) as requests from vote.log where " SINCE
     "         group by project_id order by 2 desc, 1 limit $2::bigint) l "
     "  join vote.projects p using (project_id) order by l.requests desc, p.project_id"},
};

/* A number stays one in JSON; what Postgres has as text is text. */
static bool column_is_text(PGresult *rows, int column)
{
    enum { TEXT_OID = 25 };
    return PQftype(rows, column) == TEXT_OID;
}

static void row_encode(PGresult *rows, int row, struct buf *json)
{
    buf_char(json, '{');
    for (int c = 0; c < PQnfields(rows); c++) {
        const char *value = PQgetisnull(rows, row, c) ? NULL : PQgetvalue(rows, row, c);
        if (!value || column_is_text(rows, c)) {
            buf_member_text(json, PQfname(rows, c), value);
        } else {
            buf_member(json, PQfname(rows, c));
            buf_text(json, value);
        }
    }
    buf_char(json, '}');
}

static void part_encode(const struct part *part, PGresult *rows, struct buf *json)
{
    buf_member(json, part->name);
    if (!part->title) {
        row_encode(rows, 0, json);
        return;
    }
    buf_char(json, '[');
    for (int row = 0; row < PQntuples(rows); row++) {
        if (row)
            buf_char(json, ',');
        row_encode(rows, row, json);
    }
    buf_char(json, ']');
}

static const char *cell(PGresult *rows, int row, int column)
{
    if (row < 0)
        return PQfname(rows, column);
    return PQgetisnull(rows, row, column) ? "-" : PQgetvalue(rows, row, column);
}

static int column_width(PGresult *rows, int column)
{
    size_t width = 0;
    for (int row = -1; row < PQntuples(rows); row++) {
        size_t size = strlen(cell(rows, row, column));
        width = size > width ? size : width;
    }
    return (int)width;
}

/* Aligned columns: texts to the left, numbers to the right. */
static void table_print(PGresult *rows)
{
    for (int row = -1; row < PQntuples(rows); row++) {
        for (int c = 0; c < PQnfields(rows); c++) {
            int width = column_width(rows, c);
            printf("  %*s", column_is_text(rows, c) ? -width : width, cell(rows, row, c));
        }
        putchar('\n');
    }
}

static void part_print(const struct part *part, PGresult *rows)
{
    if (part->title) {
        printf("\n%s\n", part->title);
        table_print(rows);
        return;
    }
    printf("%s%s", part == parts ? "" : "\n", part->name);
    for (int c = 0; c < PQnfields(rows); c++)
        printf("  %s %s", PQfname(rows, c), cell(rows, 0, c));
    putchar('\n');
}

static bool parts_run(const struct admin_config *config, struct pg *pg, struct buf *json,
                      struct error *error)
{
    char since[NUMBER_SIZE], top[NUMBER_SIZE];
    const char *parameters[] = {since, top};
    snprintf(since, sizeof since, "%.6f", (double)config->since_us / 1e6);
    snprintf(top, sizeof top, "%" PRId64, config->top);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        PGresult *rows = pg_query(pg, parts[i].sql, 2, parameters, error);
        if (!rows)
            return false;
        if (config->format == FORMAT_JSON)
            part_encode(&parts[i], rows, json);
        else
            part_print(&parts[i], rows);
        PQclear(rows);
    }
    return true;
}

bool stats_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    const struct admin_config *config = context;
    struct pg pg = {.url = config->pg.url, .name = "vote-admin"};
    struct buf json = {0};
    buf_char(&json, '{');
    bool fine = parts_run(config, &pg, &json, error);
    buf_char(&json, '}');
    if (fine && config->format == FORMAT_JSON)
        puts(json.data);
    buf_free(&json);
    pg_close(&pg);
    return fine;
}
