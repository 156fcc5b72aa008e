/* api_user.c - GET /api/votes/user: the caller's own votes, newest first, those ahead of their
 * commit included.
 *
 * Postgres has what is committed. vote:recent:{user} in Redis has what the user clicked lately,
 * with its seq: where that is newer than the row's, it is what the user sees. A vote keeps its seq
 * when it is committed, so the order by it, and a cursor in it, last.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/units.h"
#include "base/uri.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LIMIT_PRESET = 100,
    LIMIT_MAX = 1000,
    IDS_BYTES_MAX = 16 * 1024,
    CURSOR_SIZE = 128,
    NUMBER_SIZE = 24
};

/* A vote ahead of its commit. */
struct recent {
    const char *project_id; /* borrowed from the reply */
    int value;
    int64_t accepted_at_ms, seq;
    bool committed; /* the row is as new: not to be shown in its place */
};

/* A vote's place in the list; a cursor is "<seq>:<project_id>" of the last one shown. */
struct place {
    int64_t seq;
    char project_id[VOTE_ID_SIZE]; /* empty: before the first */
};

/* One call. */
struct user_list {
    struct http_request *http;
    struct token token;
    int64_t limit;
    char *ids; /* project_ids, as an array of Postgres; NULL: all of the user's */
    struct place after;
    struct redis_batch redis;
    struct recent *recents;
    size_t recent_count, recent_at; /* and which of them comes next */
    struct buf votes;
    int64_t shown;
};

void query_read_limit(struct http_request *request, int64_t preset, int64_t max, int64_t *value,
                      struct buf *problems)
{
    char text[NUMBER_SIZE], detail[64];
    *value = preset;
    if (!uri_query_has(request->query, "limit") ||
        (http_query(request, "limit", text, sizeof text) && units_parse_int(text, value) &&
         *value >= 1 && *value <= max))
        return;
    snprintf(detail, sizeof detail, "is no whole number from 1 to %" PRId64, max);
    problem_add(problems, "limit", detail);
}

bool query_is_fine(struct http_request *request, struct buf *problems)
{
    bool fine = problems->size == 0;
    if (!fine)
        problem_reply(request, 400, "malformed", "the query is malformed: see errors",
                      problems->data, NULL);
    buf_free(problems);
    return fine;
}

/* Reads project_ids=a,b,c into an array of Postgres. */
static void query_read_ids(struct user_list *list, struct buf *problems)
{
    char text[IDS_BYTES_MAX];
    struct buf array = {0};
    int64_t count = 0;
    if (!uri_query_has(list->http->query, "project_ids"))
        return;
    bool valid = http_query(list->http, "project_ids", text, sizeof text) && text[0];
    for (char *id = text, *next; valid && id; id = next) {
        if ((next = strchr(id, ',')))
            *next++ = '\0';
        valid = id_is_valid(id, strlen(id)) && ++count <= LIMIT_MAX;
        pg_array_text(&array, valid ? id : "");
    }
    if (!valid)
        problem_add(problems, "project_ids", "is not 1 to 1000 project ids by comma");
    pg_array_end(&array);
    list->ids = array.data;
}

static void query_read_cursor(struct user_list *list, struct buf *problems)
{
    char text[CURSOR_SIZE];
    if (!uri_query_has(list->http->query, "cursor"))
        return;
    char *colon = http_query(list->http, "cursor", text, sizeof text) ? strchr(text, ':') : NULL;
    if (colon)
        *colon++ = '\0';
    if (colon && units_parse_int(text, &list->after.seq) && id_is_valid(colon, strlen(colon)))
        snprintf(list->after.project_id, VOTE_ID_SIZE, "%s", colon);
    else
        problem_add(problems, "cursor", "is none that this service gave");
}

static bool list_read_query(struct user_list *list)
{
    struct buf problems = {0};
    bool of_projects = uri_query_has(list->http->query, "project_ids");
    query_read_limit(list->http, of_projects ? LIMIT_MAX : LIMIT_PRESET, LIMIT_MAX, &list->limit,
                     &problems);
    query_read_cursor(list, &problems);
    query_read_ids(list, &problems);
    return query_is_fine(list->http, &problems);
}

