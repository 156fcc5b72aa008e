/* transport.c - Socket.IO on the caller's libuv loop: the listener, the connections and their end.
 *
 * HTTP is parsed by http_parser and WebSocket frames by wslay; sockets are libuv's. libwebsockets
 * 4.1 would do all of it, and was tried: a byte sent behind a parked poll makes it spin until the
 * poll ends, and a stream of pipelined nonsense makes it spin for good, which one connection is
 * enough for. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

#include "base/clock.h"
#include "base/listen.h"

#include <signal.h>
#include <stdlib.h>

enum { BACKLOG = 1024, SPARE_CONNECTIONS = 64 };

static void on_timer(uv_timer_t *timer);

void transport_arm(void *pointer)
{
    struct sio_transport *transport = pointer;
    if (!transport->is_closing)
        uv_timer_start(&transport->timer, on_timer, 0, 0);
}

static int64_t run_deadlines(struct sio_transport *transport, int64_t now_us)
{
    struct deadline_list *lists[] = {&transport->requests, &transport->keepalives,
                                     &transport->closings};
    int64_t due_us = INT64_MAX, was_due_us;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        void *owner;
        while ((owner = deadline_take(lists[i], now_us, &was_due_us)))
            connection_close(owner);
        if (deadline_earliest(lists[i]) < due_us)
            due_us = deadline_earliest(lists[i]);
    }
    return due_us;
}

static void on_timer(uv_timer_t *timer)
{
    struct sio_transport *transport = timer->data;
    int64_t due_us = run_deadlines(transport, clock_mono_us());
    for (size_t i = 0; i < transport->server_count; i++) {
        int64_t server_due_us = engine_turn(transport->servers[i]);
        if (server_due_us < due_us)
            due_us = server_due_us;
    }
    transport->next_turn_us = due_us;
    /* what was attended to may have asked for another turn at once */
    if (due_us < INT64_MAX && !transport->is_closing && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, (uint64_t)clock_until_ms(due_us), 0);
}

static void on_turn_end(uv_prepare_t *prepare)
{
    attend_pending(prepare->data);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct sio_transport *transport = listener->data;
    if (status < 0)
        return;
    struct connection *connection = connection_new(transport);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) ||
        transport->connection_count > transport->connections_max)
        connection_close(connection);
    else
        connection_start(connection);
}

/* --- What the engine asks -------------------------------------------------------------------- */

static void on_wake(struct sio_link *link)
{
    struct connection *connection = (struct connection *)link;
    connection->is_woken = !connection->is_websocket;
    connection_attend(connection);
}

static void on_flush(struct sio_link *link)
{
    websocket_flush((struct connection *)link);
}

static void on_answer(struct sio_link *link, const struct buf *body)
{
    struct connection *connection = (struct connection *)link;
    buf_clear(&connection->body);
    buf_put(&connection->body, body->data, body->size);
    connection->is_woken = true;
    connection_attend(connection);
}

static const struct link_ops ops = {.wake = on_wake,
                                    .flush = on_flush,
                                    .probe = websocket_probe,
                                    .close = websocket_close,
                                    .answer = on_answer,
                                    .arm = transport_arm};

/* --- Start and end --------------------------------------------------------------------------- */

static struct sio_transport *transport_new(struct sio_server *server, uv_loop_t *loop)
{
    struct sio_transport *transport = server_allocate(sizeof *transport);
    transport->loop = loop;
    transport->connections_max = SPARE_CONNECTIONS;
    uv_tcp_init(loop, &transport->listener);
    uv_timer_init(loop, &transport->timer);
    uv_prepare_init(loop, &transport->turn_end);
    uv_prepare_start(&transport->turn_end, on_turn_end);
    uv_unref((uv_handle_t *)&transport->turn_end);
    transport->listener.data = transport->timer.data = transport->turn_end.data = transport;
    transport->handle_count = 3;
    transport->next_turn_us = INT64_MAX;
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
                        struct uv_loop_s *loop, const char *listen, struct tls_context *tls,
                        struct error *error)
{
    struct sockaddr_storage address;
    *opened = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (!listen_parse(listen, &address, error))
        return false;
    struct sio_transport *transport = transport_new(server, loop);
    transport->tls = tls;
    int code = uv_tcp_bind(&transport->listener, (struct sockaddr *)&address, 0);
    if (!code)
        code = uv_listen((uv_stream_t *)&transport->listener, BACKLOG, on_connection);
    if (!code) {
        *opened = transport;
        return true;
    }
    sio_transport_close(transport);
    return error_set(error, ERROR_UNAVAILABLE, "unable to listen on %s: %s", listen,
                     uv_strerror(code));
}

int sio_transport_port(const struct sio_transport *transport)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    uv_tcp_getsockname(&transport->listener, (struct sockaddr *)&address, &size);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void on_handle_closed(uv_handle_t *handle)
{
    ((struct sio_transport *)handle->data)->handle_count--;
}

void sio_transport_close(struct sio_transport *transport)
{
    if (!transport)
        return;
    transport->is_closing = true;
    while (transport->connections)
        connection_close(transport->connections);
    uv_close((uv_handle_t *)&transport->timer, on_handle_closed);
    uv_close((uv_handle_t *)&transport->turn_end, on_handle_closed);
    uv_close((uv_handle_t *)&transport->listener, on_handle_closed);
    while (transport->handle_count > 0)
        uv_run(transport->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < transport->server_count; i++)
        engine_attach(transport->servers[i], NULL, NULL);
    frame_reader_free(transport->spare);
    free(transport);
}
