/* http.c - HTTP server by civetweb. SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"

#include "base/clock.h"
#include "base/origin.h"

#include <civetweb.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_BYTES_MAX = 16 * 1024, REQUEST_TIMEOUT_MS = 10000 };
enum { DISCARD_MAX = 2 * 1024 * 1024, LOG_TEXT_SIZE = 200 };

struct http_server {
    struct mg_context *civetweb;
    struct http_settings settings;
    _Atomic int in_hand, draining;
    char last_message[LOG_TEXT_SIZE]; /* why the start failed */
};

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
    return mg_get_header(request->connection, name);
}

bool http_query(const struct http_request *request, const char *name, char *value, size_t size)
{
    const char *query = request->query;
    return query && mg_get_var(query, strlen(query), name, value, size) >= 0;
}

/* What a refused body still has to send, up to a bound, so that the client reads our answer instead
 * of a reset; past the bound the connection ends. */
static void body_discard(struct http_request *request)
{
    char scratch[4096];
    size_t total = 0;
    int got;
    while (total < DISCARD_MAX && (got = mg_read(request->connection, scratch, sizeof scratch)) > 0)
        total += (size_t)got;
    mg_disable_connection_keep_alive(request->connection);
}

enum http_body http_read_body(struct http_request *request, size_t max_bytes, struct buf *body)
{
    char chunk[4096];
    int got;
    long long announced = mg_get_request_info(request->connection)->content_length;
    if (announced > (long long)max_bytes) {
        body_discard(request);
        return HTTP_BODY_TOO_LARGE;
    }
    int64_t until_us = clock_mono_us() + HTTP_BODY_TIMEOUT_US;
    while ((got = mg_read(request->connection, chunk, sizeof chunk)) > 0) {
        buf_put(body, chunk, (size_t)got);
        if (clock_mono_us() > until_us) {
            mg_disable_connection_keep_alive(request->connection);
            return HTTP_BODY_BROKEN;
        }
        if (body->size > max_bytes) {
            body_discard(request);
            return HTTP_BODY_TOO_LARGE;
        }
    }
    bool whole = got == 0 && (announced < 0 || body->size == (size_t)announced);
    return whole ? HTTP_BODY_OK : HTTP_BODY_BROKEN;
}

/* As civetweb itself decides (RFC 9112 section 9.3). */
static bool keeps_alive(const struct http_request *request)
{
    if (request->ends)
        return false;
    const char *connection = http_header(request, "Connection");
    if (connection && strcasestr(connection, "close"))
        return false;
    if (connection && strcasestr(connection, "keep-alive"))
        return true;
    const char *version = mg_get_request_info(request->connection)->http_version;
    return version && !strcmp(version, "1.1");
}

/* What is answered while the server drains is the last of its connection. */
static bool connection_ends(const struct http_request *request)
{
    const struct http_server *server = mg_get_user_data(mg_get_context(request->connection));
    if (!atomic_load(&server->draining))
        return false;
    mg_disable_connection_keep_alive(request->connection);
    return true;
}

/* Lets pages of the configured origins read the answer. */
static void cors_put(const struct http_request *request, struct buf *out)
{
    const char *origin = request->cors_origins ? http_header(request, "Origin") : NULL;
    if (request->cors_origins)
        buf_text(out, "Vary: Origin\r\n");
    if (!origin || !origin_is_listed(request->cors_origins, origin))
        return;
    buf_format(out,
               "Access-Control-Allow-Origin: %s\r\n"
               "Access-Control-Expose-Headers: Location, ETag, Retry-After, RateLimit, "
               "RateLimit-Policy, Idempotent-Replayed\r\n",
               origin);
}

/* Answers what a browser asks before a call of another origin. */
static void cors_preflight(struct http_request *request)
{
    http_reply(request, 204, NULL,
               "Access-Control-Allow-Methods: GET, POST\r\n"
               "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, "
               "If-None-Match, traceparent\r\n"
               "Access-Control-Max-Age: 600\r\n",
               NULL, 0);
}

