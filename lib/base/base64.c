/* base64.c - see base64.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <stdint.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t without_padding(const char *text, size_t size)
{
    if (size % 4 == 0 && size > 0 && text[size - 1] == '=')
        size -= text[size - 2] == '=' ? 2 : 1;
    return size;
}

bool base64_decode(struct buf *out, const char *text, size_t size)
{
    uint32_t bits = 0;
    size = without_padding(text, size);
    if (size % 4 == 1)
        return false;
    buf_reserve(out, size / 4 * 3 + 3);
    for (size_t i = 0; i < size; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0)
            buf_char(out, (char)(bits >> (6 - 2 * (i % 4))));
    }
    return true;
}

void base64_encode(struct buf *out, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    buf_reserve(out, (size + 2) / 3 * 4);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        char quad[4] = {ALPHABET[bits >> 18], ALPHABET[bits >> 12 & 63],
                        left > 1 ? ALPHABET[bits >> 6 & 63] : '=',
                        left > 2 ? ALPHABET[bits & 63] : '='};
        buf_put(out, quad, sizeof quad);
    }
}
