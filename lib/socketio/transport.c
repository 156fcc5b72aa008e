/* transport.c - libwebsockets on the caller's libuv loop: its start, its callbacks, its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What libwebsockets reads at a time (and keeps for every WebSocket), and may write at a time. */
enum { RX_BYTES = 1024, TX_BYTES = 1 << 20, HEADER_BYTES = 6144 };
enum { HEADER_TIMEOUT_S = 10, KEEPALIVE_S = 30, SPARE_CONNECTIONS = 64 };

/* --- Turns ----------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    struct sio_transport *transport = timer->data;
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < transport->server_count; i++) {
        int64_t server_due_us = engine_turn(transport->servers[i]);
        if (server_due_us < due_us)
            due_us = server_due_us;
    }
    /* a turn may have asked for another one at once */
    if (due_us < INT64_MAX && !transport->is_closing && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, (uint64_t)clock_until_ms(due_us), 0);
}

static void on_arm(void *pointer)
{
    struct sio_transport *transport = pointer;
    if (!transport->is_closing)
        uv_timer_start(&transport->timer, on_timer, 0, 0);
}

/* --- Connections ----------------------------------------------------------------------------- */

void connection_address(const struct connection *connection, char address[ADDRESS_SIZE])
{
    lws_get_peer_simple(connection->wsi, address, ADDRESS_SIZE);
}

static struct connection *connection_of(struct sio_transport *transport, struct lws *wsi)
{
    struct connection *connection = lws_get_opaque_user_data(wsi);
    if (connection)
        return connection;
    connection = server_allocate(sizeof *connection);
    connection->wsi = wsi;
    connection->transport = transport;
    lws_set_opaque_user_data(wsi, connection);
    transport->connection_count++;
    return connection;
}

static void connection_free(struct sio_transport *transport, struct lws *wsi)
{
    struct connection *connection = lws_get_opaque_user_data(wsi);
    if (!connection)
        return;
    engine_gone(&connection->link);
    lws_set_opaque_user_data(wsi, NULL);
    buf_free(&connection->body);
    free(connection);
    transport->connection_count--;
}

static void on_wake(struct sio_link *link)
{
    struct connection *connection = (struct connection *)link;
    if (connection->is_websocket) {
        websocket_flush(connection);
        return;
    }
    connection->is_woken = true;
    lws_callback_on_writable(connection->wsi);
}

static void on_answer(struct sio_link *link, const struct buf *body)
{
    struct connection *connection = (struct connection *)link;
    buf_clear(&connection->body);
    buf_put(&connection->body, body->data, body->size);
    connection->is_woken = true;
    lws_callback_on_writable(connection->wsi);
}

static const struct link_ops ops = {.wake = on_wake,
                                    .probe = websocket_probe,
                                    .close = websocket_close,
                                    .answer = on_answer,
                                    .arm = on_arm};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    (void)user;
    struct sio_transport *transport = lws_context_user(lws_get_context(wsi));
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return transport->connection_count >= transport->connections_max;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED: connection_of(transport, wsi); return 0;
    case LWS_CALLBACK_HTTP: return http_request(connection_of(transport, wsi));
    case LWS_CALLBACK_HTTP_BODY: return http_body(connection_of(transport, wsi), in, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION: return http_body_end(connection_of(transport, wsi));
    case LWS_CALLBACK_HTTP_WRITEABLE: return http_writable(connection_of(transport, wsi));
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return http_confirm_upgrade(connection_of(transport, wsi), in);
    case LWS_CALLBACK_ESTABLISHED: return websocket_open(connection_of(transport, wsi));
    case LWS_CALLBACK_RECEIVE: return websocket_receive(connection_of(transport, wsi), in, size);
    case LWS_CALLBACK_SERVER_WRITEABLE: return websocket_writable(connection_of(transport, wsi));
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY: connection_free(transport, wsi); return 0;
    default: return 0;
    }
}

/* --- Start and end --------------------------------------------------------------------------- */

/* HOST:PORT, [HOST]:PORT or :PORT. */
static bool split_listen(const char *listen, char host[NI_MAXHOST], int *port, struct error *error)
{
    const char *colon = strrchr(listen, ':');
    char *end = NULL;
    long number = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || end == colon + 1 || *end || number < 0 || number > 65535)
        return error_set(error, ERROR_CONFIG, "%s is not HOST:PORT", listen);
    size_t size = (size_t)(colon - listen);
    if (size >= 2 && *listen == '[')
        listen++, size -= 2;
    snprintf(host, NI_MAXHOST, "%.*s", (int)size, listen);
    *port = (int)number;
    return true;
}

/* libwebsockets tells its log why it cannot listen, and nobody else: so it is tried out before. */
static bool try_listen(const char *listen, const char *host, int port, struct error *error)
{
    int on = 1;
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    snprintf(service, sizeof service, "%d", port);
    int code = getaddrinfo(*host ? host : NULL, service, &hints, &found);
    if (code)
        return error_set(error, ERROR_CONFIG, "unable to listen on %s: %s", listen,
                         gai_strerror(code));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_fine = fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
                   !bind(fd, found->ai_addr, found->ai_addrlen);
    int reason = errno;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return is_fine || error_set(error, ERROR_UNAVAILABLE, "unable to listen on %s: %s", listen,
                                strerror(reason));
}