static bool list_has_id(const struct user_list *list, const char *project_id)
{
    char quoted[VOTE_ID_SIZE + 3];
    snprintf(quoted, sizeof quoted, "\"%s\"", project_id);
    return !list->ids || strstr(list->ids, quoted);
}

/* Without Redis the list is what is committed. */
static void recents_read(struct user_list *list)
{
    struct ingest *ingest = list->http->context;
    struct error error;
    char key[KEY_SIZE];
    key_of_recent(key, list->token.user_id);
    redis_add(&list->redis, key, "HGETALL %s", key);
    const redisReply *reply =
        redis_run(ingest->redis, &list->redis, &error) ? redis_reply(&list->redis, 0) : NULL;
    size_t count = reply ? reply->elements / 2 : 0;
    list->recents = calloc(count + 1, sizeof *list->recents);
    if (!list->recents)
        abort();
    for (size_t i = 0; i < count; i++) {
        struct recent *recent = &list->recents[list->recent_count];
        recent->project_id = reply->element[2 * i]->str;
        if (sscanf(reply->element[2 * i + 1]->str, "%d,%" SCNd64 ",%" SCNd64, &recent->value,
                   &recent->accepted_at_ms, &recent->seq) == 3 &&
            id_is_valid(recent->project_id, strlen(recent->project_id)) &&
            list_has_id(list, recent->project_id))
            list->recent_count++;
    }
}

static void list_add(struct user_list *list, const char *project_id, int value, int64_t updated_ms)
{
    char updated_at[CLOCK_TEXT_SIZE];
    if (vote_type_from(value) == VOTE_NONE)
        return;
    clock_format_ms(updated_ms, updated_at);
    if (list->votes.size)
        buf_char(&list->votes, ',');
    buf_char(&list->votes, '{');
    buf_member_text(&list->votes, "project_id", project_id);
    buf_member_text(&list->votes, "vote_type", vote_type_name(vote_type_from(value)));
    buf_member_text(&list->votes, "updated_at", updated_at);
    buf_char(&list->votes, '}');
    list->shown++;
}

/* The recent vote that stands in place of a row, or NULL. */
static struct recent *recent_over(struct user_list *list, const char *project_id, int64_t row_seq)
{
    for (size_t i = 0; i < list->recent_count; i++) {
        struct recent *recent = &list->recents[i];
        if (strcmp(recent->project_id, project_id) != 0)
            continue;
        recent->committed = recent->seq <= row_seq;
        return recent->committed ? NULL : recent;
    }
    return NULL;
}

/* Newest first. */
static int place_compare(int64_t seq_a, const char *project_a, int64_t seq_b, const char *project_b)
{
    return seq_a < seq_b ? 1 : seq_a > seq_b ? -1 : strcmp(project_b, project_a);
}

static int recent_compare(const void *left, const void *right)
{
    const struct recent *a = left, *b = right;
    return place_compare(a->seq, a->project_id, b->seq, b->project_id);
}

/* Which of the recent votes the rows have caught up with. */
static const char seqs_sql[] =
    "select project_id, seq from vote.votes where user_id = $1 and project_id = any ($2)";

static bool recents_compare(struct user_list *list, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < list->recent_count; i++)
        pg_array_text(&ids, list->recents[i].project_id);
    const char *parameters[] = {list->token.user_id, pg_array_end(&ids)};
    PGresult *rows = ingest_query(list->http->context, seqs_sql, 2, parameters, error);
    for (int row = 0; rows && row < PQntuples(rows); row++)
        recent_over(list, PQgetvalue(rows, row, 0), strtoll(PQgetvalue(rows, row, 1), NULL, 10));
    buf_free(&ids);
    PQclear(rows);
    return rows != NULL;
}

static const char votes_sql[] =
    "select project_id, value, seq, floor(extract(epoch from updated_at) * 1000)::bigint "
    "  from vote.votes where user_id = $1 and value <> 0 "
    "   and ($2::text[] is null or project_id = any ($2)) "
    "   and ($3::bigint is null or (seq, project_id collate \"C\") < ($3, $4)) "
    " order by seq desc, project_id collate \"C\" desc limit $5";

