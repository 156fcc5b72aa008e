/* slot.c - the slot of a key (Redis Cluster specification: key distribution model, hash tags).
 * SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include <string.h>

/* CRC-16/XMODEM: polynomial 0x1021, start 0; four bits at a time. */
static unsigned crc16(const char *bytes, size_t size)
{
    static const uint16_t steps[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    uint16_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = (unsigned char)bytes[i];
        crc = (uint16_t)(crc << 4 ^ steps[crc >> 12 ^ byte >> 4]);
        crc = (uint16_t)(crc << 4 ^ steps[crc >> 12 ^ (byte & 15)]);
    }
    return crc;
}

/* Only what stands between the first { and the next } is hashed, if there is anything. */
int slot_of_key(const char *key)
{
    const char *open = strchr(key, '{');
    const char *close = open ? strchr(open + 1, '}') : NULL;
    if (close && close > open + 1)
        return (int)(crc16(open + 1, (size_t)(close - open) - 1) % SLOTS);
    return (int)(crc16(key, strlen(key)) % SLOTS);
}
