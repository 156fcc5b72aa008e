/* websocket.c - WebSockets (RFC 6455), their frames read by wslay.
 *
 * Before the loop sleeps, all that was queued for a client in this turn is written with one
 * writev(2), from the bytes that all its clients share: a frame was made with its header in front,
 * which is the same for everybody, as servers do not mask. Only the rest of a frame that a socket
 * took in part is copied and waited for; until it has gone, later frames stay in the client's
 * queue, where newer ones may replace them. In TLS each client has them encrypted, 64 KiB ahead.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "socketio/connection.h"
#include "socketio/deflate.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

enum { CONTROL_MAX = 125, FLUSH_FRAMES = 64 };

/* Section 7.4.1. */
enum { CLOSE_NORMAL = 1000, CLOSE_PROTOCOL = 1002, CLOSE_NOT_UTF8 = 1007, CLOSE_TOO_LARGE = 1009 };

/* Reads frames from what a connection brings. It is kept only from the first byte of a frame to its
 * last, since each is more than four kilobytes. */
struct frame_reader {
    wslay_frame_context_ptr frames;
    const char *data; /* what has come and was not taken yet */
    size_t left;
    uint64_t taken;        /* bytes that are not of a whole frame yet */
    uint64_t payload_left; /* of the frame under way */
    bool in_frame;
    uint8_t opcode, fin;
    uint8_t control[CONTROL_MAX];
    size_t control_size;
};

/* --- Writing --------------------------------------------------------------------------------- */

static void write_control(struct connection *connection, uint8_t opcode, const void *data,
                          size_t size)
{
    uint8_t frame[2 + CONTROL_MAX] = {0x80 | opcode, (uint8_t)size};
    memcpy(frame + 2, data, size);
    connection_write(connection, frame, size + 2);
}

static void write_close(struct connection *connection, int code)
{
    uint8_t data[] = {(uint8_t)(code >> 8), (uint8_t)code};
    write_control(connection, WSLAY_CONNECTION_CLOSE, data, sizeof data);
    connection_finish(connection);
}

static uv_buf_t piece_of(const struct connection *connection, struct sio_frame *frame)
{
    if (connection->deflates &&
        frame->size >= (size_t)engine_config(connection->server)->deflate_min_bytes)
        frame = deflate_frame(frame);
    return uv_buf_init(frame->bytes - frame->header_size,
                       (unsigned)(frame->header_size + frame->size));
}

/* Returns how many of them are on their way. */
static size_t write_frames(struct connection *connection, struct sio_frame *frames[], size_t count)
{
    uv_buf_t pieces[FLUSH_FRAMES];
    for (size_t i = 0; i < count; i++)
        pieces[i] = piece_of(connection, frames[i]);
    return connection_write_pieces(connection, pieces, count);
}

void websocket_flush(struct connection *connection)
{
    struct sio_frame *frames[FLUSH_FRAMES];
    size_t count;
    while (!connection->link.is_congested && !connection->is_dead &&
           (count = engine_peek(&connection->link, frames, FLUSH_FRAMES)))
        engine_sent(&connection->link, write_frames(connection, frames, count));
}

void websocket_probe(struct sio_link *link, struct sio_frame *frame)
{
    write_frames((struct connection *)link, &frame, 1);
}

void websocket_say_goodbye(struct connection *connection)
{
    connection->says_goodbye = false;
    write_close(connection, CLOSE_NORMAL);
}

void websocket_close(struct sio_link *link, bool politely)
{
    struct connection *connection = (struct connection *)link;
    connection->is_closing = true;
    connection->says_goodbye = politely;
    connection->is_dead = !politely;
    /* a peer that takes nothing is not waited for longer */
    connection_set_deadline(connection, &connection->transport->closings, FINISH_US);
    connection_attend(connection);
}

/* --- The handshake --------------------------------------------------------------------------- */

/* Section 4.2.2. */
static void put_accept(struct buf *out, const struct buf *key)
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH];
    struct buf text = {0};
    buf_put(&text, key->data, key->size);
    buf_text(&text, GUID);
    SHA1((const unsigned char *)text.data, text.size, digest);
    base64_encode(out, digest, sizeof digest);
    buf_free(&text);
}

