/* client.c - one client: an Engine.IO session from its handshake to its end.
 *
 * open, then closing (its sockets have left, what is queued still goes out), then gone. A session
 * is moved on only in a turn of the server; everything else marks it with client_doom.
 * https://socket.io/docs/v4/engine-io-protocol. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/engine.h"

#include "base/base64.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a client may take to fetch its last packets. */
enum { CLOSING_US = 2 * 1000 * 1000 };

/* Keeps the server's sums right across a change of the queue. */
static void queue_account(struct sio_client *client, const struct queue *before)
{
    struct sio_stats *stats = &client->server->stats;
    stats->queued_frames += (size_t)client->queue.count - (size_t)before->count;
    stats->queued_bytes += client->queue.bytes - before->bytes;
}

static void client_push(struct sio_client *client, struct sio_frame *frame)
{
    struct queue before = client->queue;
    queue_push(&client->queue, frame);
    queue_account(client, &before);
}

static void client_pop(struct sio_client *client)
{
    struct sio_stats *stats = &client->server->stats;
    struct queue before = client->queue;
    stats->packets_out++;
    stats->bytes_out += queue_at(&client->queue, 0)->total_size;
    queue_pop(&client->queue);
    queue_account(client, &before);
}

void client_queue_clear(struct sio_client *client)
{
    struct queue before = client->queue;
    queue_free(&client->queue);
    queue_account(client, &before);
}

static void client_wake(struct sio_client *client)
{
    struct sio_link *link = client->websocket ? client->websocket : client->poll;
    if (link)
        client->server->ops->wake(link);
}

bool client_is_open(const struct sio_client *client)
{
    return client->state == CLIENT_OPEN && !client->is_doomed;
}

/* --- Sending --------------------------------------------------------------------------------- */

/* Whether what is queued waits for the peer, and not only for the end of this turn. */
static bool client_is_behind(const struct sio_client *client)
{
    return !client->websocket || client->websocket->is_congested;
}

static bool client_conflate(struct sio_client *client, struct sio_frame *frame)
{
    struct queue before = client->queue;
    if (!frame->key || !client_is_behind(client) || !queue_replace(&client->queue, frame))
        return false;
    queue_account(client, &before);
    client->server->stats.conflated++;
    return true;
}

static bool queue_has_room(const struct sio_client *client, const struct sio_frame *frame)
{
    const struct sio_config *config = client->server->config;
    return client->queue.count == 0 ||
           (client->queue.count < config->queue_frames_max &&
            client->queue.bytes + frame->total_size <= (size_t)config->queue_bytes_max);
}

/* Asks the application what to do about a full queue; true: queue the frame all the same. */
static bool client_overflow(struct sio_client *client, struct sio_frame *frame)
{
    const struct sio_callbacks *callbacks = client->server->callbacks;
    enum sio_overflow what =
        callbacks->overflow ? callbacks->overflow(client, frame) : SIO_OVERFLOW_CLOSE;
    if (what == SIO_OVERFLOW_KEEP)
        return client_is_open(client);
    client->server->stats.dropped++;
    if (what == SIO_OVERFLOW_CLOSE)
        client_doom(client, SIO_SLOW_CLIENT);
    return false;
}

bool client_send(struct sio_client *client, struct sio_frame *frame)
{
    if (!client_is_open(client))
        return false;
    if (client_conflate(client, frame))
        return true;
    if (!queue_has_room(client, frame) && !client_is_behind(client))
        client->server->ops->flush(client->websocket);
    if (!queue_has_room(client, frame) && !client_overflow(client, frame))
        return false;
    client_push(client, frame);
    client_wake(client);
    return true;
}

void sio_client_send(struct sio_client *client, const struct sio_bytes *message, bool is_binary)
{
    struct buf text = {0};
    struct sio_frame *frame;
    if (is_binary) {
        frame = frame_from_bytes(message->data, message->size);
    } else {
        buf_char(&text, PAYLOAD_MESSAGE);
        buf_put(&text, message->data, message->size);
        frame = frame_from_text(text.data, text.size);
    }
    client_send(client, frame);
    sio_frame_unref(frame);
    buf_free(&text);
}

