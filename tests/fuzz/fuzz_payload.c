/* fuzz_payload.c - any body of an Engine.IO POST is packets that add up to it; what is binary is
 * what its base64 says. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/base64.h"
#include "socketio/payload.h"

#include <string.h>

/* Padding aside, base64 that was decoded is what encoding gives; spare bits need not be zero. */
static void check_binary(const struct payload_packet *packet, const char *text, size_t size)
{
    struct buf encoded = {0}, again = {0};
    base64_encode(&encoded, packet->data, packet->size);
    assert(encoded.size == (packet->size + 2) / 3 * 4);
    assert(base64_decode(&again, encoded.size ? encoded.data : "", encoded.size));
    assert(again.size == packet->size);
    assert(again.size == 0 || !memcmp(again.data, packet->data, again.size));
    size_t whole = packet->size / 3 * 4;
    assert(size - 1 >= whole && (whole == 0 || !memcmp(encoded.data, text + 1, whole)));
    buf_free(&encoded);
    buf_free(&again);
}

static void check_packet(const char *text, size_t size, struct buf *scratch)
{
    struct payload_packet packet;
    if (!payload_packet(&packet, text, size, scratch))
        return;
    assert(packet.is_binary == (*text == 'b'));
    if (packet.is_binary) {
        assert(packet.type == PAYLOAD_MESSAGE);
        check_binary(&packet, text, size);
    } else {
        assert((char)packet.type == *text && packet.data == text + 1 && packet.size == size - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf scratch = {0};
    const char *text = size ? (const char *)data : "";
    size_t left = size, seen = 0, count = 0;
    do {
        const char *packet;
        size_t packet_size;
        payload_split(&text, &left, &packet, &packet_size);
        assert(packet_size == 0 || !memchr(packet, 0x1e, packet_size));
        check_packet(packet, packet_size, &scratch);
        seen += packet_size;
        count++;
    } while (text);
    assert(seen + count - 1 == size);
    buf_free(&scratch);
    return 0;
}
