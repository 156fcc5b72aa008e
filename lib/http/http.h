/* http.h - an HTTP/1.1 server (RFC 9112) by civetweb with a table of routes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct mg_connection;

enum { HTTP_PARAMETER_SIZE = 128 };

/* One request, valid while its handler runs. Strings are borrowed from the connection. */
struct http_request {
    struct mg_connection *connection;
    const char *method;
    const char *path;                    /* decoded, without the query */
    const char *query;                   /* NULL when there is none */
    char parameter[HTTP_PARAMETER_SIZE]; /* what stood for {} in the route's path */
    const char *cors_origins;
    void *context; /* the server's */
    bool replied;
    int status; /* of the reply */
    bool ends;  /* the connection ends with the answer */
};

typedef void (*http_handler)(struct http_request *request);

struct http_route {
    const char *method;
    const char *path; /* "/api/votes/status/{}": {} takes one non-empty segment, at the end */
    http_handler handler;
};

struct http_settings {
    const char *listen; /* HOST:PORT */
    int threads;        /* connections served at once; more wait in the backlog */
    const struct http_route *routes;
    size_t route_count;
    const char *cors_origins; /* "*", or origins by comma; NULL: none (Fetch standard, CORS) */
    void *context;
    /* Answers 400, 404 and 405 (with `allow`, the methods there are, or NULL). */
    void (*refuse)(struct http_request *request, int status, const char *allow);
};

/* Starts threads that serve until http_stop. The settings' pointers are borrowed for that long. */
bool http_start(struct http_server **server, const struct http_settings *settings,
                struct error *error) __attribute__((warn_unused_result));

/* From now on each answer ends its connection (`Connection: close`), so that clients go elsewhere
 * with their next request; requests and connections are still taken. */
void http_drain(struct http_server *server);

/* How many requests are being read or answered just now. */
int http_in_hand(const struct http_server *server);

/* Stops taking connections, lets the requests in hand finish, and frees the server. NULL is fine.
 */
void http_stop(struct http_server *server);

/* A header's value by its name in any case, or NULL. */
const char *http_header(const struct http_request *request, const char *name);

enum { HTTP_BODY_TIMEOUT_US = 10 * 1000 * 1000 };
enum http_body { HTTP_BODY_OK, HTTP_BODY_TOO_LARGE, HTTP_BODY_BROKEN };

/* Copies a decoded query parameter into `value`; false when it is absent or does not fit. */
bool http_query(const struct http_request *request, const char *name, char *value, size_t size);

/* Reads the whole body, at most `max_bytes` of it and for at most HTTP_BODY_TIMEOUT_US, into
 * `body`. */
enum http_body http_read_body(struct http_request *request, size_t max_bytes, struct buf *body)
    __attribute__((warn_unused_result));

/* Sends the response in one write. `headers` is NULL or whole lines, each ending in CRLF. */
void http_reply(struct http_request *request, int status, const char *content_type,
                const char *headers, const void *body, size_t size);

/* The reason phrase of a status code (RFC 9110 section 15). */
const char *http_status_text(int status);

#endif