static PGresult *list_query(struct user_list *list, struct error *error)
{
    char limit[NUMBER_SIZE], seq[NUMBER_SIZE];
    bool is_first = !list->after.project_id[0];
    snprintf(limit, sizeof limit, "%" PRId64, list->limit + 1);
    snprintf(seq, sizeof seq, "%" PRId64, list->after.seq);
    const char *parameters[] = {list->token.user_id, list->ids, is_first ? NULL : seq,
                                is_first ? NULL : list->after.project_id, limit};
    return ingest_query(list->http->context, votes_sql, 5, parameters, error);
}

/* Leaves of the recent votes, newest first, those that the list is to have: no row is as new, also
 * none that came since recents_compare, and their place is behind the cursor. */
static void recents_pick(struct user_list *list, PGresult *rows)
{
    const struct place *after = &list->after;
    size_t kept = 0;
    for (int row = 0; row < PQntuples(rows); row++)
        recent_over(list, PQgetvalue(rows, row, 0), strtoll(PQgetvalue(rows, row, 2), NULL, 10));
    for (size_t i = 0; i < list->recent_count; i++) {
        struct recent *recent = &list->recents[i];
        if (!recent->committed)
            list->recents[kept++] = *recent;
    }
    list->recent_count = kept;
    qsort(list->recents, kept, sizeof *list->recents, recent_compare);
    while (after->project_id[0] && list->recent_at < kept) {
        const struct recent *recent = &list->recents[list->recent_at];
        if (place_compare(recent->seq, recent->project_id, after->seq, after->project_id) > 0)
            break;
        list->recent_at++;
    }
}

/* Adds the newer of the next row and the next recent vote; a row that a recent vote stands in place
 * of is passed over. */
static void list_step(struct user_list *list, PGresult *rows, int *row)
{
    const struct recent *recent =
        list->recent_at < list->recent_count ? &list->recents[list->recent_at] : NULL;
    bool has_row = *row < PQntuples(rows);
    const char *project_id = has_row ? PQgetvalue(rows, *row, 0) : NULL;
    int64_t seq = has_row ? strtoll(PQgetvalue(rows, *row, 2), NULL, 10) : 0;
    if (recent &&
        (!has_row || place_compare(recent->seq, recent->project_id, seq, project_id) < 0)) {
        list_add(list, recent->project_id, recent->value, recent->accepted_at_ms);
        list->recent_at++;
        project_id = recent->project_id;
        seq = recent->seq;
    } else {
        if (!recent_over(list, project_id, seq))
            list_add(list, project_id, (int)strtol(PQgetvalue(rows, *row, 1), NULL, 10),
                     strtoll(PQgetvalue(rows, *row, 3), NULL, 10));
        ++*row;
    }
    list->after.seq = seq;
    snprintf(list->after.project_id, VOTE_ID_SIZE, "%s", project_id);
}

/* A page: recent votes and rows by their places. Rows that were passed over leave it shorter. */
static void list_fill(struct user_list *list, PGresult *rows, struct buf *next)
{
    int row = 0;
    recents_pick(list, rows);
    while (list->shown < list->limit &&
           (list->recent_at < list->recent_count || row < PQntuples(rows)))
        list_step(list, rows, &row);
    if (list->recent_at < list->recent_count || PQntuples(rows) > list->limit ||
        row < PQntuples(rows))
        buf_format(next, "%" PRId64 ":%s", list->after.seq, list->after.project_id);
}

static void list_reply(struct user_list *list, PGresult *rows)
{
    struct buf body = {0}, next = {0};
    list_fill(list, rows, &next);
    buf_format(&body, "{\"status\":\"success\",\"data\":{\"votes\":[%s]",
               list->votes.data ? list->votes.data : "");
    buf_member_text(&body, "next_cursor", next.data);
    buf_text(&body, "}}");
    http_reply(list->http, 200, "application/json", "Cache-Control: no-store\r\n", body.data,
               body.size);
    buf_free(&body);
    buf_free(&next);
}

static void list_run(struct user_list *list)
{
    struct error error;
    recents_read(list);
    PGresult *rows = recents_compare(list, &error) ? list_query(list, &error) : NULL;
    if (rows)
        list_reply(list, rows);
    else
        problem_unavailable(list->http, &error);
    PQclear(rows);
}

void api_get_user_votes(struct http_request *http)
{
    struct user_list list = {.http = http};
    if (auth_check(http, &list.token) && list_read_query(&list))
        list_run(&list);
    redis_batch_free(&list.redis);
    buf_free(&list.votes);
    free(list.recents);
    free(list.ids);
}
