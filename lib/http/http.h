/* http.h - an HTTP/1.1 server (RFC 9112) with a table of routes, on a thread and a loop of its own.
 *
 * The loop's thread reads requests whole, and writes answers; a handler runs in a worker thread and
 * may wait there. A route that is `prompt` has its handler called by the loop itself, so that it
 * must not wait: what it has begun goes on in whatever thread has the news, and http_done says that
 * the answer may leave. SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/error.h"
#include "base/workers.h"

#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_request;
struct connection;
struct tls_context;

typedef void (*http_handler)(struct http_request *request);

enum { HTTP_PARAMETER_SIZE = 128 };

/* One request, valid until its handler returns; of a prompt route: until http_done. One thread has
 * it at a time. Strings are borrowed from it. */
struct http_request {
    struct connection *connection; /* the server's own */
    const char *method;
    const char *path;                    /* decoded, without the query */
    const char *query;                   /* not decoded; NULL when there is none */
    char parameter[HTTP_PARAMETER_SIZE]; /* what stood for {} in the route's path */
    const char *cors_origins;
    void *context;             /* the server's */
    void *state;               /* the handler's own */
    int status;                /* of the reply */
    http_handler handler, run; /* run: in a worker */
    struct work work;
};

/* Whether a handler waits, in a worker, or runs in the loop, and calls http_done in its own time.
 */
enum http_kind { HTTP_WAITS, HTTP_PROMPT };

struct http_route {
    const char *method;
    const char *path; /* "/api/votes/status/{}": {} takes one non-empty segment, at the end */
    http_handler handler;
    enum http_kind kind;
};

struct http_settings {
    const char *listen; /* HOST:PORT, as listen_parse */
    int threads;        /* handlers that may wait at once; more requests wait for one of them */
    int connections_max;
    size_t body_max; /* bytes of a request's body */
    const struct http_route *routes;
    size_t route_count;
    const char *cors_origins; /* "*", or origins by comma; NULL: none (Fetch standard, CORS) */
    struct tls_context *tls;  /* NULL: in plain */
    void *context;
    /* Answers 400, 404, 405 (with `allow`, the methods there are, or NULL) and 431. Must not wait.
     */
    void (*refuse)(struct http_request *request, int status, const char *allow);
};

/* Starts a thread that serves until http_stop. The settings' pointers are borrowed for that long.
 * SIGPIPE is ignored from then on. */
bool http_start(struct http_server **server, const struct http_settings *settings,
                struct error *error) __attribute__((warn_unused_result));

/* From now on each answer ends its connection (`Connection: close`), so that clients go elsewhere
 * with their next request; requests and connections are still taken. */
void http_drain(struct http_server *server);

/* How many requests are being read or answered just now. */
int http_in_hand(const struct http_server *server);

/* Stops taking connections, lets the requests that are being answered finish, and frees the server.
 * NULL is fine. */
void http_stop(struct http_server *server);

/* A header's value by its name in any case, or NULL. Of several the first. */
const char *http_header(const struct http_request *request, const char *name);

/* Whether If-None-Match says that the client has what the entity tag (with its quotes) stands for
 * (RFC 9110, section 13.1.2). */
bool http_etag_matches(const struct http_request *request, const char *etag);

/* Copies a decoded query parameter into `value`; false when it is absent or does not fit. */
bool http_query(const struct http_request *request, const char *name, char *value, size_t size);

enum http_body { HTTP_BODY_OK, HTTP_BODY_TOO_LARGE, HTTP_BODY_BROKEN };

/* The whole body; it is borrowed, and has a NUL behind its end. What is too large or has not come
 * to its end in time is not there, and the answer ends the connection. */
enum http_body http_body(const struct http_request *request, const char **data, size_t *size)
    __attribute__((warn_unused_result));

/* Makes the response. `headers` is NULL or whole lines, each ending in CRLF. It leaves, in one
 * write, when the handler returns; of a prompt route: at http_done. Once a request. */
void http_reply(struct http_request *request, int status, const char *content_type,
                const char *headers, const void *body, size_t size);

/* Has `run` go on with a prompt route's request in a worker, where it may wait. */
void http_work(struct http_request *request, http_handler run);

/* Ends a prompt route's request: from any thread, behind http_reply, and as its last touch. */
void http_done(struct http_request *request);

/* The reason phrase of a status code (RFC 9110 section 15). */
const char *http_status_text(int status);

#endif
