/* socketio.h - a Socket.IO server: protocol v5 over Engine.IO protocol v4, made for fan-out.
 *
 * The library does no I/O: transport.h joins it to sockets and a libuv loop. All of it belongs to
 * the one thread that runs that loop; nothing here may be called from another one.
 *
 * Vocabulary, as in the protocol's own documents: a client is one browser's Engine.IO session; a
 * socket is its membership of one namespace; a room is a named set of sockets of a namespace; a
 * frame is one encoded packet, shared by all the clients it is queued for.
 *
 * Turns. Closing is never done on the spot: a call that closes or disconnects marks, and the
 * disconnect callback comes from a later turn of the loop. So rooms may be walked, frames sent and
 * clients closed inside any callback, and a struct sio_socket stays valid until its disconnect
 * callback has returned. What is emitted to a socket that is marked goes nowhere.
 *
 * Running out of memory aborts. Text is UTF-8. Durations are in microseconds.
 * https://socket.io/docs/v4/socket-io-protocol and /engine-io-protocol
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKETIO_SOCKETIO_H
#define SOCKETIO_SOCKETIO_H

#include "base/option.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sio_server;
struct sio_namespace;
struct sio_client;
struct sio_socket;
struct sio_frame;

/* --- Settings ------------------------------------------------------------------------------ */

struct sio_config {
    const char *path;           /* "/socket.io/" */
    const char *cors_origins;   /* "*", or origins by comma; NULL: no CORS headers */
    int64_t ping_interval_us;   /* from a pong (or the handshake) to the next ping */
    int64_t ping_timeout_us;    /* how long a pong is waited for */
    int64_t connect_timeout_us; /* a client that is in no namespace for so long is closed */
    int64_t upgrade_timeout_us; /* a WebSocket that probes and does not upgrade is closed */
    int64_t ack_timeout_us;     /* sio_emit_ack gives up */
    int64_t max_payload_bytes;  /* of one message, and of one POST */
    int64_t connections_max;    /* clients at once; more get 503 */
    int64_t queue_bytes_max;    /* waiting for one client, before `overflow` is asked */
    int64_t queue_frames_max;   /* the same, in frames */
    int64_t deflate_min_bytes;  /* smaller messages are sent as they are; 0: all are */
    struct option_quota flood;  /* packets from one client in a window; 0: no limit */
};

/* --path, --cors-origins, --ping-interval ... with the presets, for a struct sio_config. */
extern const struct option sio_options[];
enum { SIO_OPTION_COUNT = 13 };

/* --- Why things end, and what is counted --------------------------------------------------- */

enum sio_transport_kind { SIO_POLLING, SIO_WEBSOCKET, SIO_TRANSPORT_KINDS };

enum sio_reason {
    SIO_TRANSPORT_CLOSE,   /* the connection ended, or the client sent an Engine.IO close */
    SIO_TRANSPORT_ERROR,   /* the transport was misused: two polls at once, a reset ... */
    SIO_PING_TIMEOUT,      /* no pong in time */
    SIO_PARSE_ERROR,       /* what came was no packet, or not one that may come now */
    SIO_CLIENT_LEFT,       /* the client left the namespace */
    SIO_SERVER_LEFT,       /* sio_socket_disconnect */
    SIO_SERVER_CLOSE,      /* sio_client_close without a better reason */
    SIO_SERVER_SHUTDOWN,   /* sio_server_drain */
    SIO_CONNECT_TIMEOUT,   /* in no namespace for too long */
    SIO_SLOW_CLIENT,       /* its queue overflowed */
    SIO_FLOOD,             /* more packets than config.flood */
    SIO_PAYLOAD_TOO_LARGE, /* more than max_payload_bytes */
    SIO_REASONS
};

/* The words of the reference server where it has any ("ping timeout"); for logs and labels. */
const char *sio_reason_name(enum sio_reason reason);
const char *sio_transport_name(enum sio_transport_kind kind);

struct sio_stats {
    size_t clients[SIO_TRANSPORT_KINDS]; /* now, by the transport each is on */
    size_t sockets, rooms, memberships;  /* now */
    size_t queued_frames, queued_bytes;  /* now, over all clients; a shared frame counts for each */
    uint64_t opened[SIO_TRANSPORT_KINDS]; /* handshakes, by transport */
    uint64_t upgraded;                    /* from polling to WebSocket */
    uint64_t refused_full;                /* for connections_max, or while draining */
    uint64_t refused_bad;                 /* requests answered with an Engine.IO error */
    uint64_t refused_sockets;             /* CONNECT answered with CONNECT_ERROR */
    uint64_t closed[SIO_REASONS];         /* clients, by reason */
    uint64_t packets_in, bytes_in;        /* Socket.IO packets that came */
    uint64_t packets_out, bytes_out;      /* Socket.IO packets handed to transports */
    uint64_t broadcasts, deliveries;      /* sio_broadcast calls; frames they queued */
    uint64_t conflated;                   /* queued frames that a newer one replaced */
    uint64_t dropped;                     /* frames that overflow handling gave up */
};

