/* room.c - rooms: named sets of sockets, and one frame for all in them. SPDX-License-Identifier:
 * Apache-2.0 */
#include "socketio/engine.h"

#include <stdlib.h>
#include <string.h>

static struct room *room_find(const struct sio_namespace *namespace, const char *name)
{
    struct table_node *node =
        table_first(&namespace->rooms, table_hash(&namespace->rooms, name, strlen(name)));
    while (node && strcmp(((struct room *)node)->name, name) != 0)
        node = table_next(node);
    return (struct room *)node;
}

static struct room *room_new(struct sio_namespace *namespace, const char *name)
{
    size_t size = strlen(name);
    struct room *room = server_allocate(sizeof *room + size + 1);
    room->namespace = namespace;
    memcpy(room->name, name, size);
    table_add(&namespace->rooms, &room->by_name, table_hash(&namespace->rooms, name, size));
    namespace->server->stats.rooms++;
    return room;
}

static void room_free(struct room *room)
{
    table_remove(&room->namespace->rooms, &room->by_name);
    room->namespace->server->stats.rooms--;
    free(room);
}

/* A socket is in few rooms, or in fewer than others are in the room: the shorter list is walked. */
static struct membership *membership_find(const struct room *room, const struct sio_socket *socket)
{
    struct membership *member;
    if (room->count < socket->room_count) {
        for (member = room->members; member && member->socket != socket;)
            member = member->room_next;
    } else {
        for (member = socket->rooms; member && member->room != room;)
            member = member->socket_next;
    }
    return member;
}

bool sio_join(struct sio_socket *socket, const char *name)
{
    struct sio_namespace *namespace = socket->namespace;
    struct room *room = room_find(namespace, name);
    if (room && membership_find(room, socket))
        return false;
    if (!room)
        room = room_new(namespace, name);
    struct membership *member = server_allocate(sizeof *member);
    *member = (struct membership){
        .room = room, .socket = socket, .room_next = room->members, .socket_next = socket->rooms};
    if (room->members)
        room->members->room_previous = member;
    if (socket->rooms)
        socket->rooms->socket_previous = member;
    room->members = member;
    socket->rooms = member;
    room->count++;
    socket->room_count++;
    namespace->server->stats.memberships++;
    return true;
}

static void membership_end(struct membership *member)
{
    struct room *room = member->room;
    struct sio_socket *socket = member->socket;
    *(member->room_previous ? &member->room_previous->room_next : &room->members) =
        member->room_next;
    if (member->room_next)
        member->room_next->room_previous = member->room_previous;
    *(member->socket_previous ? &member->socket_previous->socket_next : &socket->rooms) =
        member->socket_next;
    if (member->socket_next)
        member->socket_next->socket_previous = member->socket_previous;
    socket->room_count--;
    room->namespace->server->stats.memberships--;
    free(member);
    if (--room->count == 0)
        room_free(room);
}

bool sio_leave(struct sio_socket *socket, const char *name)
{
    struct room *room = room_find(socket->namespace, name);
    struct membership *member = room ? membership_find(room, socket) : NULL;
    if (member)
        membership_end(member);
    return member != NULL;
}

void room_leave_all(struct sio_socket *socket)
{
    while (socket->rooms)
        membership_end(socket->rooms);
}

size_t sio_socket_room_count(const struct sio_socket *socket)
{
    return socket->room_count;
}

size_t sio_room_size(const struct sio_namespace *namespace, const char *name)
{
    const struct room *room = room_find(namespace, name);
    return room ? room->count : 0;
}

void sio_room_each(struct sio_namespace *namespace, const char *name,
                   void (*visit)(struct sio_socket *socket, void *context), void *context)
{
    if (!name) {
        for (struct sio_socket *socket = namespace->sockets; socket; socket = socket->next)
            visit(socket, context);
        return;
    }
    const struct room *room = room_find(namespace, name);
    struct membership *member = room ? room->members : NULL;
    for (; member; member = member->room_next)
        visit(member->socket, context);
}

struct delivery {
    struct sio_frame *frame;
    const struct sio_socket *except;
    size_t count;
};

static void deliver(struct sio_socket *socket, void *context)
{
    struct delivery *delivery = context;
    if (socket != delivery->except && socket_send(socket, delivery->frame))
        delivery->count++;
}

size_t sio_broadcast(struct sio_namespace *namespace, const char *room, struct sio_frame *frame,
                     const struct sio_socket *except)
{
    struct delivery delivery = {frame, except, 0};
    sio_room_each(namespace, room, deliver, &delivery);
    namespace->server->stats.broadcasts++;
    namespace->server->stats.deliveries += delivery.count;
    return delivery.count;
}