size_t engine_peek(struct sio_link *link, struct sio_frame *frames[], size_t max)
{
    struct sio_client *client = link->client;
    if (!client || client->websocket != link || client->queue.count == 0)
        return 0;
    if (client->is_doomed && client->reason == SIO_SLOW_CLIENT)
        return 0;
    const struct queue *queue = &client->queue;
    struct sio_frame *part = queue->part ? queue->part : queue_at(queue, 0);
    size_t count = 0;
    for (uint32_t i = 0; count < max; part = part->next) {
        if (!part && ++i == queue->count)
            break;
        part = part ? part : queue_at(queue, i);
        frames[count++] = part;
    }
    return count;
}

void engine_sent(struct sio_link *link, size_t count)
{
    struct sio_client *client = link->client;
    struct queue *queue = &client->queue;
    for (; count > 0; count--) {
        queue->part = (queue->part ? queue->part : queue_at(queue, 0))->next;
        if (!queue->part)
            client_pop(client);
    }
    if (client->state == CLIENT_CLOSING && queue->count == 0)
        client_end(client);
}

static void put_packet(struct buf *body, const struct sio_frame *part)
{
    if (body->size > 0)
        buf_char(body, SEPARATOR);
    if (part->is_binary) {
        buf_char(body, 'b');
        base64_encode(body, part->bytes, part->size);
    } else {
        buf_put(body, part->bytes, part->size);
    }
}

static void put_bare_packet(struct buf *body, char type)
{
    if (body->size > 0)
        buf_char(body, SEPARATOR);
    buf_char(body, type);
}

void engine_poll_answer(struct sio_link *link, struct buf *body)
{
    struct sio_client *client = link->client;
    if (!client) {
        put_bare_packet(body, PAYLOAD_CLOSE);
        return;
    }
    for (; client->queue.count > 0; client_pop(client))
        for (const struct sio_frame *part = queue_at(&client->queue, 0); part; part = part->next)
            put_packet(body, part);
    link_detach(&client->poll);
    if (client->state == CLIENT_CLOSING) {
        put_bare_packet(body, client->final_packet);
        client_end(client);
    } else if (body->size == 0) {
        put_bare_packet(body, PAYLOAD_NOOP);
    }
}

/* --- Opening --------------------------------------------------------------------------------- */

static void put_open_packet(struct buf *text, const struct sio_client *client)
{
    const struct sio_config *config = client->server->config;
    buf_format(text, "0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%lld,", client->sid,
               client->kind == SIO_POLLING ? "\"websocket\"" : "",
               (long long)(config->ping_interval_us / 1000));
    buf_format(text, "\"pingTimeout\":%lld,\"maxPayload\":%lld}",
               (long long)(config->ping_timeout_us / 1000), (long long)config->max_payload_bytes);
}

static void client_greet(struct sio_client *client)
{
    struct buf text = {0};
    put_open_packet(&text, client);
    struct sio_frame *frame = frame_from_text(text.data, text.size);
    client_push(client, frame);
    sio_frame_unref(frame);
    buf_free(&text);
    client_wake(client);
}

static struct sio_client *client_new(struct sio_server *server, enum sio_transport_kind kind,
                                     const char *address)
{
    struct sio_client *client = server_allocate(sizeof *client);
    client->server = server;
    client->kind = kind;
    client->final_packet = PAYLOAD_CLOSE;
    server_make_sid(client->sid);
    snprintf(client->address, sizeof client->address, "%s", address);
    table_add(&server->clients, &client->by_sid,
              table_hash(&server->clients, client->sid, SID_SIZE - 1));
    client->next = server->all;
    if (server->all)
        server->all->previous = client;
    server->all = client;
    server->stats.clients[kind]++;
    server->stats.opened[kind]++;
    return client;
}

void client_await_namespace(struct sio_client *client)
{
    struct sio_server *server = client->server;
    if (client_is_open(client) && !server->callbacks->message)
        server_set_deadline(server, &server->connects, &client->patience, client,
                            server->config->connect_timeout_us);
}

void engine_open(struct sio_server *server, enum sio_transport_kind kind, struct sio_link *link,
                 const char *address)
{
    struct sio_client *client = client_new(server, kind, address);
    link->client = client;
    link->role = kind == SIO_POLLING ? LINK_POLL : LINK_WEBSOCKET;
    *(kind == SIO_POLLING ? &client->poll : &client->websocket) = link;
    server_set_deadline(server, &server->pings, &client->ping, client,
                        server->config->ping_interval_us);
    client_await_namespace(client);
    client_greet(client);
}