/* --- Messages and frames ------------------------------------------------------------------- */

struct sio_bytes {
    const void *data;
    size_t size;
};

/* What came with an event or an acknowledgement. Borrowed: valid during the callback. */
struct sio_args {
    const json_t *array; /* an event's name is not in it */
    const char *text;    /* the same as it was sent, without the brackets: 1,"2",{"3":[true]} */
    size_t size;
    const struct sio_bytes *attachments; /* for {"_placeholder":true,"num":N} in `array` */
    size_t attachment_count;
};

/* One event to send. Borrowed by the call it is given to. */
struct sio_message {
    const char *event;
    const char *args; /* JSON values by comma, without brackets; NULL: none. Not checked */
    size_t args_size;
    const struct sio_bytes *attachments; /* binary; `args` has a placeholder for each */
    size_t attachment_count;
    /* Conflation. In a client's queue a frame of the same kind and key that has not been sent yet
     * is replaced by this one, in its place; with key 0 nothing is. The new one may so arrive
     * before frames that were emitted between the two: keys are for values with a version. */
    uint32_t kind;
    uint64_t key;
};

/* Encodes once what many will get. The caller owns one reference; queues hold their own. */
struct sio_frame *sio_frame_new(const struct sio_namespace *namespace,
                                const struct sio_message *message);
struct sio_frame *sio_frame_ref(struct sio_frame *frame);
void sio_frame_unref(struct sio_frame *frame);
uint32_t sio_frame_kind(const struct sio_frame *frame);
uint64_t sio_frame_key(const struct sio_frame *frame);
size_t sio_frame_size(const struct sio_frame *frame); /* bytes, with attachments */

/* --- Callbacks ----------------------------------------------------------------------------- */

/* A CONNECT (protocol: "Connection to a namespace"). Borrowed: valid during the callback. */
struct sio_connect {
    const json_t *auth; /* the object that came, or an empty one */
    const char *auth_text;
    size_t auth_size;
    const char *address; /* of the peer, numeric */
};

/* Filled by a connect callback that refuses: the CONNECT_ERROR is {"message":...,"data":...}. */
struct sio_refusal {
    char message[120];
    json_t *data; /* taken; NULL: no "data" member */
};

enum sio_overflow {
    SIO_OVERFLOW_CLOSE, /* close the client: SIO_SLOW_CLIENT */
    SIO_OVERFLOW_DROP,  /* give up the frame that did not fit */
    SIO_OVERFLOW_KEEP   /* queue it all the same: sio_client_drop has made room, or it must go */
};

/* Members that are NULL are left out. `connect` NULL accepts everybody. */
struct sio_callbacks {
    /* Accepts (true) or refuses (false, `refusal` filled). Before it returns true the client has
     * been told nothing: what is emitted here follows the CONNECT packet. Rooms may be joined. */
    bool (*connect)(struct sio_socket *socket, const struct sio_connect *request,
                    struct sio_refusal *refusal);
    /* An event. `ack_id` is for sio_ack, now or later; -1: the client wants none. */
    void (*event)(struct sio_socket *socket, const char *name, const struct sio_args *args,
                  int64_t ack_id);
    /* The last call for this socket, which was accepted; it has left its rooms. */
    void (*disconnect)(struct sio_socket *socket, enum sio_reason reason);
    /* `frame` does not fit into the client's queue, conflation considered. NULL: close. */
    enum sio_overflow (*overflow)(struct sio_client *client, struct sio_frame *frame);
    /* After sio_server_drain: no client is left. */
    void (*drained)(struct sio_server *server);
    /* Set: the server is a plain Engine.IO one, without namespaces; this is every message. */
    void (*message)(struct sio_client *client, const struct sio_bytes *message, bool is_binary);
};

/* --- The server ---------------------------------------------------------------------------- */

/* `config` and `callbacks` are borrowed until sio_server_free. Namespaces other than those added
 * are refused with "Invalid namespace". */
struct sio_server *sio_server_new(const struct sio_config *config,
                                  const struct sio_callbacks *callbacks, void *context);
