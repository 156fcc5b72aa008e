/* http.c - HTTP long-polling (RFC 9112, parsed by http_parser), and what comes before a WebSocket.
 *
 * Every answer is one write. A poll that has nothing to fetch stays a request without an answer
 * until the engine wakes it; a request in front of the answer to the one before ends the
 * connection. SPDX-License-Identifier: Apache-2.0 */
#include "base/origin.h"
#include "base/uri.h"
#include "socketio/connection.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 8 * 1024, QUERY_SIZE = 64 };
enum { REQUEST_US = 10 * 1000 * 1000, KEEPALIVE_US = 30 * 1000 * 1000 };

static const char TYPE_TEXT[] = "text/plain; charset=UTF-8";
static const char TYPE_JSON[] = "application/json";

void request_free(struct connection *connection)
{
    struct request *request = connection->request;
    if (!request)
        return;
    buf_free(&request->url);
    buf_free(&request->field);
    buf_free(&request->value);
    buf_free(&request->origin);
    buf_free(&request->key);
    buf_free(&request->version);
    buf_free(&request->extensions);
    free(request);
    connection->request = NULL;
}

/* --- Answers --------------------------------------------------------------------------------- */

/* Fetch standard, "CORS protocol"; credentials are allowed as socket.io-client's withCredentials
 * asks for. */
static void put_cors(const struct connection *connection, struct buf *out)
{
    const char *origin = connection->request->origin.data;
    const char *origins =
        connection->server ? engine_config(connection->server)->cors_origins : NULL;
    if (!origins)
        return;
    buf_text(out, "Vary: Origin\r\n");
    if (origin && origin_is_listed(origins, origin))
        buf_format(out,
                   "Access-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n",
                   origin);
}

static const char *status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 413: return "Payload Too Large";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
    }
}

