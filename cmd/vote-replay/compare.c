/* compare.c - the scratch database's rows beside the live ones, as sets, in the live snapshot.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/verify.h"

#include <stdio.h>
#include <string.h>

#define PAGE "5000"

static const char tables_sql[] =
    "create temporary table verify_votes (project_id text, user_id text, value smallint, seq "
    "bigint); "
    "create temporary table verify_projects (project_id text, upvotes bigint, downvotes bigint)";

static const char votes_sql[] = "select project_id, user_id, value, seq from vote.votes "
                                "where (project_id, user_id) > ($1, $2) order by 1, 2 limit " PAGE;
static const char projects_sql[] = "select project_id, upvotes, downvotes from vote.projects "
                                   "where (project_id, '') > ($1, $2) order by 1 limit " PAGE;

/* A vote that waits in the outbox is in the tables, and will be in the log. What the log has lost
 * can only make a live row newer, or be missing. */
static const char votes_diff_sql[] =
    "select coalesce(l.project_id, s.project_id), coalesce(l.user_id, s.user_id), l.value, "
    "s.value, "
    "       l.seq is null, s.seq is null "
    "  from vote.votes l full join verify_votes s "
    "    on l.project_id = s.project_id and l.user_id = s.user_id "
    " where (l.value, l.seq) is distinct from (s.value, s.seq) "
    "   and ($1 = 'complete' or l.seq is null or l.seq <= s.seq) "
    "   and not exists (select from vote.outbox o "
    "                    where o.value::jsonb ->> 'request_id' = l.request_id::text) "
    " order by 1, 2";

static const char projects_diff_sql[] =
    "select coalesce(l.project_id, s.project_id), coalesce(l.upvotes, 0), coalesce(l.downvotes, "
    "0), "
    "       coalesce(s.upvotes, 0), coalesce(s.downvotes, 0) "
    "  from vote.projects l full join verify_projects s on l.project_id = s.project_id "
    " where $1 = 'complete' and (coalesce(l.upvotes, 0), coalesce(l.downvotes, 0)) "
    "       is distinct from (coalesce(s.upvotes, 0), coalesce(s.downvotes, 0)) "
    "   and not exists (select from vote.outbox o where o.key = l.project_id) "
    " order by 1";

static bool copy_end(struct pg *pg, bool fine, struct error *error)
{
    PGresult *result;
    bool ended = PQputCopyEnd(pg->connection, fine ? NULL : "not read to the end") == 1;
    while ((result = PQgetResult(pg->connection))) {
        ended = ended && PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    return ended || (fine && error_set(error, ERROR_UNAVAILABLE, "postgres: %s",
                                       PQerrorMessage(pg->connection)));
}

/* Ids have no character that COPY must escape. */
static bool page_put(struct pg *live, const PGresult *rows, struct error *error)
{
    struct buf text = {0};
    for (int row = 0; row < PQntuples(rows); row++) {
        for (int column = 0; column < PQnfields(rows); column++) {
            buf_text(&text, column ? "\t" : "");
            buf_text(&text, PQgetvalue(rows, row, column));
        }
        buf_char(&text, '\n');
    }
    bool put = !text.size || PQputCopyData(live->connection, text.data, (int)text.size) == 1;
    buf_free(&text);
    return put || error_set(error, ERROR_UNAVAILABLE, "postgres: the connection was lost");
}

/* Brings a scratch table over page by page: the rows behind the last one's first two columns. */
static bool table_bring(struct verify *verify, const char *copy, const char *pages_sql,
                        struct error *error)
{
    char first[VOTE_ID_SIZE] = "", second[VOTE_ID_SIZE] = "";
    const char *parameters[] = {first, second};
    bool fine = verify_statement(&verify->live, copy, error);
    if (!fine)
        return false;
    for (int count = 1; fine && count;) {
        PGresult *rows = pg_query(&verify->scratch.pg, pages_sql, 2, parameters, error);
        count = rows ? PQntuples(rows) : 0;
        fine = rows && page_put(&verify->live, rows, error);
        if (count) {
            snprintf(first, sizeof first, "%s", PQgetvalue(rows, count - 1, 0));
            snprintf(second, sizeof second, "%s", PQgetvalue(rows, count - 1, 1));
        }
        PQclear(rows);
    }
    return copy_end(&verify->live, fine, error) && fine;
}

static void vote_print(const PGresult *rows, int row)
{
    const char *project = PQgetvalue(rows, row, 0), *user = PQgetvalue(rows, row, 1);
    const char *live = PQgetvalue(rows, row, 2), *replayed = PQgetvalue(rows, row, 3);
    if (*PQgetvalue(rows, row, 4) == 't')
        printf("%s: the vote of %s would be %s, its row is missing\n", project, user, replayed);
    else if (*PQgetvalue(rows, row, 5) == 't')
        printf("%s: the vote of %s is %s, the log has none\n", project, user, live);
    else if (strcmp(live, replayed) != 0)
        printf("%s: the vote of %s would be %s, it is %s\n", project, user, replayed, live);
    else
        printf("%s: the vote of %s is %s as it would be, of another request\n", project, user,
               live);
}

static void project_print(const PGresult *rows, int row)
{
    printf("%s: would have %s up %s down, has %s up %s down\n", PQgetvalue(rows, row, 0),
           PQgetvalue(rows, row, 3), PQgetvalue(rows, row, 4), PQgetvalue(rows, row, 1),
           PQgetvalue(rows, row, 2));
}

static bool rows_print(struct verify *verify, const char *sql,
                       void (*print)(const PGresult *rows, int row), struct error *error)
{
    const char *parameters[] = {verify->complete ? "complete" : "cut"};
    PGresult *rows = pg_query(&verify->live, sql, 1, parameters, error);
    for (int row = 0; rows && row < PQntuples(rows); row++, verify->differences++)
        print(rows, row);
    PQclear(rows);
    return rows != NULL;
}

bool verify_compare(struct verify *verify, struct error *error)
{
    struct pg *live = &verify->live;
    return verify_statement(live, tables_sql, error) &&
           table_bring(verify, "copy verify_votes from stdin", votes_sql, error) &&
           table_bring(verify, "copy verify_projects from stdin", projects_sql, error) &&
           verify_statement(live, "analyze verify_votes, verify_projects", error) &&
           rows_print(verify, votes_diff_sql, vote_print, error) &&
           rows_print(verify, projects_diff_sql, project_print, error);
}
