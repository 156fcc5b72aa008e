/* link.c - what comes from a transport: requests to check, polls, POSTs, WebSockets and their
 * messages. The errors and their order are the reference server's (engine.io 6).
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/engine.h"

#include "base/clock.h"

#include <string.h>

/* Timers of both sides count in whole milliseconds, from the last turn of their loops: a client
 * that comes when by its own clock its time is just over finds that it is. */
enum { TIMER_SLACK_US = 10 * 1000 };

const char *engine_error_text(enum engine_error error)
{
    static const char *const texts[] = {
        [ENGINE_UNKNOWN_TRANSPORT] = "Transport unknown",
        [ENGINE_UNKNOWN_SID] = "Session ID unknown",
        [ENGINE_BAD_HANDSHAKE_METHOD] = "Bad handshake method",
        [ENGINE_BAD_REQUEST] = "Bad request",
        [ENGINE_FORBIDDEN] = "Forbidden",
        [ENGINE_UNSUPPORTED_VERSION] = "Unsupported protocol version",
    };
    return error == ENGINE_OK ? "" : texts[error];
}

/* --- Links ----------------------------------------------------------------------------------- */

void link_detach(struct sio_link **link)
{
    if (*link) {
        (*link)->client = NULL;
        (*link)->role = LINK_IDLE;
    }
    *link = NULL;
}

void link_drop(struct sio_link **link, bool politely)
{
    struct sio_link *dropped = *link;
    if (!dropped)
        return;
    const struct link_ops *ops = dropped->client->server->ops;
    link_detach(link);
    ops->close(dropped, politely);
}

void link_answer(struct sio_link **link, char packet)
{
    struct buf body = {0};
    struct sio_link *answered = *link;
    const struct link_ops *ops = answered->client->server->ops;
    link_detach(link);
    buf_char(&body, packet);
    ops->answer(answered, &body);
    buf_free(&body);
}

static void link_attach(struct sio_link **slot, struct sio_client *client, struct sio_link *link,
                        enum link_role role)
{
    link->client = client;
    link->role = role;
    *slot = link;
}

/* --- Requests -------------------------------------------------------------------------------- */

static struct sio_client *client_find(struct sio_server *server, const char *sid)
{
    struct table_node *node =
        table_first(&server->clients, table_hash(&server->clients, sid, strlen(sid)));
    for (; node; node = table_next(node))
        if (!strcmp(((struct sio_client *)node)->sid, sid))
            return (struct sio_client *)node;
    return NULL;
}

static enum engine_error verify_known(struct sio_client *client,
                                      const struct engine_request *request)
{
    bool is_polling = !strcmp(request->transport, "polling");
    if (!client)
        return ENGINE_UNKNOWN_SID;
    if (request->is_upgrade)
        return is_polling ? ENGINE_BAD_REQUEST : ENGINE_OK;
    bool is_method = !strcmp(request->method, "GET") || !strcmp(request->method, "POST");
    return is_polling == (client->kind == SIO_POLLING) && is_polling && is_method
               ? ENGINE_OK
               : ENGINE_BAD_REQUEST;
}

static enum engine_error verify_handshake(const struct engine_request *request)
{
    if (strcmp(request->method, "GET") != 0)
        return ENGINE_BAD_HANDSHAKE_METHOD;
    if (request->is_upgrade != !strcmp(request->transport, "websocket"))
        return ENGINE_BAD_REQUEST;
    if (!request->version || strcmp(request->version, "4") != 0)
        return ENGINE_UNSUPPORTED_VERSION;
    return ENGINE_OK;
}

enum engine_error engine_verify(struct sio_server *server, const struct engine_request *request,
                                struct sio_client **client)
{
    enum engine_error error = ENGINE_UNKNOWN_TRANSPORT;
    const char *transport = request->transport;
    server_run_deadlines(server, clock_mono_us() + TIMER_SLACK_US);
    server_settle(server);
    *client = NULL;
    if (transport && (!strcmp(transport, "polling") || !strcmp(transport, "websocket"))) {
        if (request->sid)
            *client = client_find(server, request->sid);
        error = request->sid ? verify_known(*client, request) : verify_handshake(request);
    }
    if (error != ENGINE_OK)
        server->stats.refused_bad++;
    return error;
}

bool engine_is_full(struct sio_server *server)
{
    bool is_full =
        server->is_draining || server->clients.count >= (size_t)server->config->connections_max;
    if (is_full)
        server->stats.refused_full++;
    return is_full;
}

/* --- Packets --------------------------------------------------------------------------------- */

static bool flood_is_over(struct sio_client *client)
{
    const struct option_quota *flood = &client->server->config->flood;
    if (flood->count == 0)
        return false;
    int64_t now_us = clock_mono_us();
    if (now_us - client->flood_from_us >= flood->window_us) {
        client->flood_from_us = now_us;
        client->flood_count = 0;
    }
    return ++client->flood_count > flood->count;
}

static void message_receive(struct sio_client *client, const char *data, size_t size,
                            bool is_binary)
{
    const struct sio_callbacks *callbacks = client->server->callbacks;
    client->server->stats.packets_in++;
    client->server->stats.bytes_in += size;
    if (callbacks->message)
        callbacks->message(client, &(struct sio_bytes){data, size}, is_binary);
    else if (is_binary)
        socket_receive_binary(client, data, size);
    else
        socket_receive(client, data, size);
}

static void pong_receive(struct sio_client *client)
{
    struct sio_server *server = client->server;
    server_set_deadline(server, &server->pings, &client->ping, client,
                        server->config->ping_interval_us);
}

static void close_receive(struct sio_client *client)
{
    client->final_packet = PAYLOAD_NOOP;
    client_doom(client, SIO_TRANSPORT_CLOSE);
}

