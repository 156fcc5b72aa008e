/* route.c - which handler a request goes to, and in what thread. SPDX-License-Identifier:
 * Apache-2.0 */
#include "http/server.h"

#include <string.h>

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

static void run_handler(struct http_request *request)
{
    request->handler(request);
    http_done(request);
}

/* NULL: there is none, and `allow` has the methods of the path. */
static const struct http_route *route_find(const struct http_settings *settings,
                                           struct http_request *request, struct buf *allow)
{
    for (size_t i = 0; i < settings->route_count; i++) {
        const struct http_route *route = &settings->routes[i];
        if (!route_matches(route, request))
            continue;
        if (method_matches(route, request))
            return route;
        buf_format(allow, "%s%s%s", allow->size ? ", " : "", route->method,
                   strcmp(route->method, "GET") ? "" : ", HEAD");
    }
    return NULL;
}

static void request_refuse(struct http_request *request, int status, const char *allow)
{
    request->connection->server->settings.refuse(request, status, allow);
    http_done(request);
}

static void http_route(struct http_request *request)
{
    struct buf allow = {0};
    const struct http_settings *settings = &request->connection->server->settings;
    const struct http_route *route = route_find(settings, request, &allow);
    if (!route) {
        request_refuse(request, allow.size ? 405 : 404, allow.data);
    } else if (route->kind == HTTP_PROMPT) {
        route->handler(request);
    } else {
        request->handler = route->handler;
        http_work(request, run_handler);
    }
    buf_free(&allow);
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
    http_done(request);
}

void request_dispatch(struct connection *connection)
{
    struct http_server *server = connection->server;
    struct message *message = &connection->message;
    struct http_request *request = &connection->request;
    *request = (struct http_request){.connection = connection,
                                     .method = http_method_str(message->parser.method),
                                     .path = "",
                                     .cors_origins = server->settings.cors_origins,
                                     .context = server->settings.context};
    connection->in_hand = true;
    deadline_clear(&connection->deadline);
    if (message->state == MESSAGE_REFUSED)
        request_refuse(request, message->refusal, NULL);
    else if (!message_target(message, &request->path, &request->query))
        request_refuse(request, 400, NULL);
    else if (request->cors_origins && !strcmp(request->method, "OPTIONS"))
        cors_preflight(request);
    else
        http_route(request);
}
