/* server.h - inside the HTTP server: its loop and its connections.
 *
 * All of it belongs to the loop's thread, but for what says otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/buf.h"
#include "base/deadline.h"
#include "http/http.h"
#include "http/message.h"
#include "tls/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

enum { READ_BYTES = 64 * 1024, PENDING_MAX = 64 * 1024 };
enum { REQUEST_US = 10 * 1000 * 1000, IDLE_US = 30 * 1000 * 1000 };
enum { WRITE_US = 30 * 1000 * 1000, FINISH_US = 2 * 1000 * 1000 };

struct http_server {
    struct http_settings settings;
    struct workers *workers;
    pthread_t thread;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    uv_async_t wake;       /* answers are there, or the stop */
    uv_prepare_t turn_end; /* before the loop sleeps */
    struct connection *connections;
    int connection_count;
    bool is_closing;
    struct deadline_list requests, idles, writes, closings;

    /* Of any thread: */
    _Atomic int in_hand, is_draining, is_stopping;
    pthread_mutex_t lock;
    struct connection *done; /* their answers may leave */

    char read_buffer[READ_BYTES];
};

struct connection {
    uv_tcp_t tcp;
    struct http_server *server;
    struct connection *previous, *next;
    struct connection *done_next;
    struct deadline deadline;
    struct tls *tls; /* NULL: in plain */
    struct message message;
    struct http_request request;
    struct buf pending; /* what came behind a request that is being answered */
    struct buf out;     /* the answer: its handler's until http_done, then as it is sent */
    uv_write_t write;   /* of what the socket did not take at once */
    bool is_counted;    /* in the server's in_hand */
    bool in_hand;       /* a handler has the request */
    bool is_writing;
    bool is_paused; /* nothing is read: too much is pending */
    bool has_ended; /* the peer sends no more */
    bool is_deaf;   /* what still comes is not looked at */
    bool is_closed;
};

/* connection.c */
void connection_accept(struct http_server *server);
void connection_drop(struct connection *connection);
void connection_answer(struct connection *connection); /* sends `out`, and goes on */
void connection_expire(struct connection *connection); /* its deadline has come */

/* route.c */
void request_dispatch(struct connection *connection);

#endif
