/* problem.c - errors as application/problem+json (RFC 9457). SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include <stdio.h>
#include <string.h>

void problem_reply(struct http_request *request, int status, const char *type, const char *detail,
                   const char *errors, const char *headers)
{
    struct ingest *ingest = request->context;
    struct buf body = {0};
    char request_id[REQUEST_ID_SIZE];
    request_id_make(request_id);
    metric_add(status < 500 ? ingest->metrics.refused_client : ingest->metrics.refused_server, 1);
    if (status >= 500 && !strcmp(request->method, "POST")) {
        metric_add(ingest->metrics.errors, 1);
        totals_failed(ingest->totals);
    }
    buf_char(&body, '{');
    buf_member(&body, "type");
    buf_format(&body, "\"https://votepipe.dev/problems/%s\"", type);
    buf_member_text(&body, "title", http_status_text(status));
    buf_member_int(&body, "status", status);
    buf_member_text(&body, "detail", detail);
    buf_member_text(&body, "request_id", request_id);
    if (errors) {
        buf_member(&body, "errors");
        buf_format(&body, "[%s]", errors);
    }
    buf_char(&body, '}');
    http_reply(request, status, "application/problem+json", headers, body.data, body.size);
    LOG_EVENT(ingest->log, LOG_DEBUG, "refused", LOG_STR("request_id", request_id),
              LOG_INT("status", status), LOG_STR("type", type));
    buf_free(&body);
}

void problem_unavailable(struct http_request *request, const struct error *error)
{
    struct ingest *ingest = request->context;
    log_error(ingest->log, LOG_WARN, "unavailable", error);
    problem_reply(request, 503, "temporary-reduced-capacity",
                  "the service cannot do this just now; try again", NULL, "Retry-After: 1\r\n");
}

void problem_unknown(struct http_request *request, const char *request_id,
                     const struct error *error)
{
    struct ingest *ingest = request->context;
    struct buf headers = {0};
    log_error(ingest->log, LOG_WARN, "outcome unknown", error);
    buf_format(&headers, "Retry-After: 1\r\nLocation: /api/votes/status/%s\r\n", request_id);
    problem_reply(request, 503, "outcome-unknown",
                  "whether the vote was kept cannot be told now, its status will tell; with the "
                  "same Idempotency-Key it can be sent again",
                  NULL, headers.data);
    buf_free(&headers);
}

void problem_refuse(struct http_request *request, int status, const char *allow)
{
    static const struct {
        int status;
        const char *type, *detail;
    } refusals[] = {
        {405, "method-not-allowed", "this resource does not take that method"},
        {400, "malformed", "it is not clear where the request ends"},
        {431, "head-too-large", "the request line and the headers are over 16 KiB"},
        {404, "not-found", "there is no such resource"},
    };
    char headers[128] = "";
    size_t i = 0;
    if (status == 405)
        snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    while (refusals[i].status != status && refusals[i].status != 404)
        i++;
    problem_reply(request, status, refusals[i].type, refusals[i].detail, NULL, headers);
}
