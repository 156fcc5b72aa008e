/* socket.c - the sockets of a client: joining a namespace, events, acknowledgements, leaving.
 * https://socket.io/docs/v4/socket-io-protocol, "Exchange protocol". SPDX-License-Identifier:
 * Apache-2.0 */
#include "socketio/engine.h"

#include <stdlib.h>
#include <string.h>

/* --- Sending --------------------------------------------------------------------------------- */

/* What is emitted from within the connect callback follows the CONNECT packet. */
bool socket_send(struct sio_socket *socket, struct sio_frame *frame)
{
    struct sio_server *server = socket->namespace->server;
    if (socket->is_doomed)
        return false;
    if (server->connecting == socket) {
        queue_push(&server->held, frame);
        return true;
    }
    return client_send(socket->client, frame);
}

void socket_send_new(struct sio_socket *socket, struct sio_frame *frame)
{
    socket_send(socket, frame);
    sio_frame_unref(frame);
}

static void client_send_control(struct sio_client *client, enum packet_type type,
                                const char *namespace, const char *json)
{
    struct sio_frame *frame = frame_control(type, namespace, json);
    client_send(client, frame);
    sio_frame_unref(frame);
}

void sio_emit_frame(struct sio_socket *socket, struct sio_frame *frame)
{
    socket_send(socket, frame);
}

void sio_emit(struct sio_socket *socket, const struct sio_message *message)
{
    socket_send_new(socket, frame_event(socket->namespace->name, NO_ACK, message));
}

void sio_ack(struct sio_socket *socket, int64_t ack_id, const struct sio_message *message)
{
    if (ack_id != NO_ACK)
        socket_send_new(socket, frame_ack(socket->namespace->name, ack_id, message));
}

/* --- Joining and leaving a namespace --------------------------------------------------------- */

static struct sio_namespace *namespace_find(struct sio_server *server, const char *name,
                                            size_t size)
{
    struct sio_namespace *namespace = server->namespaces;
    while (namespace && (strlen(namespace->name) != size || memcmp(namespace->name, name, size)))
    namespace = namespace->next;
    return namespace;
}

static struct sio_socket *socket_of(struct sio_client *client, const struct packet *packet)
{
    struct sio_socket *socket = client->sockets;
    while (socket && (strlen(socket->namespace->name) != packet->namespace_size ||
                      memcmp(socket->namespace->name, packet->namespace, packet->namespace_size)))
        socket = socket->client_next;
    return socket;
}

static struct sio_socket *socket_new(struct sio_client *client, struct sio_namespace *namespace)
{
    struct sio_server *server = client->server;
    struct sio_socket *socket = server_allocate(sizeof *socket);
    socket->namespace = namespace;
    socket->client = client;
    socket->number = ++server->next_number;
    server_make_sid(socket->id);
    socket->client_next = client->sockets;
    client->sockets = socket;
    socket->next = namespace->sockets;
    if (namespace->sockets)
    namespace->sockets->previous = socket;
    namespace->sockets = socket;
    namespace->socket_count++;
    server->stats.sockets++;
    table_add(&server->sockets, &socket->by_number,
              table_hash(&server->sockets, &socket->number, sizeof socket->number));
    return socket;
}

/* Takes it out of every list; its memory stays. */
static void socket_unlink(struct sio_socket *socket)
{
    struct sio_namespace *namespace = socket->namespace;
    struct sio_socket **at = &socket->client->sockets;
    while (*at != socket)
        at = &(*at)->client_next;
    *at = socket->client_next;
    *(socket->previous ? &socket->previous->next : &namespace->sockets) = socket->next;
    if (socket->next)
        socket->next->previous = socket->previous;
    namespace->socket_count--;
    namespace->server->stats.sockets--;
    table_remove(&namespace->server->sockets, &socket->by_number);
}

void socket_free(struct sio_socket *socket)
{
    ack_free_all(socket);
    free(socket);
}

static void socket_undoom(struct sio_socket *socket)
{
    struct sio_socket **at = &socket->namespace->server->doomed_sockets;
    while (*at && *at != socket)
        at = &(*at)->doomed_next;
    if (*at)
        *at = socket->doomed_next;
}

