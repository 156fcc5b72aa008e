/* payload.c - see payload.h. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/payload.h"

#include "base/base64.h"

#include <string.h>

static bool binary_packet(struct payload_packet *packet, const char *text, size_t size,
                          struct buf *scratch)
{
    buf_clear(scratch);
    if (!base64_decode(scratch, text, size))
        return false;
    *packet = (struct payload_packet){PAYLOAD_MESSAGE, true, scratch->data, scratch->size};
    return true;
}

bool payload_packet(struct payload_packet *packet, const char *text, size_t size,
                    struct buf *scratch)
{
    if (size == 0)
        return false;
    if (text[0] == 'b')
        return binary_packet(packet, text + 1, size - 1, scratch);
    *packet = (struct payload_packet){(enum payload_type)text[0], false, text + 1, size - 1};
    return text[0] >= PAYLOAD_OPEN && text[0] <= PAYLOAD_NOOP;
}

void payload_split(const char **text, size_t *size, const char **packet, size_t *packet_size)
{
    const char *end = *size ? memchr(*text, 0x1e, *size) : NULL;
    *packet = *text;
    *packet_size = end ? (size_t)(end - *text) : *size;
    *size = end ? *size - *packet_size - 1 : 0;
    *text = end ? end + 1 : NULL;
}
