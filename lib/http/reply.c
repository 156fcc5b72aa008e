/* reply.c - what a handler reads of its request, and its answer. SPDX-License-Identifier:
 * Apache-2.0 */
#include "base/origin.h"
#include "base/uri.h"
#include "http/server.h"

#include <stdio.h>
#include <string.h>

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "Unknown";
}

const char *http_header(const struct http_request *request, const char *name)
{
    return message_header(&request->connection->message, name);
}

bool http_etag_matches(const struct http_request *request, const char *etag)
{
    const char *known = http_header(request, "If-None-Match");
    return known && (!strcmp(known, "*") || strstr(known, etag));
}

bool http_query(const struct http_request *request, const char *name, char *value, size_t size)
{
    return uri_query(request->query, name, value, size);
}

enum http_body http_body(const struct http_request *request, const char **data, size_t *size)
{
    const struct message *message = &request->connection->message;
    *data = message->body.data ? message->body.data : "";
    *size = message->body.size;
    return message->state == MESSAGE_TOO_LARGE ? HTTP_BODY_TOO_LARGE
           : message->state == MESSAGE_BROKEN  ? HTTP_BODY_BROKEN
                                               : HTTP_BODY_OK;
}

/* With this answer. */
static bool connection_ends(const struct http_request *request)
{
    const struct connection *connection = request->connection;
    return !connection->message.keeps_alive || atomic_load(&connection->server->is_draining);
}

/* Lets pages of the configured origins read the answer. */
static void cors_put(const struct http_request *request, struct buf *out)
{
    if (!request->cors_origins)
        return;
    const char *origin = http_header(request, "Origin");
    buf_text(out, "Vary: Origin\r\n");
    if (!origin || !origin_is_listed(request->cors_origins, origin))
        return;
    buf_format(out,
               "Access-Control-Allow-Origin: %s\r\n"
               "Access-Control-Expose-Headers: Location, ETag, Retry-After, RateLimit, "
               "RateLimit-Policy, Idempotent-Replayed\r\n",
               origin);
}

void http_reply(struct http_request *request, int status, const char *content_type,
                const char *headers, const void *body, size_t size)
{
    struct buf *out = &request->connection->out;
    bool bodiless = status == 204 || status == 304;
    request->connection->message.keeps_alive = !connection_ends(request);
    buf_reserve(out, size + 512);
    buf_format(out, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    if (!bodiless)
        buf_format(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, size);
    cors_put(request, out);
    buf_format(out, "Connection: %s\r\n%s\r\n",
               request->connection->message.keeps_alive ? "keep-alive" : "close",
               headers ? headers : "");
    if (!bodiless && strcmp(request->method, "HEAD") != 0)
        buf_put(out, body, size);
    request->status = status;
}
