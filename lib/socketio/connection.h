/* connection.h - inside the transport: one TCP connection that libwebsockets serves.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_CONNECTION_H
#define SOCKETIO_CONNECTION_H

#include "socketio/engine.h"
#include "socketio/transport.h"

#include <libwebsockets.h>
#include <uv.h>

struct sio_transport {
    struct lws_context *context; /* NULL once libwebsockets is done with it */
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    struct lws_extension extensions[2];
    uv_loop_t *loop;
    uv_timer_t timer;
    struct sio_server *servers[TRANSPORT_SERVERS_MAX];
    size_t server_count;
    size_t connection_count, connections_max;
    bool deflates;
    bool is_closing;
};

struct connection {
    struct sio_link link; /* first: the engine's links are connections */
    struct lws *wsi;
    struct sio_transport *transport;
    struct sio_server *server; /* whose path was asked for */
    struct buf body;           /* what has come of a POST or a message, or the answer to a poll */
    bool is_websocket;
    bool is_busy;      /* a request has come that is not answered yet */
    bool is_woken;     /* a poll is to be answered */
    bool is_congested; /* a frame is on its way out: wait until it has gone */
    bool is_closing;
};

/* http.c: each returns what the callback of libwebsockets has to return. */
int http_request(struct connection *connection);
int http_body(struct connection *connection, const void *data, size_t size);
int http_body_end(struct connection *connection);
int http_writable(struct connection *connection);
int http_confirm_upgrade(struct connection *connection, const char *protocol);

/* Finds the server and the client that a request is for. False: it was answered with an error. */
bool http_verify(struct connection *connection, bool is_upgrade, struct sio_client **client);

/* websocket.c */
int websocket_open(struct connection *connection);
int websocket_receive(struct connection *connection, const void *data, size_t size);
int websocket_writable(struct connection *connection);
void websocket_flush(struct connection *connection);
void websocket_probe(struct sio_link *link, const struct sio_frame *frame);
void websocket_close(struct sio_link *link, bool politely);

/* transport.c */
void connection_address(const struct connection *connection, char address[ADDRESS_SIZE]);

#endif
