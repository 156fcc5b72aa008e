/* server.c - the server: its settings, its namespaces, its turns and its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/engine.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

enum { DRAIN_STEP_US = 20 * 1000 };

#define MEMBER(member) offsetof(struct sio_config, member)
/* clang-format off */
const struct option sio_options[] = {
    {.name = "path", .type = OPTION_TEXT, .offset = MEMBER(path), .preset = "/socket.io/",
     .argument = "PATH", .summary = "where the Socket.IO endpoint is"},
    {.name = "cors-origins", .type = OPTION_TEXT, .offset = MEMBER(cors_origins),
     .argument = "LIST", .summary = "origins that browsers may connect from: *, or by comma"},
    {.name = "ping-interval", .type = OPTION_DURATION, .offset = MEMBER(ping_interval_us),
     .preset = "25s", .argument = "DURATION", .min = 1000, .max = INT64_C(3600000000),
     .summary = "time between pings"},
    {.name = "ping-timeout", .type = OPTION_DURATION, .offset = MEMBER(ping_timeout_us),
     .preset = "20s", .argument = "DURATION", .min = 1000, .max = INT64_C(3600000000),
     .summary = "longest wait for a pong"},
    {.name = "connect-timeout", .type = OPTION_DURATION, .offset = MEMBER(connect_timeout_us),
     .preset = "45s", .argument = "DURATION", .min = 1000, .max = INT64_C(3600000000),
     .summary = "longest time outside every namespace"},
    {.name = "upgrade-timeout", .type = OPTION_DURATION, .offset = MEMBER(upgrade_timeout_us),
     .preset = "10s", .argument = "DURATION", .min = 1000, .max = INT64_C(3600000000),
     .summary = "longest time between probe and upgrade"},
    {.name = "ack-timeout", .type = OPTION_DURATION, .offset = MEMBER(ack_timeout_us),
     .preset = "10s", .argument = "DURATION", .min = 1000, .max = INT64_C(3600000000),
     .summary = "longest wait for a client's acknowledgement"},
    {.name = "max-payload", .type = OPTION_SIZE, .offset = MEMBER(max_payload_bytes),
     .preset = "64KiB", .argument = "SIZE", .min = 128, .max = 64 << 20,
     .summary = "largest message from a client"},
    {.name = "max-connections", .type = OPTION_INT, .offset = MEMBER(connections_max),
     .preset = "10000", .argument = "N", .min = 1, .max = 1000000,
     .summary = "clients at once; more get 503"},
    {.name = "queue-bytes", .type = OPTION_SIZE, .offset = MEMBER(queue_bytes_max),
     .preset = "256KiB", .argument = "SIZE", .min = 1024, .max = 64 << 20,
     .summary = "how much may wait for one client"},
    {.name = "queue-frames", .type = OPTION_INT, .offset = MEMBER(queue_frames_max),
     .preset = "256", .argument = "N", .min = 1, .max = 100000,
     .summary = "how many messages may wait for one client"},
    {.name = "permessage-deflate", .type = OPTION_SIZE, .offset = MEMBER(deflate_min_bytes),
     .preset = "0", .argument = "SIZE", .max = 64 << 20,
     .summary = "compress messages from this size on (RFC 7692); 0: none"},
    {.name = "flood-limit", .type = OPTION_QUOTA, .offset = MEMBER(flood), .preset = "100/1s",
     .argument = "N/DURATION", .summary = "packets a client may send; 0: no limit"},
};
/* clang-format on */
_Static_assert(sizeof sio_options / sizeof *sio_options == SIO_OPTION_COUNT, "options counted");

const char *sio_reason_name(enum sio_reason reason)
{
    static const char *const names[SIO_REASONS] = {
        [SIO_TRANSPORT_CLOSE] = "transport close",
        [SIO_TRANSPORT_ERROR] = "transport error",
        [SIO_PING_TIMEOUT] = "ping timeout",
        [SIO_PARSE_ERROR] = "parse error",
        [SIO_CLIENT_LEFT] = "client namespace disconnect",
        [SIO_SERVER_LEFT] = "server namespace disconnect",
        [SIO_SERVER_CLOSE] = "forced server close",
        [SIO_SERVER_SHUTDOWN] = "server shutting down",
        [SIO_CONNECT_TIMEOUT] = "connect timeout",
        [SIO_SLOW_CLIENT] = "slow client",
        [SIO_FLOOD] = "flood",
        [SIO_PAYLOAD_TOO_LARGE] = "payload too large",
    };
    return names[reason];
}

const char *sio_transport_name(enum sio_transport_kind kind)
{
    return kind == SIO_POLLING ? "polling" : "websocket";
}

void *server_allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        abort();
    return memory;
}

