/* engine.h - inside the Socket.IO server: its clients, sockets and rooms, and what a transport does
 * with them. SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_ENGINE_H
#define SOCKETIO_ENGINE_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/table.h"
#include "socketio/frame.h"
#include "socketio/packet.h"
#include "socketio/payload.h"
#include "socketio/socketio.h"

enum { SID_SIZE = 21, ADDRESS_SIZE = 46, SEPARATOR = 0x1e };

/* --- What a transport calls, and what it offers ---------------------------------------------- */

/* What a connection of the transport is to its client. */
enum link_role { LINK_IDLE, LINK_POLL, LINK_POST, LINK_WEBSOCKET, LINK_PROBE };

/* The engine's part of a connection; the transport embeds it. */
struct sio_link {
    struct sio_client *client; /* NULL: none any more */
    enum link_role role;
    bool is_congested; /* kept by the transport: the peer takes nothing now */
};

/* None of these may call the engine back for the same link before it has returned, except `flush`,
 * which takes frames. A link that is closed has been detached from its client. */
struct link_ops {
    /* There is something to send, soon: frames for a WebSocket, an answer for a poll. */
    void (*wake)(struct sio_link *link);
    /* A WebSocket takes what it can now. */
    void (*flush)(struct sio_link *link);
    /* Sends one frame on a probing WebSocket. */
    void (*probe)(struct sio_link *link, struct sio_frame *frame);
    /* Closes a WebSocket. `politely`: with a close frame, after what was handed over. */
    void (*close)(struct sio_link *link, bool politely);
    /* Answers a poll with 200 and `body`. */
    void (*answer)(struct sio_link *link, const struct buf *body);
    /* Calls engine_turn soon. */
    void (*arm)(void *transport);
};

/* The errors of the HTTP transport, by the reference server's numbers. */
enum engine_error {
    ENGINE_OK = -1,
    ENGINE_UNKNOWN_TRANSPORT,
    ENGINE_UNKNOWN_SID,
    ENGINE_BAD_HANDSHAKE_METHOD,
    ENGINE_BAD_REQUEST,
    ENGINE_FORBIDDEN,
    ENGINE_UNSUPPORTED_VERSION,
};
const char *engine_error_text(enum engine_error error);

/* A request as its query says it; NULL what is absent. */
struct engine_request {
    const char *method, *version, *transport, *sid;
    bool is_upgrade; /* asks for a WebSocket */
};

/* Checks a request; with a sid, `client` is whose it is, and otherwise NULL: a handshake. */
enum engine_error engine_verify(struct sio_server *server, const struct engine_request *request,
                                struct sio_client **client);

/* True when a handshake must be refused with 503; counts it. */
bool engine_is_full(struct sio_server *server);

/* A handshake. The open packet waits in the queue: for a WebSocket `link` is it, for polling it
 * becomes the poll. */
void engine_open(struct sio_server *server, enum sio_transport_kind kind, struct sio_link *link,
                 const char *address);

/* A WebSocket for a client that polls: it may probe. False: close it. */
bool engine_probe(struct sio_client *client, struct sio_link *link);

/* A GET of a client: it is answered through `wake`. False: answer it with 400. */
bool engine_poll(struct sio_client *client, struct sio_link *link);

/* A POST begins, and has come. False: answer it with 400. */
bool engine_post_begin(struct sio_client *client, struct sio_link *link);
bool engine_post(struct sio_link *link, const char *body, size_t size);

/* What a woken poll is answered with; the link is free again. */
void engine_poll_answer(struct sio_link *link, struct buf *body);

/* A WebSocket's whole message, or one that is too large. */
void engine_receive(struct sio_link *link, const void *data, size_t size, bool is_binary);
void engine_too_large(struct sio_link *link);

/* The frames to send next, at most `max` of them; and that the first `count` were handed over. */
size_t engine_peek(struct sio_link *link, struct sio_frame *frames[], size_t max);
void engine_sent(struct sio_link *link, size_t count);

/* The connection has ended. */
void engine_gone(struct sio_link *link);

/* Does what is due; returns when to call again (monotonic, INT64_MAX: not until asked). */
int64_t engine_turn(struct sio_server *server);

void engine_attach(struct sio_server *server, const struct link_ops *ops, void *transport);
const struct sio_config *engine_config(const struct sio_server *server);

/* --- Inside ---------------------------------------------------------------------------------- */

/* Frames that wait for one client: a ring that grows. */
struct queue {
    struct sio_frame **ring;
    uint32_t first, count, capacity;
    size_t bytes;
    struct sio_frame *part; /* of the first frame, when its first part has gone */
};

void queue_push(struct queue *queue, struct sio_frame *frame);
bool queue_replace(struct queue *queue, struct sio_frame *frame); /* false: nothing to replace */
void queue_pop(struct queue *queue);
size_t queue_drop(struct queue *queue, bool (*superseded)(const struct sio_frame *, void *),
                  void *context);
void queue_free(struct queue *queue);
struct sio_frame *queue_at(const struct queue *queue, uint32_t at);

enum client_state { CLIENT_OPEN, CLIENT_CLOSING, CLIENT_GONE };

