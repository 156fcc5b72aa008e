/* connection.h - inside the transport: one TCP connection, first HTTP/1.1, then perhaps a
 * WebSocket. SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_CONNECTION_H
#define SOCKETIO_CONNECTION_H

#include "socketio/engine.h"
#include "socketio/transport.h"
#include "tls/tls.h"

#include <http_parser.h>
#include <uv.h>

struct frame_reader;
struct connection;

enum { READ_BYTES = 64 * 1024, FINISH_US = 2 * 1000 * 1000 };

struct sio_transport {
    uv_loop_t *loop;
    struct tls_context *tls; /* NULL: in plain */
    uv_tcp_t listener;
    uv_timer_t timer;
    uv_prepare_t turn_end; /* before the loop sleeps */
    struct sio_server *servers[TRANSPORT_SERVERS_MAX];
    size_t server_count;
    struct connection *connections;
    struct connection *pending; /* to be seen to at the end of this turn */
    size_t connection_count, connections_max;
    size_t handle_count;  /* of libuv, not closed yet */
    int64_t next_turn_us; /* when the timer runs */
    struct deadline_list requests, keepalives, closings;
    struct frame_reader *spare; /* kept for the next WebSocket that has something to say */
    bool is_closing;
    char read_buffer[READ_BYTES];
};

/* What an HTTP request has said so far. */
struct request {
    struct buf url, field, value;
    struct buf origin, key, version, extensions;
    size_t header_bytes;
    bool value_is_last; /* the header under way has its value */
    bool names_websocket;
    bool keeps_alive;
    enum engine_error error; /* of a POST */
};

struct connection {
    struct sio_link link; /* first: the engine's links are connections */
    uv_tcp_t tcp;
    struct tls *tls; /* NULL: in plain */
    struct sio_transport *transport;
    struct sio_server *server; /* whose path was asked for */
    struct connection *previous, *next;
    struct connection *pending_next;
    struct deadline patience;
    http_parser parser;
    struct request *request;     /* NULL: none under way */
    struct buf body;             /* of a POST, or the message whose end has not come yet */
    struct frame_reader *reader; /* of a WebSocket within a frame */
    uint8_t opcode;              /* of the message under way, 0: none is */
    bool is_websocket;
    bool deflates;    /* permessage-deflate was agreed on */
    bool is_deflated; /* the message under way */
    bool is_pending;
    bool is_woken;     /* a poll is to be answered */
    bool is_closing;   /* what comes is not heard any more */
    bool says_goodbye; /* a close frame is still to be sent */
    bool is_dead;      /* to be closed soon */
};

/* transport.c */
void transport_arm(void *transport); /* has the timer run at once */

/* connection.c */
struct connection *connection_new(struct sio_transport *transport);
void connection_start(struct connection *connection); /* reads; may close it */
void connection_close(struct connection *connection); /* not from within the engine */
void connection_address(const struct connection *connection, char address[ADDRESS_SIZE]);

/* Writes all of it; what the socket does not take now is copied and goes on by itself. */
void connection_write(struct connection *connection, const void *data, size_t size);

/* Writes as many as the socket takes, and one more: what is left of that one goes on by itself. In
 * TLS it writes some, and what is left of them goes on by itself. Returns how many these are. */
size_t connection_write_pieces(struct connection *connection, const uv_buf_t *pieces, size_t count);
void connection_set_deadline(struct connection *connection, struct deadline_list *list,
                             int64_t duration_us);

/* Ends our side, and waits a little for the peer's, so that it hears what was written. */
void connection_finish(struct connection *connection);
void connection_attend(struct connection *connection); /* has it seen to in this turn */
void attend_pending(struct sio_transport *transport);

/* http.c */
void http_expect(struct connection *connection);
/* Returns how many bytes were HTTP; the rest is a WebSocket's. */
size_t http_read(struct connection *connection, const char *data, size_t size);
void http_answer_poll(struct connection *connection, const struct buf *body);
void request_free(struct connection *connection);

/* websocket.c */
/* For a client that probes, or NULL: for a new one. */
void websocket_accept(struct connection *connection, struct sio_client *client);
void websocket_read(struct connection *connection, const char *data, size_t size);
void websocket_flush(struct connection *connection);
void websocket_probe(struct sio_link *link, struct sio_frame *frame);
void websocket_close(struct sio_link *link, bool politely);
void websocket_say_goodbye(struct connection *connection);
void frame_reader_free(struct frame_reader *reader);

#endif
