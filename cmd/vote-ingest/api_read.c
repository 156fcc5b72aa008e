/* api_read.c - GET /api/votes/status/<request_id> and GET /api/projects/<id>.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The members of a status in the order they are shown; the kind says how. */
enum member_kind { MEMBER_TEXT, MEMBER_NUMBER };

static const struct {
    const char *name;
    enum member_kind kind;
} status_members[] = {
    {"request_id", MEMBER_TEXT},
    {"state", MEMBER_TEXT},
    {"project_id", MEMBER_TEXT},
    {"vote_type", MEMBER_TEXT},
    {"action", MEMBER_TEXT},
    {"accepted_at", MEMBER_TEXT},
    {"partition", MEMBER_NUMBER},
    {"offset", MEMBER_NUMBER},
    {"committed_at", MEMBER_TEXT},
    {"version", MEMBER_NUMBER},
    {"commit_latency_ms", MEMBER_NUMBER},
    {"error", MEMBER_TEXT},
};
enum { STATUS_MEMBERS = sizeof status_members / sizeof *status_members };
enum { MEMBER_STATE = 1, MEMBER_ACCEPTED_AT = 5, MEMBER_PARTITION = 6 }; /* in that order */
enum { PENDING_LONG_MS = 2000 };

/* What is no number is null: Redis keeps text, and others may write it. */
static void number_put(struct buf *body, const char *name, const char *value)
{
    int64_t whole;
    char *end = "";
    double real = value ? strtod(value, &end) : 0;
    if (value && units_parse_int(value, &whole))
        buf_member_int(body, name, whole);
    else if (value && *value && !*end && isfinite(real))
        buf_member_double(body, name, real);
    else
        buf_member_text(body, name, NULL);
}

/* values[0] is the owner's user id, then one value for each member (NULL: null). */
static void status_reply(struct http_request *request, const struct token *token,
                         const char *const values[STATUS_MEMBERS + 1])
{
    struct buf body = {0};
    if (!values[0] || (!token->admin && strcmp(values[0], token->user_id) != 0)) {
        problem_reply(request, 404, "not-found", "there is no such request", NULL, NULL);
        return;
    }
    buf_text(&body, "{\"status\":\"success\",\"data\":{");
    for (size_t i = 0; i < STATUS_MEMBERS; i++) {
        const char *value = values[i + 1];
        if (status_members[i].kind == MEMBER_NUMBER)
            number_put(&body, status_members[i].name, value);
        else
            buf_member_text(&body, status_members[i].name, value && *value ? value : NULL);
    }
    buf_text(&body, "}}");
    http_reply(request, 200, "application/json", "Cache-Control: no-store\r\n", body.data,
               body.size);
    buf_free(&body);
}

/* The ledger knows what Redis has forgotten, or was not told, and says it as Redis does: a vote
 * that failed has no commit, and only one that failed an error. */