/* An event or acknowledgement whose attachments are still coming. */
struct assembly {
    struct buf text;
    struct packet packet; /* points into `text` */
    struct sio_bytes *attachments;
    size_t count;
    size_t bytes;
};

struct sio_client {
    struct table_node by_sid; /* first: the table finds a client by it */
    struct sio_server *server;
    struct sio_client *previous, *next; /* of all */
    struct sio_client *doomed_next;
    struct sio_link *websocket, *poll, *post, *probe;
    struct sio_socket *sockets;
    struct assembly *assembly; /* NULL: none under way */
    struct queue queue;
    struct deadline ping;     /* when to ping, or when the pong is late */
    struct deadline patience; /* for a first namespace, or for the end of closing */
    struct deadline upgrade;
    int64_t flood_from_us;
    uint32_t flood_count;
    enum client_state state;
    enum sio_transport_kind kind;
    enum sio_reason reason; /* once doomed */
    bool is_doomed;
    bool has_probed;   /* the probe was answered: polls end at once */
    char final_packet; /* what ends the last poll: close or noop */
    char sid[SID_SIZE];
    char address[ADDRESS_SIZE];
};

struct ack {
    struct deadline deadline;
    struct ack *next;
    int64_t id;
    sio_ack_handler then;
    void *context;
    struct sio_socket *socket;
};

struct membership {
    struct room *room;
    struct sio_socket *socket;
    struct membership *room_previous, *room_next;
    struct membership *socket_previous, *socket_next;
};

struct room {
    struct table_node by_name;
    struct sio_namespace *namespace;
    struct membership *members;
    size_t count;
    char name[];
};

struct sio_namespace {
    struct sio_server *server;
    struct sio_namespace *next;
    struct sio_socket *sockets;
    struct table rooms;
    size_t socket_count;
    char name[];
};

struct sio_socket {
    struct table_node by_number;
    struct sio_namespace *namespace;
    struct sio_client *client;
    struct sio_socket *previous, *next; /* of the namespace */
    struct sio_socket *client_next;
    struct sio_socket *doomed_next;
    struct membership *rooms;
    size_t room_count;
    struct ack *acks;
    int64_t next_ack;
    void *data;
    uint64_t number;
    bool is_doomed;
    char id[SID_SIZE];
};

struct sio_server {
    const struct sio_config *config;
    const struct sio_callbacks *callbacks;
    void *context;
    const struct link_ops *ops;
    void *transport;
    struct sio_stats stats;
    struct sio_namespace *namespaces;
    struct table clients, sockets;
    struct sio_client *all;
    struct sio_client *doomed, *gone; /* to be closed; to be freed */
    struct sio_socket *doomed_sockets;
    struct sio_socket *connecting; /* whose connect callback runs */
    struct queue held;             /* what is emitted to it meanwhile */
    struct deadline_list pings, pongs, connects, closings, upgrades, acks;
    struct sio_frame *ping, *pong_probe;
    int64_t next_turn_us; /* when the transport calls engine_turn at the latest */
    uint64_t next_number;
    bool is_draining, is_drained;
    int64_t drain_from_us, drain_spread_us;
    size_t drain_total, drain_closed;
};

/* client.c: one Engine.IO session */
bool client_send(struct sio_client *client, struct sio_frame *frame); /* bounded, conflated */
bool client_is_open(const struct sio_client *client);
void client_doom(struct sio_client *client, enum sio_reason reason);
void client_close(struct sio_client *client); /* in a turn: carries out what client_doom marked */
void client_end(struct sio_client *client);   /* closing has taken long enough */
void client_free(struct sio_client *client);
void client_ping(struct sio_client *client, int64_t due_us);
void client_await_namespace(struct sio_client *client);
void client_queue_clear(struct sio_client *client);

/* link.c: what a transport calls */
void link_drop(struct sio_link **link, bool politely); /* detaches and closes a WebSocket */
void link_detach(struct sio_link **link);
void link_answer(struct sio_link **link, char packet); /* ends a poll with one bare packet */

/* socket.c */
void socket_receive(struct sio_client *client, const char *text, size_t size);
void socket_receive_binary(struct sio_client *client, const void *data, size_t size);
void socket_end(struct sio_socket *socket, enum sio_reason reason);
void socket_free(struct sio_socket *socket);
bool socket_send(struct sio_socket *socket, struct sio_frame *frame);
void socket_send_new(struct sio_socket *socket, struct sio_frame *frame); /* takes the reference */
void assembly_free(struct assembly *assembly);

/* ack.c */
void ack_receive(struct sio_socket *socket, int64_t id, const struct sio_args *args);
void ack_expire(struct ack *ack);
void ack_abandon_all(struct sio_socket *socket); /* tells each that no answer comes */
void ack_free_all(struct sio_socket *socket);    /* tells nobody */

/* room.c */
void room_leave_all(struct sio_socket *socket);

/* server.c */
void server_set_deadline(struct sio_server *server, struct deadline_list *list,
                         struct deadline *deadline, void *owner, int64_t duration_us);
void server_run_deadlines(struct sio_server *server, int64_t now_us);
void server_settle(struct sio_server *server); /* closes what is doomed, frees what is gone */
void *server_allocate(size_t size);            /* zeroed; aborts */
void server_make_sid(char sid[SID_SIZE]);
void server_arm(struct sio_server *server);

#endif
