/* fuzz_packet.c - any Socket.IO packet is refused, or read into parts that lie within it and that
 * say what its JSON says. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/buf.h"
#include "socketio/packet.h"

#include <string.h>

static void check_parts(const struct packet *packet, const char *text, size_t size)
{
    assert(packet->type <= PACKET_BINARY_ACK);
    assert(packet->attachment_count <= ATTACHMENTS_MAX);
    assert((packet->attachment_count > 0) == (packet->type >= PACKET_BINARY_EVENT));
    assert(packet->namespace_size > 0 && *packet->namespace == '/');
    assert(!memchr(packet->namespace, ',', packet->namespace_size));
    assert(packet->ack_id >= NO_ACK);
    assert(packet->data + packet->data_size == text + size);
}

/* The text of the arguments in brackets is the array again. */
static void check_args(const struct packet_content *content, const struct packet *packet)
{
    struct buf text = {0};
    assert(content->args_text >= packet->data);
    assert(content->args_text + content->args_size <= packet->data + packet->data_size);
    buf_char(&text, '[');
    buf_put(&text, content->args_text, content->args_size);
    buf_char(&text, ']');
    json_t *array = json_loadb(text.data, text.size, JSON_ALLOW_NUL, NULL);
    assert(array && json_equal(array, content->json));
    json_decref(array);
    buf_free(&text);
}

static void check_content(const struct packet_content *content, const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_CONNECT: assert(!content->json || json_is_object(content->json)); break;
    case PACKET_DISCONNECT: assert(!content->json); break;
    case PACKET_CONNECT_ERROR: assert(false); break;
    case PACKET_EVENT:
    case PACKET_BINARY_EVENT:
        assert(content->name && strcmp(content->name, "disconnect") != 0);
        check_args(content, packet);
        break;
    default: assert(!content->name && packet->ack_id != NO_ACK); check_args(content, packet);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet packet;
    struct packet_content content;
    const char *text = size ? (const char *)data : "";
    if (!packet_decode(&packet, text, size))
        return 0;
    check_parts(&packet, text, size);
    if (packet_read(&content, &packet))
        check_content(&content, &packet);
    packet_content_free(&content);
    return 0;
}