static void write_handshake(struct connection *connection)
{
    struct buf out = {0};
    buf_text(&out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    put_accept(&out, &connection->request->key);
    if (connection->deflates)
        buf_text(&out, "\r\nSec-WebSocket-Extensions: " DEFLATE_ANSWER);
    buf_text(&out, "\r\n\r\n");
    connection_write(connection, out.data, out.size);
    buf_free(&out);
}

void websocket_accept(struct connection *connection, struct sio_client *client)
{
    char address[ADDRESS_SIZE];
    connection->deflates = engine_config(connection->server)->deflate_min_bytes > 0 &&
                           deflate_is_offered(connection->request->extensions.data);
    write_handshake(connection);
    request_free(connection);
    deadline_clear(&connection->patience);
    connection->is_websocket = true;
    if (!client) {
        connection_address(connection, address);
        engine_open(connection->server, SIO_WEBSOCKET, &connection->link, address);
    } else if (!engine_probe(client, &connection->link)) {
        websocket_close(&connection->link, true);
    }
}

/* --- Reading --------------------------------------------------------------------------------- */

static ssize_t on_recv(uint8_t *data, size_t size, int flags, void *pointer)
{
    (void)flags;
    struct frame_reader *reader = pointer;
    size_t taken = size < reader->left ? size : reader->left;
    if (taken == 0)
        return -1;
    memcpy(data, reader->data, taken);
    reader->data += taken;
    reader->left -= taken;
    reader->taken += taken;
    return (ssize_t)taken;
}

static struct frame_reader *reader_new(struct sio_transport *transport)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_recv};
    struct frame_reader *reader = transport->spare;
    transport->spare = NULL;
    if (reader)
        return reader;
    reader = server_allocate(sizeof *reader);
    if (wslay_frame_context_init(&reader->frames, &callbacks, reader))
        abort();
    return reader;
}

void frame_reader_free(struct frame_reader *reader)
{
    if (!reader)
        return;
    wslay_frame_context_free(reader->frames);
    free(reader);
}

/* A reader that is in no frame has no state: any connection can go on with it. */
static void reader_give_back(struct connection *connection)
{
    struct sio_transport *transport = connection->transport;
    struct frame_reader *reader = connection->reader;
    if (reader->taken > 0 || transport->spare)
        return;
    transport->spare = reader;
    connection->reader = NULL;
}

/* The peer broke a rule: it is told which, and the session ends. */
static void websocket_fail(struct connection *connection, int code)
{
    connection->is_closing = true;
    if (code == CLOSE_TOO_LARGE)
        engine_too_large(&connection->link);
    engine_gone(&connection->link);
    write_close(connection, code);
}

static void message_take(struct connection *connection, const void *data, size_t size)
{
    bool is_binary = connection->opcode == WSLAY_BINARY_FRAME;
    connection->opcode = 0;
    if (!is_binary && !buf_is_utf8(data, size))
        websocket_fail(connection, CLOSE_NOT_UTF8);
    else
        engine_receive(&connection->link, data, size, is_binary);
}

static void message_end(struct connection *connection, const void *data, size_t size)
{
    struct buf out = {0};
    size_t max = (size_t)engine_config(connection->server)->max_payload_bytes;
    enum inflate_result result = INFLATE_OK;
    if (connection->is_deflated)
        result = inflate_message(data, size, max, &out);
    if (result != INFLATE_OK)
        websocket_fail(connection, result == INFLATE_BROKEN ? CLOSE_PROTOCOL : CLOSE_TOO_LARGE);
    else if (connection->is_deflated)
        message_take(connection, out.data, out.size);
    else
        message_take(connection, data, size);
    buf_free(&out);
}

static void take_data(struct connection *connection, const struct wslay_frame_iocb *piece)
{
    struct frame_reader *reader = connection->reader;
    struct buf *body = &connection->body;
    size_t max = (size_t)engine_config(connection->server)->max_payload_bytes;
    bool is_end = reader->fin && reader->payload_left == 0;
    if (body->size + piece->data_length > max || reader->payload_left > max) {
        websocket_fail(connection, CLOSE_TOO_LARGE);
    } else if (is_end && body->size == 0) {
        message_end(connection, piece->data_length ? (const char *)piece->data : "",
                    piece->data_length);
    } else {
        buf_put(body, piece->data, piece->data_length);
        if (is_end)
            message_end(connection, body->data, body->size);
    }
    if (is_end)
        buf_free(body);
}