void client_ping(struct sio_client *client, int64_t due_us)
{
    struct sio_server *server = client->server;
    int64_t now_us = clock_mono_us(), timeout_us = server->config->ping_timeout_us;
    /* The client's own clock runs from when the ping was due. Only when the loop was held up so
     * long that its pong might not come in time any more is it given all the time again. */
    int64_t sent_us = now_us - due_us < timeout_us / 4 ? due_us : now_us;
    client_push(client, server->ping);
    deadline_set(&server->pongs, &client->ping, client, sent_us + timeout_us);
    client_wake(client);
}

/* --- Closing --------------------------------------------------------------------------------- */

void client_doom(struct sio_client *client, enum sio_reason reason)
{
    if (!client_is_open(client))
        return;
    client->is_doomed = true;
    client->reason = reason;
    client->doomed_next = client->server->doomed;
    client->server->doomed = client;
    server_arm(client->server);
}

void sio_client_close(struct sio_client *client, enum sio_reason reason)
{
    client_doom(client, reason);
}

/* Whether one that polls and has no poll open now is told at its next one. */
static bool reason_waits(const struct sio_client *client)
{
    switch (client->reason) {
    case SIO_TRANSPORT_CLOSE: return client->final_packet == PAYLOAD_NOOP;
    case SIO_SERVER_CLOSE:
    case SIO_SERVER_SHUTDOWN:
    case SIO_CONNECT_TIMEOUT:
    case SIO_FLOOD: return true;
    default: return false;
    }
}

void client_end(struct sio_client *client)
{
    struct sio_server *server = client->server;
    if (client->state == CLIENT_GONE)
        return;
    client->state = CLIENT_GONE;
    deadline_clear(&client->patience);
    client_queue_clear(client);
    link_drop(&client->websocket, client->reason != SIO_SLOW_CLIENT);
    if (client->poll)
        link_answer(&client->poll, client->final_packet);
    table_remove(&server->clients, &client->by_sid);
    *(client->previous ? &client->previous->next : &server->all) = client->next;
    if (client->next)
        client->next->previous = client->previous;
    server->stats.clients[client->kind]--;
    client->doomed_next = server->gone;
    server->gone = client;
    server_arm(server);
}

static void client_leave(struct sio_client *client)
{
    while (client->sockets)
        socket_end(client->sockets, client->reason);
    deadline_clear(&client->ping);
    deadline_clear(&client->upgrade);
    deadline_clear(&client->patience);
    link_drop(&client->probe, true);
    link_detach(&client->post);
    assembly_free(client->assembly);
    client->assembly = NULL;
}

void client_close(struct sio_client *client)
{
    struct sio_server *server = client->server;
    client->state = CLIENT_CLOSING;
    server->stats.closed[client->reason]++;
    client_leave(client);
    if (client->reason == SIO_SLOW_CLIENT)
        client_queue_clear(client);
    bool waits = client->kind == SIO_POLLING ? client->poll || reason_waits(client)
                                             : client->websocket && client->queue.count > 0;
    if (!waits) {
        client_end(client);
        return;
    }
    server_set_deadline(server, &server->closings, &client->patience, client, CLOSING_US);
    client_wake(client);
}

void client_free(struct sio_client *client)
{
    queue_free(&client->queue);
    assembly_free(client->assembly);
    free(client);
}

/* --- What the application asks ---------------------------------------------------------------- */

const char *sio_client_id(const struct sio_client *client)
{
    return client->sid;
}

const char *sio_client_address(const struct sio_client *client)
{
    return client->address;
}

enum sio_transport_kind sio_client_transport(const struct sio_client *client)
{
    return client->kind;
}

size_t sio_client_queued_frames(const struct sio_client *client)
{
    return client->queue.count;
}

size_t sio_client_queued_bytes(const struct sio_client *client)
{
    return client->queue.bytes;
}

size_t sio_client_drop(struct sio_client *client,
                       bool (*superseded)(const struct sio_frame *frame, void *context),
                       void *context)
{
    struct queue before = client->queue;
    size_t count = queue_drop(&client->queue, superseded, context);
    queue_account(client, &before);
    client->server->stats.dropped += count;
    return count;
}
