/* http.c - HTTP long-polling on libwebsockets, and what comes before a WebSocket.
 *
 * Every answer is one write. A poll that has nothing to fetch stays a request without an answer
 * until the engine wakes it. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

#include <stdlib.h>
#include <string.h>

/* Further requests on a connection wait for the answer; this is how long it may take to go out. */
enum { ANSWER_TIMEOUT_S = 10, BODY_TIMEOUT_S = 10, QUERY_SIZE = 128, ORIGIN_SIZE = 256 };

static const char TYPE_TEXT[] = "text/plain; charset=UTF-8";
static const char TYPE_JSON[] = "application/json";

/* --- Answers --------------------------------------------------------------------------------- */

static bool origin_is_listed(const char *origins, const char *origin)
{
    size_t size = strlen(origin);
    while (*origins) {
        size_t length = strcspn(origins, ",");
        if ((length == 1 && *origins == '*') || (length == size && !strncmp(origins, origin, size)))
            return true;
        origins += length + strspn(origins + length, ", ");
    }
    return false;
}

/* Fetch standard, "CORS protocol"; credentials are allowed as socket.io-client's withCredentials
 * asks for. */
static void put_cors(struct connection *connection, struct buf *out)
{
    char origin[ORIGIN_SIZE];
    const char *origins =
        connection->server ? engine_config(connection->server)->cors_origins : NULL;
    if (!origins)
        return;
    buf_text(out, "Vary: Origin\r\n");
    if (lws_hdr_copy(connection->wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN) > 0 &&
        origin_is_listed(origins, origin))
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
    case 411: return "Length Required";
    case 413: return "Payload Too Large";
    default: return "Service Unavailable";
    }
}

static void http_write(struct connection *connection, int status, const char *type,
                       const char *headers, const void *body, size_t size)
{
    struct buf out = {0};
    buf_format(&out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    if (status != 204)
        buf_format(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, size);
    buf_text(&out, "Cache-Control: no-store\r\n");
    put_cors(connection, &out);
    buf_format(&out, "%s\r\n", headers);
    buf_put(&out, body, size);
    /* a failure shows when libwebsockets goes on with the connection */
    if (lws_write(connection->wsi, (unsigned char *)out.data, out.size, LWS_WRITE_HTTP) < 0)
        lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    connection->is_busy = connection->is_woken = false;
    buf_free(&out);
}

static int http_finish(struct connection *connection)
{
    lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
    return lws_http_transaction_completed(connection->wsi) ? -1 : 0;
}

static int http_answer(struct connection *connection, int status, const char *type,
                       const void *body, size_t size)
{
    http_write(connection, status, type, "", body, size);
    return http_finish(connection);
}

static void write_error(struct connection *connection, enum engine_error error)
{
    struct buf body = {0};
    buf_format(&body, "{\"code\":%d,\"message\":\"%s\"}", error, engine_error_text(error));
    http_write(connection, error == ENGINE_FORBIDDEN ? 403 : 400, TYPE_JSON, "", body.data,
               body.size);
    buf_free(&body);
}

static int answer_error(struct connection *connection, enum engine_error error)
{
    write_error(connection, error);
    return http_finish(connection);
}

static void write_full(struct connection *connection)
{
    static const char BODY[] = "{\"message\":\"Server is full\"}";
    http_write(connection, 503, TYPE_JSON, "Retry-After: 5\r\n", BODY, sizeof BODY - 1);
}

/* --- Requests -------------------------------------------------------------------------------- */

static struct sio_server *server_of_path(const struct sio_transport *transport, const char *path)
{
    for (size_t i = 0; i < transport->server_count; i++) {
        const char *own = engine_config(transport->servers[i])->path;
        size_t size = strlen(own), without_slash = size - (size > 1 && own[size - 1] == '/');
        if (!strncmp(path, own, without_slash) &&
            (!path[without_slash] || !strcmp(path + without_slash, "/")))
            return transport->servers[i];
    }
    return NULL;
}

static const char *method_name(struct lws *wsi)
{
    char *path;
    int size;
    switch (lws_http_get_uri_and_method(wsi, &path, &size)) {
    case LWSHUMETH_GET: return "GET";
    case LWSHUMETH_POST: return "POST";
    case LWSHUMETH_OPTIONS: return "OPTIONS";
    default: return "";
    }
}

/* A query parameter, or NULL; what does not fit is as good as absent. */
static const char *query_value(struct lws *wsi, const char *name, char buffer[QUERY_SIZE])
{
    const char *value = lws_get_urlarg_by_name(wsi, name, buffer, QUERY_SIZE);
    return value && *value ? value : NULL;
}

/* Its NUL-terminated path; "" when there is none. */
static const char *request_path(struct lws *wsi)
{
    char *path;
    int size;
    return lws_http_get_uri_and_method(wsi, &path, &size) < 0 ? "" : path;
}

bool http_verify(struct connection *connection, bool is_upgrade, struct sio_client **client)
{
    char version[QUERY_SIZE], transport[QUERY_SIZE], sid[QUERY_SIZE];
    connection->server = server_of_path(connection->transport, request_path(connection->wsi));
    if (!connection->server) {
        http_write(connection, 404, TYPE_TEXT, "", "Not Found", 9);
        return false;
    }
    struct engine_request request = {
        .method = method_name(connection->wsi),
        .version = query_value(connection->wsi, "EIO=", version),
        .transport = query_value(connection->wsi, "transport=", transport),
        .sid = query_value(connection->wsi, "sid=", sid),
        .is_upgrade = is_upgrade,
    };
    enum engine_error error = engine_verify(connection->server, &request, client);
    if (error != ENGINE_OK) {
        write_error(connection, error);
        return false;
    }
    if (!*client && engine_is_full(connection->server)) {
        write_full(connection);
        return false;
    }
    return true;
}

static int answer_preflight(struct connection *connection)
{
    http_write(connection, 204, NULL,
               "Access-Control-Allow-Methods: GET, POST\r\n"
               "Access-Control-Allow-Headers: Content-Type, Authorization\r\n"
               "Access-Control-Max-Age: 86400\r\n",
               "", 0);
    return http_finish(connection);
}

static int begin_poll(struct connection *connection, struct sio_client *client)
{
    if (!engine_poll(client, &connection->link))
        return answer_error(connection, ENGINE_BAD_REQUEST);
    lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
    return 0;
}

/* The length that a POST announces; -1: none that counts, and libwebsockets does not read chunks.
 */
static long long content_length(struct lws *wsi)
{
    char text[24];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 ||
        lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
        return -1;
    return strtoll(text, NULL, 10);
}

/* Nobody knows where the body ends: what follows is not taken for a request. */
static int refuse_without_length(struct connection *connection)
{
    http_write(connection, 411, TYPE_TEXT, "Connection: close\r\n", "Length Required", 15);
    connection->is_busy = true;
    return http_finish(connection);
}

static int begin_post(struct connection *connection, struct sio_client *client)
{
    long long length = content_length(connection->wsi);
    if (length < 0)
        return refuse_without_length(connection);
    if (length > engine_config(connection->server)->max_payload_bytes)
        return http_answer(connection, 413, TYPE_TEXT, "Payload Too Large", 17);
    if (!engine_post_begin(client, &connection->link))
        return answer_error(connection, ENGINE_BAD_REQUEST);
    buf_clear(&connection->body);
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_HTTP_CONTENT, BODY_TIMEOUT_S);
    return 0;
}