struct sio_namespace *sio_namespace_add(struct sio_server *server, const char *name); /* "/" */

/* Frees all, without telling anybody. Close its transports first (sio_transport_close). */
void sio_server_free(struct sio_server *server);

void *sio_server_context(const struct sio_server *server);
const struct sio_stats *sio_server_stats(const struct sio_server *server);

/* Ends gently: newcomers get 503, and clients are closed one after another, evenly over
 * `spread_us`, so that they do not come back all at once. Each gets its queue, then an Engine.IO
 * close, after which the JavaScript client reconnects by itself. To tell them when, broadcast an
 * event first. Called again with 0: closes the rest now. Then `drained` is called. */
void sio_server_drain(struct sio_server *server, int64_t spread_us);

/* --- Sockets ------------------------------------------------------------------------------- */

const char *sio_socket_id(const struct sio_socket *socket); /* its public sid, 20 characters */
/* Never used twice. For work that outlives the socket: sio_socket_find is NULL once it is gone. */
uint64_t sio_socket_number(const struct sio_socket *socket);
struct sio_socket *sio_socket_find(const struct sio_server *server, uint64_t number);

struct sio_server *sio_socket_server(const struct sio_socket *socket);
struct sio_namespace *sio_socket_namespace(const struct sio_socket *socket);
struct sio_client *sio_socket_client(const struct sio_socket *socket);
const char *sio_namespace_name(const struct sio_namespace *namespace);

/* A pointer of the application's, NULL at first. */
void sio_socket_set_data(struct sio_socket *socket, void *data);
void *sio_socket_data(const struct sio_socket *socket);

/* Sends an event to one socket. */
void sio_emit(struct sio_socket *socket, const struct sio_message *message);
void sio_emit_frame(struct sio_socket *socket, struct sio_frame *frame); /* takes no reference */

/* Sends an event and asks for an acknowledgement. `then` is called once: with what the client
 * answered, or with `args` NULL when the socket is gone or ack_timeout_us has passed (at once when
 * it is marked already). */
typedef void (*sio_ack_handler)(struct sio_socket *socket, const struct sio_args *args,
                                void *context);
void sio_emit_ack(struct sio_socket *socket, const struct sio_message *message,
                  sio_ack_handler then, void *context);

/* Answers an event: `message` without event, kind and key. Nothing is sent for ack_id -1. */
void sio_ack(struct sio_socket *socket, int64_t ack_id, const struct sio_message *message);

/* Takes the socket out of its namespace: the client gets a DISCONNECT, after which the JavaScript
 * client does not come back by itself. */
void sio_socket_disconnect(struct sio_socket *socket);

/* --- Rooms --------------------------------------------------------------------------------- */

/* False when it was (was not) in the room already. A room exists as long as a socket is in it. */
bool sio_join(struct sio_socket *socket, const char *room);
bool sio_leave(struct sio_socket *socket, const char *room);
size_t sio_socket_room_count(const struct sio_socket *socket);
size_t sio_room_size(const struct sio_namespace *namespace, const char *room);

/* Queues the frame for every socket in the room (NULL: in the namespace) but `except` (or NULL).
 * Returns for how many. Takes no reference. */
size_t sio_broadcast(struct sio_namespace *namespace, const char *room, struct sio_frame *frame,
                     const struct sio_socket *except);

/* Calls `visit` for each socket in the room (NULL: in the namespace). It may close sockets and
 * emit, but not join or leave. */
void sio_room_each(struct sio_namespace *namespace, const char *room,
                   void (*visit)(struct sio_socket *socket, void *context), void *context);

/* --- Clients: the connection under the sockets --------------------------------------------- */

const char *sio_client_id(const struct sio_client *client); /* secret: whoever has it, is it */
const char *sio_client_address(const struct sio_client *client);
enum sio_transport_kind sio_client_transport(const struct sio_client *client);
size_t sio_client_queued_frames(const struct sio_client *client);
size_t sio_client_queued_bytes(const struct sio_client *client);

/* Sends a message as it is, on a plain Engine.IO server (sio_callbacks.message). */
void sio_client_send(struct sio_client *client, const struct sio_bytes *message, bool is_binary);

/* Gives up queued frames for which `superseded` says true; returns how many. */
size_t sio_client_drop(struct sio_client *client,
                       bool (*superseded)(const struct sio_frame *frame, void *context),
                       void *context);

/* Closes the connection, and with it all its sockets. What is queued is still sent, unless the
 * reason is SIO_SLOW_CLIENT. */
void sio_client_close(struct sio_client *client, enum sio_reason reason);

#endif
