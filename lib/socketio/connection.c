/* connection.c - one TCP connection: what it reads, what it writes, and its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { SEALED_BYTES = 64 * 1024 }; /* are encrypted before the socket is asked to take them */

/* What a socket did not take at once. */
struct write {
    uv_write_t request; /* first */
    char data[];
};

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
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct sio_transport *transport = connection->transport;
    transport->connection_count--;
    transport->handle_count--;
    buf_free(&connection->body);
    tls_free(connection->tls);
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

void connection_close(struct connection *connection)
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
    connection->link.is_congested =
        uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp) > 0;
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
    connection->link.is_congested = true;
    if (uv_write(&write->request, (uv_stream_t *)&connection->tcp, &buffer, 1, on_written)) {
        free(write);
        connection_fail(connection);
    }
}

static size_t write_plain(struct connection *connection, const uv_buf_t *pieces, size_t count)
{
    int written = uv_try_write((uv_stream_t *)&connection->tcp, pieces, (unsigned)count);
    if (written < 0 && written != UV_EAGAIN) {
        connection_fail(connection);
        return count;
    }
    size_t gone = 0, left = written > 0 ? (size_t)written : 0;
    while (gone < count && left >= pieces[gone].len)
        left -= pieces[gone++].len;
    if (gone == count)
        return count;
    write_later(connection, pieces[gone].base + left, pieces[gone].len - left);
    return gone + 1;
}

/* Whatever is encrypted must leave, in its order. */
static void write_whole(struct connection *connection, const struct buf *out)
{
    uv_buf_t piece = uv_buf_init(out->data, (unsigned)out->size);
    if (out->size > 0)
        write_plain(connection, &piece, 1);
}

static size_t write_sealed(struct connection *connection, const uv_buf_t *pieces, size_t count)
{
    struct buf out = {0};
    size_t gone = 0;
    bool is_sealed = true;
    while (is_sealed && gone < count && out.size < SEALED_BYTES) {
        is_sealed = tls_seal(connection->tls, pieces[gone].base, pieces[gone].len, &out);
        gone++;
    }
    write_whole(connection, &out);
    buf_free(&out);
    if (!is_sealed)
        connection_fail(connection);
    return is_sealed ? gone : count;
}

size_t connection_write_pieces(struct connection *connection, const uv_buf_t *pieces, size_t count)
{
    if (connection->is_dead)
        return count;
    return connection->tls ? write_sealed(connection, pieces, count)
                           : write_plain(connection, pieces, count);
}

void connection_write(struct connection *connection, const void *data, size_t size)
{
    uv_buf_t piece = uv_buf_init((char *)data, (unsigned)size);
    connection_write_pieces(connection, &piece, 1);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void say_goodbye(struct connection *connection)
{
    struct buf out = {0};
    tls_finish(connection->tls, &out);
    write_whole(connection, &out);
    buf_free(&out);
}

void connection_finish(struct connection *connection)
{
    uv_shutdown_t *request = server_allocate(sizeof *request);
    connection->is_closing = true;
    if (connection->tls && !connection->is_dead)
        say_goodbye(connection);
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
    else if (connection->says_goodbye && !connection->link.is_congested)
        websocket_say_goodbye(connection);
    else if (connection->is_woken && connection->request)
        answer_poll(connection);
    else if (connection->is_websocket)
        websocket_flush(connection);
}

void attend_pending(struct sio_transport *transport)
{
    while (transport->pending) {
        struct connection *connection = transport->pending;
        transport->pending = connection->pending_next;
        connection->is_pending = false;
        attend(connection);
    }
}

/* --- Reading --------------------------------------------------------------------------------- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct connection *connection = handle->data;
    *buffer = uv_buf_init(connection->transport->read_buffer, READ_BYTES);
}

static bool connection_take(void *owner, const char *data, size_t size)
{
    struct connection *connection = owner;
    size_t http = 0;
    if (!connection->is_websocket)
        http = http_read(connection, data, size);
    if (connection->is_websocket)
        websocket_read(connection, data + http, size - http);
    return !connection->is_closing;
}

static void connection_decrypt(struct connection *connection, const char *data, size_t size)
{
    struct buf out = {0};
    bool may_come = tls_receive(connection->tls, data, size, connection_take, connection);
    if (connection->is_dead)
        return;
    if (!may_come)
        tls_finish(connection->tls, &out);
    else if (!connection->link.is_congested) /* or before what is sealed next */
        tls_pending(connection->tls, &out);
    write_whole(connection, &out);
    buf_free(&out);
    if (!may_come)
        connection_close(connection);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    if (size < 0)
        connection_close(connection);
    else if (connection->is_closing)
        return;
    else if (connection->tls)
        connection_decrypt(connection, buffer->base, (size_t)size);
    else
        connection_take(connection, buffer->base, (size_t)size);
}

struct connection *connection_new(struct sio_transport *transport)
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

void connection_start(struct connection *connection)
{
    uv_tcp_nodelay(&connection->tcp, 1);
    if (connection->transport->tls)
        connection->tls = tls_new(connection->transport->tls);
    http_expect(connection);
    if (uv_read_start((uv_stream_t *)&connection->tcp, on_allocate, on_read))
        connection_close(connection);
}