void http_reply(struct http_request *request, int status, const char *content_type,
                const char *headers, const void *body, size_t size)
{
    struct buf out = {0};
    bool bodiless = status == 204 || status == 304;
    bool keep = !connection_ends(request) && keeps_alive(request);
    buf_reserve(&out, size + 512);
    buf_format(&out, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    if (!bodiless)
        buf_format(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, size);
    cors_put(request, &out);
    buf_format(&out, "Connection: %s\r\n%s\r\n", keep ? "keep-alive" : "close",
               headers ? headers : "");
    if (!bodiless && strcmp(request->method, "HEAD") != 0)
        buf_put(&out, body, size);
    mg_write(request->connection, out.data, out.size);
    buf_free(&out);
    request->replied = true;
    request->status = status;
}

/* Matches the path and fills the parameter. */
static bool route_matches(const struct http_route *route, struct http_request *request)
{
    const char *hole = strstr(route->path, "{}");
    if (!hole)
        return !strcmp(route->path, request->path);
    size_t before = (size_t)(hole - route->path);
    if (strncmp(route->path, request->path, before) != 0)
        return false;
    const char *value = request->path + before;
    size_t size = strlen(value);
    if (size == 0 || size >= sizeof request->parameter || strchr(value, '/'))
        return false;
    memcpy(request->parameter, value, size + 1);
    return true;
}

static bool method_matches(const struct http_route *route, const struct http_request *request)
{
    return !strcmp(route->method, request->method) ||
           (!strcmp(route->method, "GET") && !strcmp(request->method, "HEAD"));
}

static void http_dispatch(const struct http_server *server, struct http_request *request)
{
    struct buf allow = {0};
    for (size_t i = 0; i < server->settings.route_count; i++) {
        const struct http_route *route = &server->settings.routes[i];
        if (!route_matches(route, request))
            continue;
        if (method_matches(route, request)) {
            route->handler(request);
            buf_free(&allow);
            return;
        }
        buf_format(&allow, "%s%s", allow.size ? ", " : "", route->method);
    }
    server->settings.refuse(request, allow.size ? 405 : 404, allow.data);
    buf_free(&allow);
}

/* A blank before the colon: civetweb has put a NUL in the place of each. */
static bool name_is_odd(const struct mg_header *header)
{
    const char *end = header->name + strlen(header->name) + 1;
    return end < header->value && !*end;
}

/* Whether all who read the head, a proxy before us among them, find the same end of the body (RFC
 * 9112 section 6.3): else one of them takes for a request what the other one takes for a body. */
static bool framing_is_clear(const struct mg_request_info *info)
{
    int lengths = 0, codings = 0;
    for (int i = 0; i < info->num_headers; i++) {
        const struct mg_header *header = &info->http_headers[i];
        if (name_is_odd(header))
            return false;
        if (!strcasecmp(header->name, "Content-Length")) {
            lengths++;
            if (!*header->value || header->value[strspn(header->value, "0123456789")])
                return false;
        }
        if (!strcasecmp(header->name, "Transfer-Encoding")) {
            codings++;
            if (strcasecmp(header->value, "chunked") != 0 || strcmp(info->http_version, "1.1") != 0)
                return false;
        }
    }
    return lengths + codings <= 1;
}

static int http_on_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    atomic_fetch_add(&server->in_hand, 1);
    struct http_request request = {.connection = connection,
                                   .method = info->request_method,
                                   .path = info->local_uri,
                                   .query = info->query_string,
                                   .cors_origins = server->settings.cors_origins,
                                   .context = server->settings.context};
    request.ends = !framing_is_clear(info);
    if (request.ends) {
        mg_disable_connection_keep_alive(connection);
        server->settings.refuse(&request, 400, NULL);
    } else if (request.cors_origins && !strcmp(request.method, "OPTIONS")) {
        cors_preflight(&request);
    } else {
        http_dispatch(server, &request);
    }
    atomic_fetch_sub(&server->in_hand, 1);
    return 1;
}

static int http_on_message(const struct mg_connection *connection, const char *message)
{
    struct http_server *server = mg_get_user_data(mg_get_context(connection));
    if (server)
        snprintf(server->last_message, sizeof server->last_message, "%s", message);
    return 1; /* civetweb writes nothing itself */
}

bool http_start(struct http_server **result, const struct http_settings *settings,
                struct error *error)
{
    char threads[16], head_bytes[16], timeout_ms[16];
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        abort();
    server->settings = *settings;
    snprintf(threads, sizeof threads, "%d", settings->threads);
    snprintf(head_bytes, sizeof head_bytes, "%d", HEAD_BYTES_MAX);
    snprintf(timeout_ms, sizeof timeout_ms, "%d", REQUEST_TIMEOUT_MS);
    /* clang-format off */
    const char *options[] = {
        "listening_ports", settings->listen, "num_threads", threads,
        "enable_keep_alive", "yes", "keep_alive_timeout_ms", "30000",
        "request_timeout_ms", timeout_ms, "max_request_size", head_bytes, "tcp_nodelay", "1",
        "listen_backlog", "1024", "connection_queue", "1024", "decode_url", "yes",
        /* cross-origin calls are answered here, not by civetweb, which would let all of them in */
        "access_control_allow_origin", "", "access_control_allow_methods", "", NULL};
    /* clang-format on */
    /* Not mg_set_request_handler: the first requests may be there before it could be called, and
     * would get a 404 of civetweb's own. */
    struct mg_callbacks callbacks = {.begin_request = http_on_request,
                                     .log_message = http_on_message};
    mg_init_library(0);
    errno = 0;
    server->civetweb = mg_start(&callbacks, server, options);
    if (!server->civetweb) {
        error_set(error, ERROR_UNAVAILABLE, "unable to listen on %s: %s", settings->listen,
                  server->last_message[0] ? server->last_message : strerror(errno));
        free(server);
        return false;
    }
    *result = server;
    return true;
}

void http_drain(struct http_server *server)
{
    atomic_store(&server->draining, 1);
}

int http_in_hand(const struct http_server *server)
{
    return atomic_load(&server->in_hand);
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    mg_stop(server->civetweb);
    mg_exit_library();
    free(server);
}