static int begin_handshake(struct connection *connection)
{
    char address[ADDRESS_SIZE];
    connection_address(connection, address);
    engine_open(connection->server, SIO_POLLING, &connection->link, address);
    return 0;
}

int http_request(struct connection *connection)
{
    struct sio_client *client;
    if (connection->is_busy)
        return -1; /* a request in front of the answer to the one before: no client does that */
    connection->is_busy = true;
    connection->server = server_of_path(connection->transport, request_path(connection->wsi));
    const char *method = method_name(connection->wsi);
    if (connection->server && engine_config(connection->server)->cors_origins &&
        !strcmp(method, "OPTIONS"))
        return answer_preflight(connection);
    if (!http_verify(connection, false, &client))
        return http_finish(connection);
    if (!client)
        return begin_handshake(connection);
    return strcmp(method, "POST") != 0 ? begin_poll(connection, client)
                                       : begin_post(connection, client);
}

int http_body(struct connection *connection, const void *data, size_t size)
{
    if (connection->link.role == LINK_POST && size > 0)
        buf_put(&connection->body, data, size);
    return 0;
}

int http_body_end(struct connection *connection)
{
    struct buf body = connection->body;
    connection->body = (struct buf){0};
    bool is_fine = engine_post(&connection->link, body.data ? body.data : "", body.size);
    buf_free(&body);
    return is_fine ? http_answer(connection, 200, "text/html", "ok", 2)
                   : answer_error(connection, ENGINE_BAD_REQUEST);
}

int http_writable(struct connection *connection)
{
    struct buf body = {0};
    if (!connection->is_woken)
        return 0;
    if (connection->link.role == LINK_POLL)
        engine_poll_answer(&connection->link, &body);
    else
        buf_put(&body, connection->body.data, connection->body.size);
    buf_free(&connection->body);
    int result = http_answer(connection, 200, TYPE_TEXT, body.data, body.size);
    buf_free(&body);
    return result;
}

int http_confirm_upgrade(struct connection *connection, const char *protocol)
{
    struct sio_client *client;
    if (strcasecmp(protocol, "websocket") != 0 || connection->is_busy)
        return -1;
    return http_verify(connection, true, &client) ? 0 : 1;
}
