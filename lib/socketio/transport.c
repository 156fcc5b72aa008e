/* transport.c - Socket.IO on the caller's libuv loop: the listener, the connections and their end.
 *
 * HTTP is parsed by http_parser and WebSocket frames by wslay; sockets are libuv's. libwebsockets
 * 4.1 would do all of it, and was tried: a byte sent behind a parked poll makes it spin until the
 * poll ends, and a stream of pipelined nonsense makes it spin for good, which one connection is
 * enough for. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG = 1024, SPARE_CONNECTIONS = 64 };

/* What a socket did not take at once. */
struct write {
    uv_write_t request; /* first */
    char data[];
};

static void on_timer(uv_timer_t *timer);

static void transport_arm(void *pointer)
{
    struct sio_transport *transport = pointer;
    if (!transport->is_closing)
        uv_timer_start(&transport->timer, on_timer, 0, 0);
}

/* --- Connections ----------------------------------------------------------------------------- */

void connection_address(const struct connection *connection, char address[ADDRESS_SIZE])
{
    static const char MAPPED[] = "::ffff:";
    struct sockaddr_storage peer;
    int size = sizeof peer;
    address[0] = 0;
    if (uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&peer, &size))
        return;
    if (peer.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)&peer, address, ADDRESS_SIZE);
    else
        uv_ip4_name((struct sockaddr_in *)&peer, address, ADDRESS_SIZE);
    if (!strncmp(address, MAPPED, sizeof MAPPED - 1) && strchr(address, '.'))
        memmove(address, address + sizeof MAPPED - 1, strlen(address) - (sizeof MAPPED - 2));
}

void connection_set_deadline(struct connection *connection, struct deadline_list *list,
                             int64_t duration_us)
{
    if (connection->is_closing && list != &connection->transport->closings)
        return;
    int64_t due_us = clock_mono_us() + duration_us;
    deadline_set(list, &connection->patience, connection, due_us);
    if (due_us < connection->transport->next_turn_us)
        transport_arm(connection->transport);
}

void connection_attend(struct connection *connection)
{
    struct sio_transport *transport = connection->transport;
    if (connection->is_pending)
        return;
    connection->is_pending = true;
    connection->pending_next = transport->pending;
    transport->pending = connection;
    transport_arm(transport);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct sio_transport *transport = connection->transport;
    transport->connection_count--;
    transport->handle_count--;
    buf_free(&connection->body);
    frame_reader_free(connection->reader);
    request_free(connection);
    free(connection);
}

static void pending_remove(struct connection *connection)
{
    struct connection **at = &connection->transport->pending;
    while (*at != connection)
        at = &(*at)->pending_next;
    *at = connection->pending_next;
    connection->is_pending = false;
}

/* Not from within a call of the engine: that may hold the link. */
static void connection_close(struct connection *connection)
{
    struct sio_transport *transport = connection->transport;
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    engine_gone(&connection->link);
    deadline_clear(&connection->patience);
    if (connection->is_pending)
        pending_remove(connection);
    *(connection->previous ? &connection->previous->next : &transport->connections) =
        connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    connection->is_closing = connection->is_dead = true;
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

/* --- Writing --------------------------------------------------------------------------------- */

static void connection_fail(struct connection *connection)
{
    connection->is_dead = true;
    connection_attend(connection);
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = request->handle->data;
    free(request);
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    connection->is_congested = uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp) > 0;
    if (status < 0)
        connection_close(connection);
    else
        connection_attend(connection);
}

/* Writes the rest when the socket takes it. */
static void write_later(struct connection *connection, const char *data, size_t size)
{
    struct write *write = malloc(sizeof *write + size);
    if (!write)
        abort();
    memcpy(write->data, data, size);
    uv_buf_t buffer = uv_buf_init(write->data, (unsigned)size);
    connection->is_congested = true;
    if (uv_write(&write->request, (uv_stream_t *)&connection->tcp, &buffer, 1, on_written)) {
        free(write);
        connection_fail(connection);
    }
}