static void control_end(struct connection *connection)
{
    struct frame_reader *reader = connection->reader;
    if (reader->opcode == WSLAY_CONNECTION_CLOSE) {
        connection->is_closing = true;
        engine_gone(&connection->link);
        write_close(connection, CLOSE_NORMAL);
    } else if (reader->opcode == WSLAY_PING && !connection->link.is_congested) {
        write_control(connection, WSLAY_PONG, reader->control, reader->control_size);
    }
}

static void take_control(struct connection *connection, const struct wslay_frame_iocb *piece)
{
    struct frame_reader *reader = connection->reader;
    if (piece->data_length > 0)
        memcpy(reader->control + reader->control_size, piece->data, piece->data_length);
    reader->control_size += piece->data_length;
    if (reader->payload_left == 0)
        control_end(connection);
}

static bool is_control(uint8_t opcode)
{
    return opcode >= WSLAY_CONNECTION_CLOSE;
}

/* Section 5: clients mask; a message goes on where it stopped. The first bit that was reserved says
 * that a message is compressed (RFC 7692 section 6), if that was agreed on. */
static bool frame_may_begin(const struct connection *connection,
                            const struct wslay_frame_iocb *piece)
{
    bool is_first = piece->opcode == WSLAY_TEXT_FRAME || piece->opcode == WSLAY_BINARY_FRAME;
    int allowed = connection->deflates && is_first ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE;
    if (!piece->mask || piece->rsv & ~allowed)
        return false;
    switch (piece->opcode) {
    case WSLAY_CONTINUATION_FRAME: return connection->opcode != 0;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME: return connection->opcode == 0;
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG: return piece->fin && piece->payload_length <= CONTROL_MAX;
    default: return false;
    }
}

static bool frame_begin(struct connection *connection, const struct wslay_frame_iocb *piece)
{
    struct frame_reader *reader = connection->reader;
    if (!frame_may_begin(connection, piece))
        return false;
    reader->in_frame = true;
    reader->opcode = piece->opcode;
    reader->fin = piece->fin;
    reader->payload_left = piece->payload_length;
    reader->control_size = 0;
    if (!is_control(piece->opcode) && piece->opcode != WSLAY_CONTINUATION_FRAME) {
        connection->opcode = piece->opcode;
        connection->is_deflated = piece->rsv != 0;
    }
    return true;
}

static uint64_t frame_size(const struct wslay_frame_iocb *piece)
{
    uint64_t length = piece->payload_length;
    return 6 + length + (length < 126 ? 0 : length < 65536 ? 2 : 8);
}

/* Takes a frame, or as much of it as has come. False: there is no more, or the end has come. */
static bool read_piece(struct connection *connection)
{
    struct wslay_frame_iocb piece = {0};
    struct frame_reader *reader = connection->reader;
    ssize_t size = wslay_frame_recv(reader->frames, &piece);
    if (size == WSLAY_ERR_WANT_READ)
        return false;
    if (size < 0 || (!reader->in_frame && !frame_begin(connection, &piece))) {
        websocket_fail(connection, CLOSE_PROTOCOL);
        return false;
    }
    reader->payload_left -= piece.data_length;
    if (reader->payload_left == 0) {
        reader->in_frame = false;
        reader->taken -= frame_size(&piece);
    }
    if (is_control(reader->opcode))
        take_control(connection, &piece);
    else
        take_data(connection, &piece);
    return !connection->is_closing;
}

void websocket_read(struct connection *connection, const char *data, size_t size)
{
    if (size == 0 || connection->is_closing)
        return;
    if (!connection->reader)
        connection->reader = reader_new(connection->transport);
    connection->reader->data = data;
    connection->reader->left = size;
    while (read_piece(connection))
        ;
    if (!connection->is_closing)
        reader_give_back(connection);
}