/* Answers the request under way, which ends with it. */
static void http_answer(struct connection *connection, int status, const char *type,
                        const char *headers, const void *body, size_t size)
{
    struct buf out = {0};
    bool keeps_alive = connection->request->keeps_alive;
    buf_format(&out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    if (status != 204)
        buf_format(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, size);
    buf_format(&out, "Cache-Control: no-store\r\nConnection: %s\r\n",
               keeps_alive ? "keep-alive" : "close");
    put_cors(connection, &out);
    buf_format(&out, "%s\r\n", headers);
    buf_put(&out, body, size);
    request_free(connection);
    connection_write(connection, out.data, out.size);
    buf_free(&out);
    if (keeps_alive)
        connection_set_deadline(connection, &connection->transport->keepalives, KEEPALIVE_US);
    else
        connection_finish(connection);
}

static void answer_text(struct connection *connection, int status, const char *text)
{
    http_answer(connection, status, TYPE_TEXT, "", text, strlen(text));
}

static void answer_error(struct connection *connection, enum engine_error error)
{
    struct buf body = {0};
    buf_format(&body, "{\"code\":%d,\"message\":\"%s\"}", error, engine_error_text(error));
    http_answer(connection, error == ENGINE_FORBIDDEN ? 403 : 400, TYPE_JSON, "", body.data,
                body.size);
    buf_free(&body);
}

static void answer_full(struct connection *connection)
{
    static const char BODY[] = "{\"message\":\"Server is full\"}";
    http_answer(connection, 503, TYPE_JSON, "Retry-After: 5\r\n", BODY, sizeof BODY - 1);
}

static void answer_preflight(struct connection *connection)
{
    http_answer(connection, 204, NULL,
                "Access-Control-Allow-Methods: GET, POST\r\n"
                "Access-Control-Allow-Headers: Content-Type, Authorization\r\n"
                "Access-Control-Max-Age: 86400\r\n",
                "", 0);
}

void http_answer_poll(struct connection *connection, const struct buf *body)
{
    http_answer(connection, 200, TYPE_TEXT, "", body->data, body->size);
}

/* Answers before the request has come to its end, which then nobody waits for. Returns what makes
 * http_parser stop. */
static int answer_early(struct connection *connection, int status)
{
    connection->request->keeps_alive = false;
    answer_text(connection, status, status_text(status));
    return -1;
}

/* --- The request's head ---------------------------------------------------------------------- */

static struct sio_server *server_of_path(const struct sio_transport *transport, const char *path,
                                         size_t size)
{
    if (size > 1 && path[size - 1] == '/')
        size--;
    for (size_t i = 0; i < transport->server_count; i++) {
        const char *own = engine_config(transport->servers[i])->path;
        size_t own_size = strlen(own);
        if (own_size > 1 && own[own_size - 1] == '/')
            own_size--;
        if (size == own_size && !strncmp(path, own, size))
            return transport->servers[i];
    }
    return NULL;
}

/* A query parameter, or NULL; what does not fit is as good as absent. */
static const char *query_value(const char *query, const char *name, char value[QUERY_SIZE])
{
    return uri_query(query, name, value, QUERY_SIZE) ? value : NULL;
}

static const char *find_query(const struct connection *connection, size_t *path_size)
{
    const char *url = connection->request->url.data ? connection->request->url.data : "";
    const char *query = strchr(url, '?');
    *path_size = query ? (size_t)(query - url) : strlen(url);
    return query ? query + 1 : NULL;
}

static enum engine_error verify(struct connection *connection, struct sio_client **client)
{
    char version[QUERY_SIZE], transport[QUERY_SIZE], sid[QUERY_SIZE];
    size_t path_size;
    const char *query = find_query(connection, &path_size);
    struct engine_request asked = {
        .method = http_method_str((enum http_method)connection->parser.method),
        .version = query_value(query, "EIO", version),
        .transport = query_value(query, "transport", transport),
        .sid = query_value(query, "sid", sid),
        .is_upgrade = connection->parser.upgrade,
    };
    return engine_verify(connection->server, &asked, client);
}

/* RFC 6455 section 4.2.1; what else may be upgraded to is not offered, and passed over. */
static bool is_websocket_request(const struct connection *connection)
{
    const struct request *request = connection->request;
    return connection->parser.upgrade && connection->parser.method == HTTP_GET &&
           request->names_websocket && request->key.size == 24 && request->version.data &&
           !strcmp(request->version.data, "13");
}

static void take_header(struct request *request)
{
    struct buf *kept = NULL, *list = &request->extensions;
    const char *name = request->field.data;
    if (!name)
        return;
    if (!strcasecmp(name, "Origin"))
        kept = &request->origin;
    else if (!strcasecmp(name, "Sec-WebSocket-Key"))
        kept = &request->key;
    else if (!strcasecmp(name, "Sec-WebSocket-Version"))
        kept = &request->version;
    else if (!strcasecmp(name, "Sec-WebSocket-Extensions"))
        kept = list;
    else if (!strcasecmp(name, "Upgrade"))
        request->names_websocket =
            request->value.data && !strcasecmp(request->value.data, "websocket");
    if (kept == list && list->size > 0)
        buf_char(list, ',');
    else if (kept)
        buf_clear(kept);
    if (kept)
        buf_put(kept, request->value.data, request->value.size);
    buf_clear(&request->field);
    buf_clear(&request->value);
}

static int on_begin(http_parser *parser)
{
    struct connection *connection = parser->data;
    if (connection->request || connection->is_closing)
        return -1;
    connection->request = server_allocate(sizeof *connection->request);
    connection->request->error = ENGINE_OK;
    connection_set_deadline(connection, &connection->transport->requests, REQUEST_US);
    return 0;
}

/* A part of the head has come: bounded as a whole. */
static int put_head(struct connection *connection, struct buf *part, const char *data, size_t size)
{
    connection->request->header_bytes += size;
    if (connection->request->header_bytes > HEADERS_MAX)
        return answer_early(connection, 431);
    buf_put(part, data, size);
    return 0;
}

static int on_url(http_parser *parser, const char *data, size_t size)
{
    struct connection *connection = parser->data;
    return put_head(connection, &connection->request->url, data, size);
}

static int on_field(http_parser *parser, const char *data, size_t size)
{
    struct connection *connection = parser->data;
    struct request *request = connection->request;
    if (request->value_is_last)
        take_header(request);
    request->value_is_last = false;
    return put_head(connection, &request->field, data, size);
}

static int on_value(http_parser *parser, const char *data, size_t size)
{
    struct connection *connection = parser->data;
    connection->request->value_is_last = true;
    return put_head(connection, &connection->request->value, data, size);
}

/* A POST takes its place at once, so that a second one beside it is noticed. */
static enum engine_error begin_post(struct connection *connection)
{
    struct sio_client *client;
    enum engine_error error = verify(connection, &client);
    if (error == ENGINE_OK && !engine_post_begin(client, &connection->link))
        error = ENGINE_BAD_REQUEST;
    return error;
}

static int on_headers(http_parser *parser)
{
    size_t path_size;
    struct connection *connection = parser->data;
    struct request *request = connection->request;
    take_header(request);
    find_query(connection, &path_size);
    parser->upgrade = is_websocket_request(connection);
    /* What HTTP/1.0 sends in chunks ends where nobody knows (RFC 9112 section 6.1). */
    request->keeps_alive = http_should_keep_alive(parser) && parser->method != HTTP_CONNECT &&
                           !(parser->http_minor == 0 && parser->flags & F_CHUNKED);
    connection->server = server_of_path(connection->transport, request->url.data, path_size);
    if (!connection->server)
        return 0;
    size_t max = (size_t)engine_config(connection->server)->max_payload_bytes;
    if (parser->content_length != ULLONG_MAX && parser->content_length > max)
        return answer_early(connection, 413);
    if (parser->method == HTTP_POST)
        request->error = begin_post(connection);
    return 0;
}

/* --- Its body and its end -------------------------------------------------------------------- */

static int on_body(http_parser *parser, const char *data, size_t size)
{
    struct connection *connection = parser->data;
    size_t max = connection->server ? (size_t)engine_config(connection->server)->max_payload_bytes
                                    : HEADERS_MAX;
    if (connection->body.size + size > max)
        return answer_early(connection, 413);
    buf_put(&connection->body, data, size);
    return 0;
}

static void finish_post(struct connection *connection)
{
    struct buf body = connection->body;
    connection->body = (struct buf){0};
    if (engine_post(&connection->link, body.data ? body.data : "", body.size))
        http_answer(connection, 200, "text/html", "", "ok", 2);
    else
        answer_error(connection, ENGINE_BAD_REQUEST);
    buf_free(&body);
}

static void finish_poll(struct connection *connection, struct sio_client *client)
{
    char address[ADDRESS_SIZE];
    deadline_clear(&connection->patience);
    if (client) {
        if (!engine_poll(client, &connection->link))
            answer_error(connection, ENGINE_BAD_REQUEST);
        return;
    }
    connection_address(connection, address);
    engine_open(connection->server, SIO_POLLING, &connection->link, address);
}

/* All that is not a POST is checked now: its client may have gone since the head came. */
static void finish_get(struct connection *connection)
{
    struct sio_client *client;
    enum engine_error error = verify(connection, &client);
    if (error != ENGINE_OK)
        answer_error(connection, error);
    else if (!client && engine_is_full(connection->server))
        answer_full(connection);
    else if (connection->parser.upgrade)
        websocket_accept(connection, client);
    else
        finish_poll(connection, client);
}

static int on_end(http_parser *parser)
{
    struct connection *connection = parser->data;
    struct request *request = connection->request;
    request->keeps_alive = request->keeps_alive && !parser->upgrade;
    if (!connection->server)
        answer_text(connection, 404, "Not Found");
    else if (parser->method == HTTP_OPTIONS && engine_config(connection->server)->cors_origins)
        answer_preflight(connection);
    else if (parser->method != HTTP_POST)
        finish_get(connection);
    else if (request->error != ENGINE_OK)
        answer_error(connection, request->error);
    else
        finish_post(connection);
    if (!connection->is_websocket)
        buf_free(&connection->body);
    return 0;
}

void http_expect(struct connection *connection)
{
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = connection;
    connection_set_deadline(connection, &connection->transport->requests, REQUEST_US);
}

/* What came is no HTTP, or came while an answer is still due. */
static void refuse_nonsense(struct connection *connection)
{
    static const char ANSWER[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n";
    engine_gone(&connection->link);
    request_free(connection);
    connection_write(connection, ANSWER, sizeof ANSWER - 1);
    connection_finish(connection);
}

size_t http_read(struct connection *connection, const char *data, size_t size)
{
    static const http_parser_settings settings = {.on_message_begin = on_begin,
                                                  .on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_headers,
                                                  .on_body = on_body,
                                                  .on_message_complete = on_end};
    size_t parsed = http_parser_execute(&connection->parser, &settings, data, size);
    if (connection->is_websocket)
        return parsed;
    if (parsed < size && !connection->is_closing)
        refuse_nonsense(connection);
    return size;
}
