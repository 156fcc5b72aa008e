/* buf.c - text and bytes that grow. SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void buf_recycle(struct buf *buf, size_t most)
{
    if (buf->capacity > most)
        buf_free(buf);
    else
        buf_clear(buf);
}

void buf_reserve(struct buf *buf, size_t more)
{
    size_t need = buf->size + more + 1;
    if (need <= buf->capacity)
        return;
    size_t capacity = buf->capacity ? buf->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(buf->data, capacity);
    if (!data)
        abort();
    buf->data = data;
    buf->capacity = capacity;
}

void buf_put(struct buf *buf, const void *bytes, size_t size)
{
    buf_reserve(buf, size);
    if (size)
        memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buf_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
    buf_put(buf, &c, 1);
}

void buf_int(struct buf *buf, int64_t value)
{
    buf_reserve(buf, UNITS_TEXT_SIZE);
    buf->size += units_format_int(value, buf->data + buf->size);
}

/* Most texts fit into the room that is there: only the others are formatted twice. */
void buf_format(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    buf_reserve(buf, 127);
    size_t room = buf->capacity - buf->size;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(buf->data + buf->size, room, format, args);
    va_end(args);
    if (size > 0 && (size_t)size >= room) {
        buf_reserve(buf, (size_t)size);
        vsnprintf(buf->data + buf->size, (size_t)size + 1, format, again);
    }
    if (size > 0)
        buf->size += (size_t)size;
    va_end(again);
}

/* Length of the well-formed UTF-8 sequence at `bytes` (RFC 3629 section 4), 0 when there is none.
 */
static size_t utf8_sequence(const unsigned char *bytes, size_t size)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (bytes[0] < forms[i].first_low || bytes[0] > forms[i].first_high)
            continue;
        if (forms[i].length > size)
            return 0;
        if (forms[i].length > 1 &&
            (bytes[1] < forms[i].second_low || bytes[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if ((bytes[k] & 0xC0) != 0x80)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

/* How many bytes of the text are ASCII, up to the first that is not; looks at eight at a time. */
static size_t ascii_run(const char *bytes, size_t size)
{
    size_t at = 0;
    uint64_t word;
    for (; at + sizeof word <= size; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        if (word & 0x8080808080808080u)
            break;
    }
    while (at < size && !((unsigned char)bytes[at] & 0x80))
        at++;
    return at;
}

bool buf_is_utf8(const char *bytes, size_t size)
{
    for (size_t at = ascii_run(bytes, size), length; at < size; at += length) {
        length = utf8_sequence((const unsigned char *)bytes + at, size - at);
        if (length == 0)
            return false;
    }
    return true;
}

static void buf_json_escape(struct buf *buf, unsigned char c)
{
    switch (c) {
    case '"': buf_put(buf, "\\\"", 2); break;
    case '\\': buf_put(buf, "\\\\", 2); break;
    case '\n': buf_put(buf, "\\n", 2); break;
    case '\r': buf_put(buf, "\\r", 2); break;
    case '\t': buf_put(buf, "\\t", 2); break;
    default: buf_format(buf, "\\u%04x", c);
    }
}

void buf_json(struct buf *buf, const char *text, size_t size)
{
    buf_reserve(buf, size + 2);
    buf_char(buf, '"');
    size_t from = 0, at = 0;
    while (at < size) {
        unsigned char c = (unsigned char)text[at];
        bool plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
        size_t length = plain ? 1 : utf8_sequence((const unsigned char *)text + at, size - at);
        if (length > 1 || plain || c == 0x7F) {
            at += length;
            continue;
        }
        buf_put(buf, text + from, at - from);
        if (length == 0)
            buf_text(buf, "\xEF\xBF\xBD");
        else
            buf_json_escape(buf, c);
        from = ++at;
    }
    buf_put(buf, text + from, at - from);
    buf_char(buf, '"');
}

void buf_member(struct buf *buf, const char *name)
{
    if (buf->size && buf->data[buf->size - 1] != '{')
        buf_char(buf, ',');
    buf_char(buf, '"');
    buf_text(buf, name);
    buf_put(buf, "\":", 2);
}

void buf_member_text(struct buf *buf, const char *name, const char *value)
{
    buf_member(buf, name);
    if (value)
        buf_json(buf, value, strlen(value));
    else
        buf_text(buf, "null");
}

void buf_member_int(struct buf *buf, const char *name, int64_t value)
{
    buf_member(buf, name);
    buf_int(buf, value);
}

void buf_member_double(struct buf *buf, const char *name, double value)
{
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    buf_member(buf, name);
    buf_text(buf, digits);
}