static const char status_sql[] =
    "select user_id, request_id, outcome, project_id, "
    "       case value when 1 then 'up' when -1 then 'down' else 'none' end, action, "
    "       to_char(accepted_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "       nullif(\"partition\", -1), nullif(\"offset\", -1), "
    "       to_char(done_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "       case when done_at is not null then version end, "
    "       (extract(epoch from date_trunc('milliseconds', done_at) - accepted_at) * "
    "1000)::bigint, "
    "       case when done_at is null then reason end "
    "  from vote.log cross join lateral "
    "       (select case when outcome <> 'failed' then committed_at end as done_at) as commit "
    " where request_id = $1::uuid";

static PGresult *ledger_ask(const struct http_request *request, struct error *error)
{
    const char *parameters[] = {request->parameter};
    return ingest_query(request->context, status_sql, 1, parameters, error);
}

/* Answers with the row that there is, or that there is none. */
static void ledger_reply(struct http_request *request, const struct token *token,
                         const PGresult *rows)
{
    const char *values[STATUS_MEMBERS + 1] = {0};
    for (int i = 0; PQntuples(rows) && i <= STATUS_MEMBERS; i++)
        values[i] = PQgetisnull(rows, 0, i) ? NULL : PQgetvalue(rows, 0, i);
    status_reply(request, token, values);
}

static void status_from_ledger(struct http_request *request, const struct token *token)
{
    struct error error;
    PGresult *rows = ledger_ask(request, &error);
    if (rows)
        ledger_reply(request, token, rows);
    else
        problem_unavailable(request, &error);
    PQclear(rows);
}

/* Whether no commit has written it: the vote is pending, or the sweep gave it up, which has no
 * place in the log to tell. */
static bool is_before_commit(const char *const values[STATUS_MEMBERS + 1])
{
    const char *state = values[MEMBER_STATE + 1], *partition = values[MEMBER_PARTITION + 1];
    return state && (!strcmp(state, "pending") || (!strcmp(state, "failed") && !partition));
}

/* Redis may have been away when the vote was committed: what no commit has written is asked for in
 * the ledger, unless it is fresh. True when that had it, and the answer was sent. */
static bool status_is_behind(struct http_request *request, const struct token *token,
                             const char *const values[STATUS_MEMBERS + 1])
{
    struct error error;
    int64_t accepted_at_ms;
    const char *accepted_at = values[MEMBER_ACCEPTED_AT + 1];
    if (!is_before_commit(values) || !accepted_at ||
        !clock_parse_ms(accepted_at, &accepted_at_ms) ||
        clock_wall_ms() - accepted_at_ms < PENDING_LONG_MS)
        return false;
    PGresult *rows = ledger_ask(request, &error);
    bool found = rows && PQntuples(rows) > 0;
    if (found)
        ledger_reply(request, token, rows);
    PQclear(rows);
    return found;
}

/* True when Redis had the request and the answer was sent. */
static bool status_from_redis(struct http_request *request, const struct token *token)
{
    struct ingest *ingest = request->context;
    const char *values[STATUS_MEMBERS + 1] = {0};
    struct redis_batch batch = {0};
    struct error error;
    char key[KEY_SIZE];
    key_of_request(key, request->parameter);
    redis_add(&batch, key,
              "HMGET %s user_id state project_id vote_type action accepted_at partition offset "
              "committed_at version commit_latency_ms error",
              key);
    bool answered = redis_run(ingest->redis, &batch, &error);
    const redisReply *reply = answered ? redis_reply(&batch, 0) : NULL;
    bool found = reply && reply->elements == STATUS_MEMBERS && reply->element[0]->str;
    if (found) {
        values[0] = reply->element[0]->str;
        values[1] = request->parameter;
        for (size_t i = 1; i < STATUS_MEMBERS; i++)
            values[i + 1] = reply->element[i]->str;
        if (!status_is_behind(request, token, values))
            status_reply(request, token, values);
    }
    redis_batch_free(&batch);
    return found;
}

void api_get_status(struct http_request *request)
{
    struct token token;
    if (!auth_check(request, &token))
        return;
    if (!request_id_is_valid(request->parameter, strlen(request->parameter)))
        problem_reply(request, 404, "not-found", "there is no such request", NULL, NULL);
    else if (!status_from_redis(request, &token))
        status_from_ledger(request, &token);
}

static void project_reply(struct http_request *request, PGresult *rows)
{
    struct buf body = {0};
    char headers[256], etag[40];
    snprintf(etag, sizeof etag, "\"v%s\"", PQgetvalue(rows, 0, 4));
    snprintf(headers, sizeof headers,
             "ETag: %s\r\nCache-Control: no-cache\r\nSurrogate-Key: project-%s\r\n", etag,
             request->parameter);
    if (http_etag_matches(request, etag)) {
        http_reply(request, 304, NULL, headers, NULL, 0);
        return;
    }
    buf_text(&body, "{\"status\":\"success\",\"data\":{");
    buf_member_text(&body, "id", request->parameter);
    buf_member_text(&body, "project_id", request->parameter);
    buf_format(&body,
               ",\"upvotes\":%s,\"downvotes\":%s,\"voteCount\":%s,\"community_score\":%s,"
               "\"version\":%s}}",
               PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 2),
               PQgetvalue(rows, 0, 3), PQgetvalue(rows, 0, 4));
    http_reply(request, 200, "application/json", headers, body.data, body.size);
    buf_free(&body);
}

void api_get_project(struct http_request *request)
{
    struct ingest *ingest = request->context;
    const char *parameters[] = {request->parameter};
    struct token token;
    struct error error;
    if (!auth_check(request, &token))
        return;
    if (!id_is_valid(request->parameter, strlen(request->parameter))) {
        problem_reply(request, 404, "unknown-project", "there is no such project", NULL, NULL);
        return;
    }
    PGresult *rows = ingest_query(ingest,
                                  "select upvotes, downvotes, vote_count, community_score, version "
                                  "from vote.projects where project_id = $1",
                                  1, parameters, &error);
    if (!rows)
        problem_unavailable(request, &error);
    else if (PQntuples(rows) == 0)
        problem_reply(request, 404, "unknown-project", "there is no such project", NULL, NULL);
    else
        project_reply(request, rows);
    PQclear(rows);
}
