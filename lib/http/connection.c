/* connection.c - one TCP connection: what it reads, what it writes, and its end.
 *
 * A request at a time: what a client pipelines waits until the answer before it has left.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static void wait_at_most(struct connection *connection, struct deadline_list *list, int64_t for_us)
{
    deadline_set(list, &connection->deadline, connection, clock_mono_us() + for_us);
}

/* A request is in hand from its first byte until it is answered. */
static void connection_count(struct connection *connection, bool is_counted)
{
    if (is_counted != connection->is_counted)
        atomic_fetch_add(&connection->server->in_hand, is_counted ? 1 : -1);
    connection->is_counted = is_counted;
}

/* What is to be sent, as it is sent. */
static bool connection_seal(struct connection *connection, struct buf *out)
{
    struct buf sealed = {0};
    if (!connection->tls)
        return true;
    bool is_sealed = tls_seal(connection->tls, out->data, out->size, &sealed);
    buf_free(out);
    *out = sealed;
    return is_sealed;
}

/* --- The end --------------------------------------------------------------------------------- */

/* A handler that still has the request is waited for: its answer goes nowhere. */
static void connection_free(struct connection *connection)
{
    if (connection->in_hand)
        return;
    connection->server->connection_count--;
    message_free(&connection->message);
    buf_free(&connection->pending);
    buf_free(&connection->out);
    tls_free(connection->tls);
    free(connection);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    connection->is_closed = true;
    connection_free(connection);
}

void connection_drop(struct connection *connection)
{
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    deadline_clear(&connection->deadline);
    if (!connection->in_hand)
        connection_count(connection, false);
    *(connection->previous ? &connection->previous->next : &connection->server->connections) =
        connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

/* Sends what is small and must not wait. False: the socket has not taken it. */
static bool send_now(struct connection *connection, const struct buf *out)
{
    uv_buf_t whole = uv_buf_init(out->data, (unsigned)out->size);
    return out->size == 0 ||
           uv_try_write((uv_stream_t *)&connection->tcp, &whole, 1) == (int)out->size;
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
    send_now(connection, &out); /* or not: the answer before it has its own end */
    buf_free(&out);
}

/* Ends our side, and hears the peer out for a little, so that it reads our answer and no reset (RFC
 * 9112 section 9.6). */
static void connection_finish(struct connection *connection)
{
    if (connection->tls)
        say_goodbye(connection);
    if (connection->has_ended) {
        connection_drop(connection);
        return;
    }
    uv_shutdown_t *request = malloc(sizeof *request);
    if (!request)
        abort();
    connection->is_deaf = true;
    wait_at_most(connection, &connection->server->closings, FINISH_US);
    if (uv_shutdown(request, (uv_stream_t *)&connection->tcp, on_shut)) {
        free(request);
        connection_drop(connection);
    }
}

/* --- Reading --------------------------------------------------------------------------------- */

static void connection_dispatch(struct connection *connection)
{
    connection_count(connection, true);
    connection->is_deaf = connection->message.state != MESSAGE_WHOLE;
    request_dispatch(connection);
}

static void invite_body(struct connection *connection)
{
    static const char INTERIM[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct buf out = {0};
    if (!connection->message.wants_continue || connection->message.state != MESSAGE_BODY)
        return;
    connection->message.wants_continue = false;
    buf_text(&out, INTERIM);
    if (!connection_seal(connection, &out) || !send_now(connection, &out))
        connection_drop(connection);
    buf_free(&out);
}

/* Reads on until a request is there, or nothing more is; returns how much was taken. */
static size_t connection_feed(struct connection *connection, const char *data, size_t size)
{
    struct message *message = &connection->message;
    size_t taken = message_feed(message, data, size);
    if (message->state >= MESSAGE_WHOLE) {
        connection_dispatch(connection);
    } else if (message->state != MESSAGE_EMPTY) {
        connection_count(connection, true);
        if (connection->deadline.list != &connection->server->requests)
            wait_at_most(connection, &connection->server->requests, REQUEST_US);
        invite_body(connection);
    }
    return taken;
}

static void put_pending(struct connection *connection, const char *data, size_t size)
{
    buf_put(&connection->pending, data, size);
    if (connection->pending.size < PENDING_MAX || connection->is_paused)
        return;
    connection->is_paused = true;
    uv_read_stop((uv_stream_t *)&connection->tcp);
}

static void connection_break(struct connection *connection)
{
    message_break(&connection->message);
    if (connection->message.state == MESSAGE_BROKEN)
        connection_dispatch(connection);
    else
        connection_drop(connection);
}

static void on_end(struct connection *connection)
{
    connection->has_ended = true;
    if (connection->in_hand || connection->is_writing)
        return; /* goes on when that is done */
    if (connection->is_deaf)
        connection_drop(connection);
    else if (connection->message.state == MESSAGE_EMPTY)
        connection_finish(connection);
    else
        connection_break(connection);
}

static bool connection_take(void *owner, const char *data, size_t size)
{
    struct connection *connection = owner;
    size_t taken = 0;
    if (!connection->in_hand && !connection->is_writing)
        taken = connection_feed(connection, data, size);
    if (!connection->is_deaf && taken < size)
        put_pending(connection, data + taken, size - taken);
    return !connection->is_deaf && !uv_is_closing((uv_handle_t *)&connection->tcp);
}

/* What TLS itself has to send leaves at once, or before the rest of an answer's next. */
static void connection_decrypt(struct connection *connection, const char *data, size_t size)
{
    struct buf out = {0};
    bool may_come = tls_receive(connection->tls, data, size, connection_take, connection);
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    if (!connection->is_writing)
        tls_pending(connection->tls, &out);
    if (!send_now(connection, &out))
        connection_drop(connection);
    else if (!may_come)
        on_end(connection);
    buf_free(&out);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    if (size == UV_EOF) {
        on_end(connection);
    } else if (size < 0) {
        connection_drop(connection);
    } else if (!connection->is_deaf && size > 0) {
        if (connection->tls)
            connection_decrypt(connection, buffer->base, (size_t)size);
        else
            connection_take(connection, buffer->base, (size_t)size);
    }
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct connection *connection = handle->data;
    *buffer = uv_buf_init(connection->server->read_buffer, READ_BYTES);
}

static void connection_listen(struct connection *connection)
{
    if (uv_read_start((uv_stream_t *)&connection->tcp, on_allocate, on_read))
        connection_drop(connection);
}

/* --- Writing --------------------------------------------------------------------------------- */

/* What came while the last request was answered. */
static void read_pending(struct connection *connection)
{
    struct buf pending = connection->pending;
    connection->pending = (struct buf){0};
    size_t taken = connection_feed(connection, pending.data, pending.size);
    if (!connection->is_deaf && taken < pending.size)
        buf_put(&connection->pending, pending.data + taken, pending.size - taken);
    buf_free(&pending);
    if (connection->is_paused && connection->pending.size < PENDING_MAX &&
        !uv_is_closing((uv_handle_t *)&connection->tcp)) {
        connection->is_paused = false;
        connection_listen(connection);
    }
}

/* The answer has left. */
static void connection_go_on(struct connection *connection)
{
    struct http_server *server = connection->server;
    buf_recycle(&connection->out, BUF_KEPT);
    bool is_last = connection->has_ended && connection->pending.size == 0;
    if (is_last || !connection->message.keeps_alive || atomic_load(&server->is_stopping)) {
        connection_finish(connection);
        return;
    }
    message_next(&connection->message);
    wait_at_most(connection, &server->idles, IDLE_US);
    if (connection->pending.size > 0)
        read_pending(connection);
    if (connection->has_ended && !connection->in_hand)
        connection_break(connection);
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = write->handle->data;
    connection->is_writing = false;
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    if (status < 0)
        connection_drop(connection);
    else
        connection_go_on(connection);
}

static void write_rest(struct connection *connection, size_t written)
{
    uv_buf_t rest =
        uv_buf_init(connection->out.data + written, (unsigned)(connection->out.size - written));
    connection->is_writing = true;
    wait_at_most(connection, &connection->server->writes, WRITE_US);
    if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &rest, 1, on_written))
        connection_drop(connection);
}

