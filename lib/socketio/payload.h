/* payload.h - Engine.IO packets and the payloads of HTTP long-polling that join them.
 * https://socket.io/docs/v4/engine-io-protocol, "Packet encoding". SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef SOCKETIO_PAYLOAD_H
#define SOCKETIO_PAYLOAD_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* The first character of a packet. */
enum payload_type {
    PAYLOAD_OPEN = '0',
    PAYLOAD_CLOSE = '1',
    PAYLOAD_PING = '2',
    PAYLOAD_PONG = '3',
    PAYLOAD_MESSAGE = '4',
    PAYLOAD_UPGRADE = '5',
    PAYLOAD_NOOP = '6',
};

struct payload_packet {
    enum payload_type type;
    bool is_binary;   /* a message that came as base64 */
    const char *data; /* after the type; of a binary one decoded, in `scratch` */
    size_t size;
};

/* Reads one packet, as text. `scratch` is kept for the next. False: it is none. */
bool payload_packet(struct payload_packet *packet, const char *text, size_t size,
                    struct buf *scratch) __attribute__((warn_unused_result));

/* Takes the text of the next packet off a payload; `*text` is NULL behind the last. */
void payload_split(const char **text, size_t *size, const char **packet, size_t *packet_size);

#endif