void socket_end(struct sio_socket *socket, enum sio_reason reason)
{
    struct sio_client *client = socket->client;
    const struct sio_callbacks *callbacks = client->server->callbacks;
    if (socket->is_doomed)
        socket_undoom(socket);
    socket->is_doomed = true;
    room_leave_all(socket);
    socket_unlink(socket);
    ack_abandon_all(socket);
    if (callbacks->disconnect)
        callbacks->disconnect(socket, reason);
    socket_free(socket);
    if (!client->sockets)
        client_await_namespace(client);
}

void sio_socket_disconnect(struct sio_socket *socket)
{
    struct sio_server *server = socket->namespace->server;
    if (socket->is_doomed)
        return;
    struct sio_frame *frame = frame_control(PACKET_DISCONNECT, socket->namespace->name, "");
    socket_send_new(socket, frame);
    socket->is_doomed = true;
    socket->doomed_next = server->doomed_sockets;
    server->doomed_sockets = socket;
    server_arm(server);
}

static void connect_accept(struct sio_socket *socket)
{
    struct buf json = {0};
    struct sio_client *client = socket->client;
    struct queue *held = &client->server->held;
    buf_format(&json, "{\"sid\":\"%s\"}", socket->id);
    client_send_control(client, PACKET_CONNECT, socket->namespace->name, json.data);
    for (; held->count > 0; queue_pop(held))
        client_send(client, queue_at(held, 0));
    buf_free(&json);
}

static void connect_refuse(struct sio_client *client, const char *namespace,
                           const struct sio_refusal *refusal)
{
    struct buf json = {0};
    buf_text(&json, "{\"message\":");
    buf_json(&json, refusal->message, strlen(refusal->message));
    if (refusal->data) {
        char *data = json_dumps(refusal->data, JSON_COMPACT | JSON_ENCODE_ANY);
        buf_text(&json, ",\"data\":");
        buf_text(&json, data ? data : "null");
        free(data);
    }
    buf_char(&json, '}');
    client_send_control(client, PACKET_CONNECT_ERROR, namespace, json.data);
    client->server->stats.refused_sockets++;
    buf_free(&json);
}

static void refuse_unknown_namespace(struct sio_client *client, const struct packet *packet)
{
    struct buf name = {0};
    buf_put(&name, packet->namespace, packet->namespace_size);
    connect_refuse(client, name.data, &(struct sio_refusal){.message = "Invalid namespace"});
    buf_free(&name);
}

/* Runs the application's callback; what it emits to the socket is held back meanwhile. */
static bool connect_ask(struct sio_socket *socket, const struct packet *packet, json_t *auth,
                        struct sio_refusal *refusal)
{
    struct sio_server *server = socket->client->server;
    json_t *given = auth ? json_incref(auth) : json_object();
    struct sio_connect request = {
        .auth = given,
        .auth_text = auth ? packet->data : "{}",
        .auth_size = auth ? packet->data_size : 2,
        .address = socket->client->address,
    };
    server->connecting = socket;
    bool accepted =
        !server->callbacks->connect || server->callbacks->connect(socket, &request, refusal);
    server->connecting = NULL;
    json_decref(given);
    return accepted;
}

static void connect_receive(struct sio_client *client, const struct packet *packet, json_t *auth)
{
    struct sio_server *server = client->server;
    struct sio_refusal refusal = {.message = "Not authorized"};
    struct sio_namespace *namespace =
        namespace_find(server, packet->namespace, packet->namespace_size);
    if (!namespace) {
        refuse_unknown_namespace(client, packet);
        return;
    }
    struct sio_socket *socket = socket_new(client, namespace);
    if (connect_ask(socket, packet, auth, &refusal)) {
        deadline_clear(&client->patience);
        connect_accept(socket);
        return;
    }
    connect_refuse(client, namespace->name, &refusal);
    json_decref(refusal.data);
    queue_free(&server->held);
    room_leave_all(socket);
    if (socket->is_doomed)
        socket_undoom(socket);
    socket_unlink(socket);
    socket_free(socket);
}

/* --- Packets --------------------------------------------------------------------------------- */

static void socket_dispatch(struct sio_socket *socket, const struct packet *packet,
                            const struct packet_content *content, const struct sio_args *args)
{
    const struct sio_callbacks *callbacks = socket->client->server->callbacks;
    if (socket->is_doomed)
        return;
    if (packet->type == PACKET_DISCONNECT)
        socket_end(socket, SIO_CLIENT_LEFT);
    else if (content->name && callbacks->event)
        callbacks->event(socket, content->name, args, packet->ack_id);
    else if (!content->name)
        ack_receive(socket, packet->ack_id, args);
}

