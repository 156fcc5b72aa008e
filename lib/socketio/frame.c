/* frame.c - see frame.h. https://socket.io/docs/v4/socket-io-protocol, "Packet encoding".
 * SPDX-License-Identifier: Apache-2.0 */
#include "socketio/frame.h"

#include "socketio/engine.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct sio_frame, bytes) ==
                   offsetof(struct sio_frame, header) + FRAME_HEADER_MAX,
               "a frame is sent in one piece");

/* Puts a number of `count` bytes, highest first, and returns where it begins. */
static char *put_before(char *end, uint64_t number, int count)
{
    for (; count > 0; count--, number >>= 8)
        *--end = (char)number;
    return end;
}

/* One final frame, which its client finds right before the bytes. */
static void frame_put_header(struct sio_frame *frame, bool is_deflated)
{
    uint64_t size = frame->size;
    char *end = frame->header + FRAME_HEADER_MAX, *at = end;
    if (size > UINT16_MAX)
        at = put_before(at, size, 8);
    else if (size > 125)
        at = put_before(at, size, 2);
    *--at = (char)(size > UINT16_MAX ? 127 : size > 125 ? 126 : size);
    *--at = (char)(0x80 | (is_deflated ? 0x40 : 0) | (frame->is_binary ? 2 : 1));
    frame->header_size = (uint8_t)(end - at);
}

static struct sio_frame *frame_make(const void *bytes, size_t size, bool is_binary)
{
    struct sio_frame *frame = malloc(sizeof *frame + size);
    if (!frame)
        abort();
    memset(frame, 0, sizeof *frame);
    frame->references = 1;
    frame->size = frame->total_size = size;
    frame->is_binary = is_binary;
    if (size > 0)
        memcpy(frame->bytes, bytes, size);
    frame_put_header(frame, false);
    return frame;
}

struct sio_frame *frame_from_deflated(const struct sio_frame *frame, const void *bytes, size_t size)
{
    struct sio_frame *deflated = frame_make(bytes, size, frame->is_binary);
    frame_put_header(deflated, true);
    return deflated;
}

struct sio_frame *frame_from_text(const char *text, size_t size)
{
    return frame_make(text, size, false);
}

struct sio_frame *frame_from_bytes(const void *bytes, size_t size)
{
    return frame_make(bytes, size, true);
}

/* The packet up to its data: 4<type>[<attachments>-][<namespace>,][<ack id>]. */
static void put_prefix(struct buf *text, enum packet_type type, const char *namespace,
                       int64_t ack_id, size_t attachment_count)
{
    buf_char(text, PAYLOAD_MESSAGE);
    buf_int(text, type);
    if (attachment_count > 0) {
        buf_int(text, (int64_t)attachment_count);
        buf_char(text, '-');
    }
    if (strcmp(namespace, "/") != 0) {
        buf_text(text, namespace);
        buf_char(text, ',');
    }
    if (ack_id != NO_ACK)
        buf_int(text, ack_id);
}

static void put_array(struct buf *text, const struct sio_message *message, bool with_name)
{
    size_t args_size = message->args ? message->args_size : 0;
    buf_char(text, '[');
    if (with_name)
        buf_json(text, message->event, strlen(message->event));
    if (with_name && args_size > 0)
        buf_char(text, ',');
    if (args_size > 0)
        buf_put(text, message->args, args_size);
    buf_char(text, ']');
}

static struct sio_frame *frame_finish(struct buf *text, const struct sio_message *message)
{
    struct sio_frame *frame = frame_from_text(text->data, text->size), *last = frame;
    buf_free(text);
    for (size_t i = 0; i < message->attachment_count; i++) {
        last->next = frame_from_bytes(message->attachments[i].data, message->attachments[i].size);
        last = last->next;
        frame->total_size += last->size;
    }
    return frame;
}

struct sio_frame *frame_event(const char *namespace, int64_t ack_id,
                              const struct sio_message *message)
{
    struct buf text = {0};
    put_prefix(&text, message->attachment_count ? PACKET_BINARY_EVENT : PACKET_EVENT, namespace,
               ack_id, message->attachment_count);
    put_array(&text, message, true);
    struct sio_frame *frame = frame_finish(&text, message);
    frame->kind = message->kind;
    frame->key = message->key;
    frame->is_event = true;
    return frame;
}

struct sio_frame *frame_ack(const char *namespace, int64_t ack_id,
                            const struct sio_message *message)
{
    struct buf text = {0};
    put_prefix(&text, message->attachment_count ? PACKET_BINARY_ACK : PACKET_ACK, namespace, ack_id,
               message->attachment_count);
    put_array(&text, message, false);
    return frame_finish(&text, message);
}

struct sio_frame *frame_control(int type, const char *namespace, const char *json)
{
    struct buf text = {0};
    put_prefix(&text, (enum packet_type)type, namespace, NO_ACK, 0);
    buf_text(&text, json);
    struct sio_frame *frame = frame_from_text(text.data, text.size);
    buf_free(&text);
    return frame;
}

struct sio_frame *sio_frame_new(const struct sio_namespace *namespace,
                                const struct sio_message *message)
{
    return frame_event(namespace->name, NO_ACK, message);
}

struct sio_frame *sio_frame_ref(struct sio_frame *frame)
{
    frame->references++;
    return frame;
}

void sio_frame_unref(struct sio_frame *frame)
{
    if (--frame->references > 0)
        return;
    for (struct sio_frame *next; frame; frame = next) {
        next = frame->next;
        free(frame->deflated);
        free(frame);
    }
}

uint32_t sio_frame_kind(const struct sio_frame *frame)
{
    return frame->kind;
}

uint64_t sio_frame_key(const struct sio_frame *frame)
{
    return frame->key;
}

size_t sio_frame_size(const struct sio_frame *frame)
{
    return frame->total_size;
}