static bool start_context(struct sio_transport *transport, struct error *error)
{
    void *loops[] = {transport->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .user = transport,
        .pcontext = &transport->context,
        .max_http_header_data = HEADER_BYTES,
        .timeout_secs = HEADER_TIMEOUT_S,
    };
    lws_set_log_level(0, NULL);
    transport->context = lws_create_context(&info);
    return transport->context || error_set(error, ERROR_UNAVAILABLE,
                                           "unable to start libwebsockets (is its libuv plug-in, "
                                           "libwebsockets-evlib-uv, installed?)");
}

/* All paths are ours. Without a mount libwebsockets takes a parked poll for work that is under way:
 * it then neither reads nor stops polling for what the peer sends, and burns the CPU from the
 * peer's end of the connection on. With this one a closed connection is noticed, and a request in
 * front of an answer comes to http_request. */
static const struct lws_http_mount mount = {.mountpoint = "/",
                                            .mountpoint_len = 1,
                                            .origin = "socket.io",
                                            .origin_protocol = LWSMPRO_CALLBACK};

static bool start_vhost(struct sio_transport *transport, const char *host, int port,
                        struct error *error)
{
    static const lws_retry_bo_t no_pings = {0}; /* Engine.IO has its own */
    bool is_any = !*host || !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
    bool is_ipv6 = !*host || strchr(host, ':');
    struct lws_context_creation_info info = {
        .port = port,
        .iface = is_any ? NULL : host,
        .vhost_name = "socketio",
        .protocols = transport->protocols,
        .mounts = &mount,
        .extensions = transport->deflates ? transport->extensions : NULL,
        .keepalive_timeout = KEEPALIVE_S,
        .retry_and_idle_policy = &no_pings,
        .options = LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   (is_ipv6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6),
    };
    transport->vhost = lws_create_vhost(transport->context, &info);
    return transport->vhost ||
           error_set(error, ERROR_UNAVAILABLE, "unable to listen on %s:%d", host, port);
}

static struct sio_transport *transport_new(struct sio_server *server, uv_loop_t *loop)
{
    struct sio_transport *transport = server_allocate(sizeof *transport);
    transport->loop = loop;
    transport->deflates = engine_config(server)->deflate;
    transport->connections_max = SPARE_CONNECTIONS;
    transport->protocols[0] = (struct lws_protocols){.name = "socket.io",
                                                     .callback = on_event,
                                                     .rx_buffer_size = RX_BYTES,
                                                     .tx_packet_size = TX_BYTES};
    transport->extensions[0] =
        (struct lws_extension){"permessage-deflate", lws_extension_callback_pm_deflate,
                               "permessage-deflate; client_no_context_takeover; "
                               "server_no_context_takeover"};
    uv_timer_init(loop, &transport->timer);
    transport->timer.data = transport;
    sio_transport_add(transport, server);
    return transport;
}

void sio_transport_add(struct sio_transport *transport, struct sio_server *server)
{
    if (transport->server_count == TRANSPORT_SERVERS_MAX)
        abort();
    transport->servers[transport->server_count++] = server;
    /* a client that polls has two connections at times, and an upgrading one three */
    transport->connections_max += (size_t)engine_config(server)->connections_max * 2;
    engine_attach(server, &ops, transport);
}

bool sio_transport_open(struct sio_transport **opened, struct sio_server *server,
                        struct uv_loop_s *loop, const char *listen, struct error *error)
{
    int port = 0;
    char host[NI_MAXHOST];
    *opened = NULL;
    if (!split_listen(listen, host, &port, error) || !try_listen(listen, host, port, error))
        return false;
    struct sio_transport *transport = transport_new(server, loop);
    if (start_context(transport, error) && start_vhost(transport, host, port, error)) {
        *opened = transport;
        return true;
    }
    sio_transport_close(transport);
    return false;
}

int sio_transport_port(const struct sio_transport *transport)
{
    return lws_get_vhost_listen_port(transport->vhost);
}

static void see_closing(uv_handle_t *handle, void *any)
{
    *(bool *)any |= uv_is_closing(handle) != 0;
}

/* Turns the loop until what is being closed has been, and what that closes in turn. */
static void finish_closing(uv_loop_t *loop)
{
    bool any;
    do {
        any = false;
        uv_run(loop, UV_RUN_NOWAIT);
        uv_walk(loop, see_closing, &any);
    } while (any);
}

void sio_transport_close(struct sio_transport *transport)
{
    if (!transport)
        return;
    transport->is_closing = true;
    uv_timer_stop(&transport->timer);
    uv_close((uv_handle_t *)&transport->timer, NULL);
    if (transport->context)
        lws_context_destroy(transport->context);
    finish_closing(transport->loop);
    /* on a loop that is not its own, libwebsockets wants to be asked again once all is closed */
    if (transport->context)
        lws_context_destroy(transport->context);
    for (size_t i = 0; i < transport->server_count; i++)
        engine_attach(transport->servers[i], NULL, NULL);
    free(transport);
}