/* 120 random bits in base64url. */
void server_make_sid(char sid[SID_SIZE])
{
    static const char ALPHABET[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[SID_SIZE - 1];
    random_fill(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        sid[i] = ALPHABET[bytes[i] & 63];
    sid[SID_SIZE - 1] = 0;
}

void server_arm(struct sio_server *server)
{
    if (server->ops)
        server->ops->arm(server->transport);
}

/* `duration_us` from now on. */
void server_set_deadline(struct sio_server *server, struct deadline_list *list,
                         struct deadline *deadline, void *owner, int64_t duration_us)
{
    int64_t due_us = clock_mono_us() + duration_us;
    deadline_set(list, deadline, owner, due_us);
    if (due_us < server->next_turn_us) {
        server->next_turn_us = due_us;
        server_arm(server);
    }
}

struct sio_server *sio_server_new(const struct sio_config *config,
                                  const struct sio_callbacks *callbacks, void *context)
{
    struct sio_server *server = server_allocate(sizeof *server);
    server->config = config;
    server->callbacks = callbacks;
    server->context = context;
    server->ping = frame_from_text("2", 1);
    server->pong_probe = frame_from_text("3probe", 6);
    server->next_turn_us = INT64_MAX;
    table_init(&server->clients);
    table_init(&server->sockets);
    return server;
}

struct sio_namespace *sio_namespace_add(struct sio_server *server, const char *name)
{
    size_t size = strlen(name);
    struct sio_namespace *namespace = server_allocate(sizeof *namespace + size + 1);
    memcpy(namespace->name, name, size);
    namespace->server = server;
    namespace->next = server->namespaces;
    server->namespaces = namespace;
    table_init(&namespace->rooms);
    return namespace;
}

void engine_attach(struct sio_server *server, const struct link_ops *ops, void *transport)
{
    server->ops = ops;
    server->transport = transport;
}

const struct sio_config *engine_config(const struct sio_server *server)
{
    return server->config;
}

static void free_clients(struct sio_client *client)
{
    for (struct sio_client *next; client; client = next) {
        next = client->next;
        for (struct sio_socket *socket = client->sockets, *other; socket; socket = other) {
            other = socket->client_next;
            room_leave_all(socket);
            socket_free(socket);
        }
        client_free(client);
    }
}

static void server_free_gone(struct sio_server *server)
{
    for (struct sio_client *client = server->gone, *next; client; client = next) {
        next = client->doomed_next;
        client_free(client);
    }
    server->gone = NULL;
}

void sio_server_free(struct sio_server *server)
{
    if (!server)
        return;
    free_clients(server->all);
    server_free_gone(server);
    for (struct sio_namespace *namespace = server->namespaces, *next; namespace; namespace = next) {
        next = namespace->next;
        table_free(&namespace->rooms);
        free(namespace);
    }
    table_free(&server->clients);
    table_free(&server->sockets);
    queue_free(&server->held);
    sio_frame_unref(server->ping);
    sio_frame_unref(server->pong_probe);
    free(server);
}

void *sio_server_context(const struct sio_server *server)
{
    return server->context;
}

const struct sio_stats *sio_server_stats(const struct sio_server *server)
{
    return &server->stats;
}

/* --- Turns ----------------------------------------------------------------------------------- */

void server_settle(struct sio_server *server)
{
    while (server->doomed_sockets)
        socket_end(server->doomed_sockets, SIO_SERVER_LEFT);
    while (server->doomed) {
        struct sio_client *client = server->doomed;
        server->doomed = client->doomed_next;
        client_close(client);
    }
    server_free_gone(server);
}

void server_run_deadlines(struct sio_server *server, int64_t now_us)
{
    void *owner;
    int64_t due_us;
    while ((owner = deadline_take(&server->pings, now_us, &due_us)))
        client_ping(owner, due_us);
    while ((owner = deadline_take(&server->pongs, now_us, &due_us)))
        client_doom(owner, SIO_PING_TIMEOUT);
    while ((owner = deadline_take(&server->connects, now_us, &due_us)))
        client_doom(owner, SIO_CONNECT_TIMEOUT);
    while ((owner = deadline_take(&server->closings, now_us, &due_us)))
        client_end(owner);
    while ((owner = deadline_take(&server->acks, now_us, &due_us)))
        ack_expire(owner);
    while ((owner = deadline_take(&server->upgrades, now_us, &due_us))) {
        struct sio_client *client = owner;
        client->has_probed = false;
        link_drop(&client->probe, true);
    }
}

void sio_server_drain(struct sio_server *server, int64_t spread_us)
{
    if (!server->is_draining)
        server->drain_total = server->clients.count;
    server->is_draining = true;
    server->drain_from_us = clock_mono_us();
    server->drain_spread_us = spread_us;
    server_arm(server);
}

/* As many clients are closed as the time that has passed asks for. */
static void run_drain(struct sio_server *server, int64_t now_us)
{
    size_t target = 0;
    int64_t passed_us = now_us - server->drain_from_us;
    if (passed_us < server->drain_spread_us)
        target = (size_t)((double)server->drain_total * (double)passed_us /
                          (double)server->drain_spread_us);
    bool all = passed_us >= server->drain_spread_us;
    for (struct sio_client *client = server->all; client; client = client->next) {
        if (!all && server->drain_closed >= target)
            break;
        if (!client_is_open(client))
            continue;
        client_doom(client, SIO_SERVER_SHUTDOWN);
        server->drain_closed++;
    }
}

static int64_t earliest(const struct sio_server *server)
{
    const struct deadline_list *lists[] = {&server->pings,    &server->pongs,    &server->connects,
                                           &server->closings, &server->upgrades, &server->acks};
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (deadline_earliest(lists[i]) < due_us)
            due_us = deadline_earliest(lists[i]);
    return due_us;
}

/* Returns whether the drain goes on. */
static bool drain_turn(struct sio_server *server)
{
    if (!server->is_draining || server->is_drained)
        return false;
    if (server->all)
        return true;
    server->is_drained = true;
    if (server->callbacks->drained)
        server->callbacks->drained(server);
    return false;
}

int64_t engine_turn(struct sio_server *server)
{
    int64_t now_us = clock_mono_us();
    server_run_deadlines(server, now_us);
    if (server->is_draining && !server->is_drained)
        run_drain(server, now_us);
    server_settle(server);
    int64_t due_us = earliest(server), step_us = now_us + DRAIN_STEP_US;
    if (drain_turn(server) && step_us < due_us)
        due_us = step_us;
    server->next_turn_us = due_us;
    return due_us;
}
