/* ids.c - user, project and request ids. SPDX-License-Identifier: Apache-2.0 */
#include "vote/ids.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool id_is_valid(const char *text, size_t size)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    if (size < 1 || size > VOTE_ID_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!text[i] || !strchr(allowed, text[i]))
            return false;
    }
    return true;
}

void request_id_make(char id[REQUEST_ID_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    random_fill(bytes, sizeof bytes);
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(now_ms >> (40 - 8 * i));
    bytes[6] = 0x70 | (bytes[6] & 0x0F);
    bytes[8] = 0x80 | (bytes[8] & 0x3F);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *id++ = '-';
        *id++ = hex[bytes[i] >> 4];
        *id++ = hex[bytes[i] & 15];
    }
    *id = '\0';
}

bool request_id_is_valid(const char *text, size_t size)
{
    if (size != REQUEST_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !text[i] || !strchr("0123456789abcdef", text[i]))
            return false;
    }
    return true;
}
