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

void problem_refuse(struct http_request *request, int status, const char *allow)
{
    char headers[128] = "";
    if (status == 405)
        snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    const char *type = status == 405   ? "method-not-allowed"
                       : status == 400 ? "malformed"
                                       : "not-found";
    const char *detail = status == 405   ? "this resource does not take that method"
                         : status == 400 ? "it is not clear where the request ends"
                                         : "there is no such resource";
    problem_reply(request, status, type, detail, NULL, headers);
}