/* As the reference server: a packet for a namespace the client is not in, and a second CONNECT,
 * end the connection. */
static void packet_dispatch(struct sio_client *client, const struct packet *packet,
                            const struct sio_bytes *attachments)
{
    struct packet_content content;
    struct sio_socket *socket = socket_of(client, packet);
    bool is_connect = packet->type == PACKET_CONNECT;
    if (!packet_read(&content, packet) || is_connect == (socket != NULL)) {
        client_doom(client, SIO_PARSE_ERROR);
    } else if (is_connect) {
        connect_receive(client, packet, content.json);
    } else {
        struct sio_args args = {content.json, content.args_text, content.args_size, attachments,
                                packet->attachment_count};
        socket_dispatch(socket, packet, &content, &args);
    }
    packet_content_free(&content);
}

void assembly_free(struct assembly *assembly)
{
    if (!assembly)
        return;
    for (size_t i = 0; i < assembly->count; i++)
        free((void *)assembly->attachments[i].data);
    free(assembly->attachments);
    buf_free(&assembly->text);
    free(assembly);
}

static void assembly_begin(struct sio_client *client, const char *text, size_t size)
{
    struct assembly *assembly = server_allocate(sizeof *assembly);
    buf_put(&assembly->text, text, size);
    if (!packet_decode(&assembly->packet, assembly->text.data, size))
        abort(); /* it was decoded before */
    assembly->attachments =
        server_allocate(assembly->packet.attachment_count * sizeof *assembly->attachments);
    assembly->bytes = size;
    client->assembly = assembly;
}

void socket_receive(struct sio_client *client, const char *text, size_t size)
{
    struct packet packet;
    if (client->assembly || !packet_decode(&packet, text, size))
        client_doom(client, SIO_PARSE_ERROR);
    else if (packet.attachment_count > 0)
        assembly_begin(client, text, size);
    else
        packet_dispatch(client, &packet, NULL);
}

static void assembly_add(struct assembly *assembly, const void *data, size_t size)
{
    void *copy = server_allocate(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    assembly->attachments[assembly->count++] = (struct sio_bytes){copy, size};
    assembly->bytes += size;
}

void socket_receive_binary(struct sio_client *client, const void *data, size_t size)
{
    struct assembly *assembly = client->assembly;
    if (!assembly) {
        client_doom(client, SIO_PARSE_ERROR);
        return;
    }
    assembly_add(assembly, data, size);
    if (assembly->bytes > (size_t)client->server->config->max_payload_bytes) {
        client_doom(client, SIO_PAYLOAD_TOO_LARGE);
    } else if (assembly->count == assembly->packet.attachment_count) {
        client->assembly = NULL;
        packet_dispatch(client, &assembly->packet, assembly->attachments);
        assembly_free(assembly);
    }
}

/* --- What the application asks ---------------------------------------------------------------- */

const char *sio_socket_id(const struct sio_socket *socket)
{
    return socket->id;
}

uint64_t sio_socket_number(const struct sio_socket *socket)
{
    return socket->number;
}

struct sio_socket *sio_socket_find(const struct sio_server *server, uint64_t number)
{
    struct table_node *node =
        table_first(&server->sockets, table_hash(&server->sockets, &number, sizeof number));
    while (node && ((struct sio_socket *)node)->number != number)
        node = table_next(node);
    struct sio_socket *socket = (struct sio_socket *)node;
    return socket && !socket->is_doomed ? socket : NULL;
}

struct sio_server *sio_socket_server(const struct sio_socket *socket)
{
    return socket->namespace->server;
}

struct sio_namespace *sio_socket_namespace(const struct sio_socket *socket)
{
    return socket->namespace;
}

struct sio_client *sio_socket_client(const struct sio_socket *socket)
{
    return socket->client;
}

const char *sio_namespace_name(const struct sio_namespace *namespace)
{
    return namespace->name;
}

void sio_socket_set_data(struct sio_socket *socket, void *data)
{
    socket->data = data;
}

void *sio_socket_data(const struct sio_socket *socket)
{
    return socket->data;
}