void connection_answer(struct connection *connection)
{
    connection->in_hand = false;
    connection_count(connection, false);
    if (connection->is_closed) {
        connection_free(connection);
        return;
    }
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    if (!connection_seal(connection, &connection->out)) {
        connection_drop(connection);
        return;
    }
    uv_buf_t whole = uv_buf_init(connection->out.data, (unsigned)connection->out.size);
    int written = uv_try_write((uv_stream_t *)&connection->tcp, &whole, 1);
    if (written < 0 && written != UV_EAGAIN)
        connection_drop(connection);
    else if (written == (int)connection->out.size)
        connection_go_on(connection);
    else
        write_rest(connection, written > 0 ? (size_t)written : 0);
}

void connection_expire(struct connection *connection)
{
    bool reads = !connection->is_deaf && !connection->is_writing;
    if (reads && connection->message.state == MESSAGE_BODY)
        connection_break(connection);
    else
        connection_drop(connection);
}

/* --- The beginning --------------------------------------------------------------------------- */

void connection_accept(struct http_server *server)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        abort();
    connection->server = server;
    message_init(&connection->message, server->settings.body_max);
    uv_tcp_init(&server->loop, &connection->tcp);
    connection->tcp.data = connection;
    connection->next = server->connections;
    if (server->connections)
        server->connections->previous = connection;
    server->connections = connection;
    server->connection_count++;
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&connection->tcp) ||
        server->connection_count > server->settings.connections_max) {
        connection_drop(connection);
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    if (server->settings.tls)
        connection->tls = tls_new(server->settings.tls);
    wait_at_most(connection, &server->requests, REQUEST_US);
    connection_listen(connection);
}
