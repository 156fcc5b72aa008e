/* websocket.c - WebSockets on libwebsockets (RFC 6455).
 *
 * Frames are written as soon as they are queued, not from the writable callback: that costs a
 * change of the poll set, a turn of the loop and a callback for each. It is safe as
 * long as nothing is left over from the write before, which libwebsockets keeps and asks to be
 * called back for; until then frames stay in the client's queue. lws_write puts the frame's header
 * in front of the shared bytes: the same one for every client, as servers do not mask.
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/connection.h"

_Static_assert(FRAME_HEADROOM >= LWS_PRE, "room for libwebsockets' frame header");

enum { CLOSE_TIMEOUT_S = 5 };

static void websocket_kill(struct connection *connection)
{
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

/* Hands a frame over whole; libwebsockets copies what the socket does not take. */
static bool websocket_write(struct connection *connection, const struct sio_frame *frame)
{
    struct lws *wsi = connection->wsi;
    enum lws_write_protocol kind = frame->is_binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
    if (lws_write(wsi, (unsigned char *)frame->bytes, frame->size, kind) < 0) {
        connection->is_congested = true; /* for good */
        websocket_kill(connection);
        return false;
    }
    /* a compressor may hold back the rest of a frame, and does not tell */
    connection->is_congested = connection->transport->deflates || lws_partial_buffered(wsi);
    if (connection->is_congested)
        lws_callback_on_writable(wsi);
    return true;
}

void websocket_flush(struct connection *connection)
{
    const struct sio_frame *frame;
    while (!connection->is_congested && (frame = engine_next(&connection->link)))
        if (websocket_write(connection, frame))
            engine_sent(&connection->link);
}

void websocket_probe(struct sio_link *link, const struct sio_frame *frame)
{
    websocket_write((struct connection *)link, frame);
}

void websocket_close(struct sio_link *link, bool politely)
{
    struct connection *connection = (struct connection *)link;
    connection->is_closing = true;
    if (!politely) {
        websocket_kill(connection);
        return;
    }
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_TIMEOUT_S);
    lws_callback_on_writable(connection->wsi);
}

int websocket_open(struct connection *connection)
{
    struct sio_client *client;
    char address[ADDRESS_SIZE];
    connection->is_websocket = true;
    if (!http_verify(connection, true, &client))
        return -1;
    if (client)
        return engine_probe(client, &connection->link) ? 0 : -1;
    connection_address(connection, address);
    engine_open(connection->server, SIO_WEBSOCKET, &connection->link, address);
    return 0;
}

static int refuse_large(struct connection *connection)
{
    engine_too_large(&connection->link);
    lws_close_reason(connection->wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
    return -1;
}

/* Data comes in pieces as it was read; a message is passed on whole. */
int websocket_receive(struct connection *connection, const void *data, size_t size)
{
    struct lws *wsi = connection->wsi;
    struct buf *body = &connection->body;
    bool is_end = lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
    if (body->size + size > (size_t)engine_config(connection->server)->max_payload_bytes)
        return refuse_large(connection);
    if (is_end && body->size == 0) {
        engine_receive(&connection->link, data, size, lws_frame_is_binary(wsi));
        return 0;
    }
    buf_put(body, data, size);
    if (is_end) {
        engine_receive(&connection->link, body->data, body->size, lws_frame_is_binary(wsi));
        buf_free(body);
    }
    return 0;
}

int websocket_writable(struct connection *connection)
{
    connection->is_congested = false;
    if (connection->is_closing) {
        lws_close_reason(connection->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    websocket_flush(connection);
    return 0;
}