void connection_write(struct connection *connection, const void *data, size_t size)
{
    if (connection->is_dead)
        return;
    uv_buf_t buffer = uv_buf_init((char *)data, (unsigned)size);
    int written = uv_try_write((uv_stream_t *)&connection->tcp, &buffer, 1);
    if (written == UV_EAGAIN)
        written = 0;
    if (written < 0)
        connection_fail(connection);
    else if ((size_t)written < size)
        write_later(connection, (const char *)data + written, size - (size_t)written);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

void connection_finish(struct connection *connection)
{
    uv_shutdown_t *request = server_allocate(sizeof *request);
    connection->is_closing = true;
    connection_set_deadline(connection, &connection->transport->closings, FINISH_US);
    if (uv_shutdown(request, (uv_stream_t *)&connection->tcp, on_shut)) {
        free(request);
        connection_fail(connection);
    }
}

/* --- What was put off ------------------------------------------------------------------------ */

static void answer_poll(struct connection *connection)
{
    struct buf body = {0};
    connection->is_woken = false;
    if (connection->link.role == LINK_POLL) {
        engine_poll_answer(&connection->link, &body);
    } else {
        body = connection->body;
        connection->body = (struct buf){0};
    }
    http_answer_poll(connection, &body);
    buf_free(&body);
}

static void attend(struct connection *connection)
{
    if (connection->is_dead)
        connection_close(connection);
    else if (connection->says_goodbye && !connection->is_congested)
        websocket_say_goodbye(connection);
    else if (connection->is_woken && connection->request)
        answer_poll(connection);
    else if (connection->is_websocket)
        websocket_flush(connection);
}

static void attend_pending(struct sio_transport *transport)
{
    while (transport->pending) {
        struct connection *connection = transport->pending;
        transport->pending = connection->pending_next;
        connection->is_pending = false;
        attend(connection);
    }
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
    attend_pending(transport);
    /* what was attended to may have asked for another turn at once */
    if (due_us < INT64_MAX && !transport->is_closing && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, (uint64_t)clock_until_ms(due_us), 0);
}

/* --- Reading --------------------------------------------------------------------------------- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct connection *connection = handle->data;
    *buffer = uv_buf_init(connection->transport->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    struct sio_transport *transport = connection->transport;
    size_t left = size > 0 ? (size_t)size : 0, http = 0;
    if (size < 0) {
        connection_close(connection);
        return;
    }
    if (connection->is_closing)
        return;
    if (!connection->is_websocket)
        http = http_read(connection, buffer->base, left);
    if (connection->is_websocket)
        websocket_read(connection, buffer->base + http, left - http);
    attend_pending(transport);
}

static struct connection *connection_new(struct sio_transport *transport)
{
    struct connection *connection = server_allocate(sizeof *connection);
    connection->transport = transport;
    uv_tcp_init(transport->loop, &connection->tcp);
    connection->tcp.data = connection;
    connection->next = transport->connections;
    if (transport->connections)
        transport->connections->previous = connection;
    transport->connections = connection;
    transport->connection_count++;
    transport->handle_count++;
    return connection;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct sio_transport *transport = listener->data;
    if (status < 0)
        return;
    struct connection *connection = connection_new(transport);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) ||
        transport->connection_count > transport->connections_max ||
        uv_read_start((uv_stream_t *)&connection->tcp, on_allocate, on_read)) {
        connection_close(connection);
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    http_start(connection);
}

/* --- What the engine asks -------------------------------------------------------------------- */

static void on_wake(struct sio_link *link)
{
    struct connection *connection = (struct connection *)link;
    if (connection->is_websocket) {
        websocket_flush(connection);
        return;
    }
    connection->is_woken = true;
    connection_attend(connection);
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
                                    .probe = websocket_probe,
                                    .close = websocket_close,
                                    .answer = on_answer,
                                    .arm = transport_arm};

/* --- Start and end --------------------------------------------------------------------------- */

/* HOST:PORT, [HOST]:PORT or :PORT. */
static bool parse_listen(const char *listen, struct sockaddr_storage *address, struct error *error)
{
    char host[64];
    const char *colon = strrchr(listen, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || end == colon + 1 || *end || port < 0 || port > 65535)
        return error_set(error, ERROR_CONFIG, "%s is not HOST:PORT", listen);
    size_t size = (size_t)(colon - listen);
    bool is_bracketed = size >= 2 && *listen == '[';
    snprintf(host, sizeof host, "%.*s", (int)(size - (is_bracketed ? 2 : 0)),
             listen + is_bracketed);
    const char *name = !*host ? "0.0.0.0" : !strcmp(host, "localhost") ? "127.0.0.1" : host;
    if (!uv_ip4_addr(name, (int)port, (struct sockaddr_in *)address) ||
        !uv_ip6_addr(name, (int)port, (struct sockaddr_in6 *)address))
        return true;
    return error_set(error, ERROR_CONFIG, "%s: %s is no IP address", listen, host);
}

static struct sio_transport *transport_new(struct sio_server *server, uv_loop_t *loop)
{
    struct sio_transport *transport = server_allocate(sizeof *transport);
    transport->loop = loop;
    transport->connections_max = SPARE_CONNECTIONS;
    uv_tcp_init(loop, &transport->listener);
    uv_timer_init(loop, &transport->timer);
    transport->listener.data = transport->timer.data = transport;
    transport->handle_count = 2;
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
                        struct uv_loop_s *loop, const char *listen, struct error *error)
{
    struct sockaddr_storage address;
    *opened = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (!parse_listen(listen, &address, error))
        return false;
    struct sio_transport *transport = transport_new(server, loop);
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
    uv_close((uv_handle_t *)&transport->listener, on_handle_closed);
    while (transport->handle_count > 0)
        uv_run(transport->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < transport->server_count; i++)
        engine_attach(transport->servers[i], NULL, NULL);
    frame_reader_free(transport->spare);
    free(transport);
}
