/* ack.c - acknowledgements that the server waits for. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/engine.h"

#include <stdlib.h>

void sio_emit_ack(struct sio_socket *socket, const struct sio_message *message,
                  sio_ack_handler then, void *context)
{
    struct sio_server *server = socket->namespace->server;
    if (socket->is_doomed) {
        then(socket, NULL, context);
        return;
    }
    struct ack *ack = server_allocate(sizeof *ack);
    ack->id = socket->next_ack++;
    ack->then = then;
    ack->context = context;
    ack->socket = socket;
    ack->next = socket->acks;
    socket->acks = ack;
    server_set_deadline(server, &server->acks, &ack->deadline, ack, server->config->ack_timeout_us);
    socket_send_new(socket, frame_event(socket->namespace->name, ack->id, message));
}

static void ack_finish(struct ack **at, const struct sio_args *args)
{
    struct ack *ack = *at;
    *at = ack->next;
    deadline_clear(&ack->deadline);
    ack->then(ack->socket, args, ack->context);
    free(ack);
}

void ack_expire(struct ack *ack)
{
    struct ack **at = &ack->socket->acks;
    while (*at != ack)
        at = &(*at)->next;
    ack_finish(at, NULL);
}

void ack_receive(struct sio_socket *socket, int64_t id, const struct sio_args *args)
{
    struct ack **at = &socket->acks;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    if (*at)
        ack_finish(at, args);
}

void ack_abandon_all(struct sio_socket *socket)
{
    while (socket->acks)
        ack_finish(&socket->acks, NULL);
}

void ack_free_all(struct sio_socket *socket)
{
    for (struct ack *ack = socket->acks, *next; ack; ack = next) {
        next = ack->next;
        deadline_clear(&ack->deadline);
        free(ack);
    }
}
