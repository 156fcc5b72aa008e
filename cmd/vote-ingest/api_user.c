/* api_user.c - GET /api/votes/user: the caller's own votes, newest first, those ahead of their
 * commit included.
 *
 * Postgres has what is committed. vote:recent:{user} in Redis has what the user clicked lately,
 * with its seq: where that is newer than the row's, it is what the user sees.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_PRESET = 100, LIMIT_MAX = 1000, IDS_BYTES_MAX = 16 * 1024, CURSOR_SIZE = 128 };

/* A vote ahead of its commit. */
struct recent {
    const char *project_id; /* borrowed from the reply */
    int value;
    int64_t accepted_at_ms, seq;
    bool committed; /* the row is as new: not to be shown in its place */
};

/* One call. */
struct user_list {
    struct http_request *http;
    struct token token;
    int64_t limit;
    char *ids;                /* project_ids, as an array of Postgres; NULL: all of the user's */
    char cursor[CURSOR_SIZE]; /* "<updated_at_us>:<project_id>" of the last vote shown; or empty */
    struct redis_batch redis;
    struct recent *recents;
    size_t recent_count;
    struct buf votes;
    int64_t shown;
};

bool query_read_limit(struct http_request *request, int64_t preset, int64_t max, int64_t *value)
{
    char text[24], detail[64];
    struct buf problems = {0};
    *value = preset;
    if (!http_query(request, "limit", text, sizeof text))
        return true;
    if (units_parse_int(text, value) && *value >= 1 && *value <= max)
        return true;
    snprintf(detail, sizeof detail, "is no whole number from 1 to %" PRId64, max);
    problem_add(&problems, "limit", detail);
    problem_reply(request, 400, "malformed", "the query is malformed: see errors", problems.data,
                  NULL);
    buf_free(&problems);
    return false;
}

static bool query_refuse(struct http_request *http, const char *field, const char *detail)
{
    struct buf problems = {0};
    problem_add(&problems, field, detail);
    problem_reply(http, 400, "malformed", "the query is malformed: see errors", problems.data,
                  NULL);
    buf_free(&problems);
    return false;
}

/* Reads project_ids=a,b,c into an array of Postgres. */
static bool query_read_ids(struct user_list *list)
{
    char text[IDS_BYTES_MAX];
    struct buf array = {0};
    int64_t count = 0;
    if (!list->http->query || !strstr(list->http->query, "project_ids="))
        return true;
    bool valid = http_query(list->http, "project_ids", text, sizeof text) && text[0];
    for (char *id = text, *next; valid && id; id = next) {
        if ((next = strchr(id, ',')))
            *next++ = '\0';
        valid = id_is_valid(id, strlen(id)) && ++count <= LIMIT_MAX;
        pg_array_text(&array, valid ? id : "");
    }
    if (!valid) {
        buf_free(&array);
        return query_refuse(list->http, "project_ids", "is not 1 to 1000 project ids by comma");
    }
    pg_array_end(&array);
    list->ids = array.data;
    list->limit = LIMIT_MAX;
    return true;
}

static bool query_read_cursor(struct user_list *list)
{
    char *end;
    if (!list->http->query || !strstr(list->http->query, "cursor="))
        return true;
    if (http_query(list->http, "cursor", list->cursor, sizeof list->cursor)) {
        strtoll(list->cursor, &end, 10);
        if (end != list->cursor && *end == ':' && id_is_valid(end + 1, strlen(end + 1)))
            return true;
    }
    return query_refuse(list->http, "cursor", "is none that this service gave");
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

static int recent_compare(const void *left, const void *right)
{
    const struct recent *a = left, *b = right;
    return a->accepted_at_ms < b->accepted_at_ms   ? 1
           : a->accepted_at_ms > b->accepted_at_ms ? -1
                                                   : 0;
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
    "select project_id, value, seq, (extract(epoch from updated_at) * 1000000)::bigint "
    "  from vote.votes where user_id = $1 and value <> 0 "
    "   and ($2::text[] is null or project_id = any ($2)) "
    "   and ($3::bigint is null "
    "        or (updated_at, project_id) < (to_timestamp(0) + $3::bigint * interval '1 "
    "microsecond', $4)) "
    " order by updated_at desc, project_id desc limit $5";

static PGresult *list_query(struct user_list *list, struct error *error)
{
    char limit[24];
    char *colon = strchr(list->cursor, ':');
    if (colon)
        *colon = '\0';
    snprintf(limit, sizeof limit, "%" PRId64, list->limit + 1);
    const char *parameters[] = {list->token.user_id, list->ids, colon ? list->cursor : NULL,
                                colon ? colon + 1 : NULL, limit};
    return ingest_query(list->http->context, votes_sql, 5, parameters, error);
}

/* What has been committed since recents_compare stands in a row now: newest, on the first page. */
static void recents_compare_again(struct user_list *list, PGresult *rows)
{
    for (int row = 0; row < PQntuples(rows); row++)
        recent_over(list, PQgetvalue(rows, row, 0), strtoll(PQgetvalue(rows, row, 2), NULL, 10));
}

/* The first page starts with the recent votes, which are newer than every row. */
static void list_fill(struct user_list *list, PGresult *rows, struct buf *next)
{
    bool first_page = !list->cursor[0];
    recents_compare_again(list, rows);
    qsort(list->recents, list->recent_count, sizeof *list->recents, recent_compare);
    for (size_t i = 0; first_page && i < list->recent_count; i++) {
        const struct recent *recent = &list->recents[i];
        if (!recent->committed)
            list_add(list, recent->project_id, recent->value, recent->accepted_at_ms);
    }
    for (int row = 0; row < PQntuples(rows) && row < list->limit; row++) {
        const char *project_id = PQgetvalue(rows, row, 0);
        int64_t updated_us = strtoll(PQgetvalue(rows, row, 3), NULL, 10);
        if (!recent_over(list, project_id, strtoll(PQgetvalue(rows, row, 2), NULL, 10)))
            list_add(list, project_id, (int)strtol(PQgetvalue(rows, row, 1), NULL, 10),
                     updated_us / 1000);
        if (row + 1 == list->limit && PQntuples(rows) > list->limit)
            buf_format(next, "%" PRId64 ":%s", updated_us, project_id);
    }
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
    if (!auth_check(http, &list.token) ||
        !query_read_limit(http, LIMIT_PRESET, LIMIT_MAX, &list.limit) ||
        !query_read_cursor(&list) || !query_read_ids(&list))
        return;
    list_run(&list);
    redis_batch_free(&list.redis);
    buf_free(&list.votes);
    free(list.recents);
    free(list.ids);
}