static void packet_receive(struct sio_client *client, const struct payload_packet *packet)
{
    if (flood_is_over(client)) {
        client_doom(client, SIO_FLOOD);
        return;
    }
    switch (packet->type) {
    case PAYLOAD_MESSAGE:
        message_receive(client, packet->data, packet->size, packet->is_binary);
        break;
    case PAYLOAD_PONG: pong_receive(client); break;
    case PAYLOAD_CLOSE: close_receive(client); break;
    case PAYLOAD_PING: client_doom(client, SIO_TRANSPORT_ERROR); break; /* servers ping */
    default: break; /* the reference server overlooks these as well */
    }
}

static void text_receive(struct sio_client *client, const char *text, size_t size,
                         struct buf *scratch)
{
    struct payload_packet packet;
    if (payload_packet(&packet, text, size, scratch))
        packet_receive(client, &packet);
    else
        client_doom(client, SIO_PARSE_ERROR);
}

/* --- HTTP long-polling ----------------------------------------------------------------------- */

bool engine_poll(struct sio_client *client, struct sio_link *link)
{
    if (client->poll) {
        client_doom(client, SIO_TRANSPORT_ERROR);
        return false;
    }
    link_attach(&client->poll, client, link, LINK_POLL);
    if (client->queue.count > 0 || client->has_probed || client->state == CLIENT_CLOSING)
        client->server->ops->wake(link);
    return true;
}

bool engine_post_begin(struct sio_client *client, struct sio_link *link)
{
    if (!client_is_open(client))
        return false;
    if (client->post) {
        client_doom(client, SIO_TRANSPORT_ERROR);
        return false;
    }
    link_attach(&client->post, client, link, LINK_POST);
    return true;
}

bool engine_post(struct sio_link *link, const char *body, size_t size)
{
    struct buf scratch = {0};
    struct sio_client *client = link->client;
    if (!client)
        return false;
    link_detach(&client->post);
    do {
        const char *packet;
        size_t packet_size;
        payload_split(&body, &size, &packet, &packet_size);
        text_receive(client, packet, packet_size, &scratch);
    } while (body && client_is_open(client));
    buf_free(&scratch);
    bool is_fine = !client->is_doomed || client->reason == SIO_TRANSPORT_CLOSE;
    server_settle(client->server);
    return is_fine;
}

/* --- WebSocket ------------------------------------------------------------------------------- */

bool engine_probe(struct sio_client *client, struct sio_link *link)
{
    struct sio_server *server = client->server;
    if (!client_is_open(client) || client->kind != SIO_POLLING || client->probe)
        return false;
    link_attach(&client->probe, client, link, LINK_PROBE);
    server_set_deadline(server, &server->upgrades, &client->upgrade, client,
                        server->config->upgrade_timeout_us);
    return true;
}

/* From here on the client's polls end at once, so that it can be done with polling. */
static void probe_answer(struct sio_client *client)
{
    const struct link_ops *ops = client->server->ops;
    client->has_probed = true;
    ops->probe(client->probe, client->server->pong_probe);
    if (client->poll)
        ops->wake(client->poll);
}

static void client_upgrade(struct sio_client *client)
{
    struct sio_stats *stats = &client->server->stats;
    deadline_clear(&client->upgrade);
    client->websocket = client->probe;
    client->websocket->role = LINK_WEBSOCKET;
    client->probe = NULL;
    client->has_probed = false;
    client->kind = SIO_WEBSOCKET;
    stats->clients[SIO_POLLING]--;
    stats->clients[SIO_WEBSOCKET]++;
    stats->upgraded++;
    if (client->poll)
        link_answer(&client->poll, PAYLOAD_NOOP);
    client->server->ops->wake(client->websocket);
}

static void probe_receive(struct sio_client *client, const char *text, size_t size)
{
    if (size == 6 && !memcmp(text, "2probe", 6)) {
        probe_answer(client);
    } else if (size == 1 && *text == PAYLOAD_UPGRADE) {
        client_upgrade(client);
    } else {
        deadline_clear(&client->upgrade);
        client->has_probed = false;
        link_drop(&client->probe, true);
    }
}

void engine_receive(struct sio_link *link, const void *data, size_t size, bool is_binary)
{
    struct buf scratch = {0};
    struct sio_client *client = link->client;
    if (!client || !client_is_open(client))
        return;
    struct sio_server *server = client->server;
    if (link->role == LINK_PROBE)
        probe_receive(client, data, size);
    else if (is_binary)
        packet_receive(client, &(struct payload_packet){PAYLOAD_MESSAGE, true, data, size});
    else
        text_receive(client, data, size, &scratch);
    buf_free(&scratch);
    server_settle(server);
}

void engine_too_large(struct sio_link *link)
{
    if (link->client)
        client_doom(link->client, SIO_PAYLOAD_TOO_LARGE);
}

static void probe_gone(struct sio_client *client)
{
    link_detach(&client->probe);
    deadline_clear(&client->upgrade);
    client->has_probed = false;
}

void engine_gone(struct sio_link *link)
{
    struct sio_client *client = link->client;
    if (!client)
        return;
    enum link_role role = link->role;
    if (role == LINK_PROBE) {
        probe_gone(client);
        return;
    }
    link_detach(role == LINK_WEBSOCKET ? &client->websocket
                : role == LINK_POLL    ? &client->poll
                                       : &client->post);
    if (client->state == CLIENT_CLOSING)
        client_end(client);
    else
        client_doom(client, role == LINK_WEBSOCKET ? SIO_TRANSPORT_CLOSE : SIO_TRANSPORT_ERROR);
}
