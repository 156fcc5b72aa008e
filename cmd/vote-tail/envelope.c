/* envelope.c - a record as a line of JSON from which it can be made again, byte for byte.
 *
 * {"topic","partition","offset","timestamp","key","headers","value"}. A key, header or value is
 * null, a string, or {"base64":"..."} when it is not UTF-8. Headers are an object, or an array of
 * {"key","value"} when a name comes twice (or is not UTF-8). A value that is a JSON object or array
 * stands as itself, unless that would lose a byte or be read as one of the forms above.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include <jansson.h>
#include <string.h>

static void base64_put(struct buf *out, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16;
        group |= i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= i + 2 < size ? bytes[i + 2] : 0;
        buf_char(out, digits[group >> 18]);
        buf_char(out, digits[group >> 12 & 63]);
        buf_char(out, i + 1 < size ? digits[group >> 6 & 63] : '=');
        buf_char(out, i + 2 < size ? digits[group & 63] : '=');
    }
}

static void bytes_put(struct buf *out, const void *bytes, size_t size)
{
    if (!bytes) {
        buf_text(out, "null");
    } else if (buf_is_utf8(bytes, size)) {
        buf_json(out, bytes, size);
    } else {
        buf_text(out, "{\"base64\":\"");
        base64_put(out, bytes, size);
        buf_text(out, "\"}");
    }
}

struct header {
    const char *name;
    const void *value;
    size_t size;
};

static bool header_get(const rd_kafka_headers_t *headers, size_t index, struct header *header)
{
    return !rd_kafka_header_get_all(headers, index, &header->name, &header->value, &header->size);
}

/* True when an object can hold them: each name once, and text. */
static bool headers_are_plain(const rd_kafka_headers_t *headers)
{
    struct header header, other;
    for (size_t i = 0; header_get(headers, i, &header); i++) {
        if (!buf_is_utf8(header.name, strlen(header.name)))
            return false;
        for (size_t k = 0; k < i && header_get(headers, k, &other); k++) {
            if (!strcmp(header.name, other.name))
                return false;
        }
    }
    return true;
}

static void headers_put(struct buf *out, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    struct header header;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        buf_text(out, "{}");
        return;
    }
    bool plain = headers_are_plain(headers);
    buf_char(out, plain ? '{' : '[');
    for (size_t i = 0; header_get(headers, i, &header); i++) {
        if (i)
            buf_char(out, ',');
        if (!plain)
            buf_text(out, "{\"key\":");
        bytes_put(out, header.name, strlen(header.name));
        buf_text(out, plain ? ":" : ",\"value\":");
        bytes_put(out, header.value, header.size);
        if (!plain)
            buf_char(out, '}');
    }
    buf_char(out, plain ? '}' : ']');
}

/* jansson refuses what has two members of one name, a NUL or a number it cannot hold; all of those
 * go as strings. So does whatever has a line of its own, or white space around it. */
static bool value_stands_as_itself(const char *bytes, size_t size)
{
    if (size < 2 || !strchr("{[", bytes[0]) || !strchr("}]", bytes[size - 1]) ||
        memchr(bytes, '\n', size) || memchr(bytes, '\r', size))
        return false;
    json_t *value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    bool stands = value && !json_object_get(value, "base64");
    json_decref(value);
    return stands;
}

static void value_put(struct buf *out, const rd_kafka_message_t *message)
{
    if (message->payload && value_stands_as_itself(message->payload, message->len))
        buf_put(out, message->payload, message->len);
    else
        bytes_put(out, message->payload, message->len);
}

void format_json(const rd_kafka_message_t *message, struct buf *out)
{
    buf_text(out, "{\"topic\":");
    buf_json(out, rd_kafka_topic_name(message->rkt), strlen(rd_kafka_topic_name(message->rkt)));
    buf_member_int(out, "partition", message->partition);
    buf_member_int(out, "offset", message->offset);
    buf_member_int(out, "timestamp", rd_kafka_message_timestamp(message, NULL));
    buf_member(out, "key");
    bytes_put(out, message->key, message->key_len);
    buf_member(out, "headers");
    headers_put(out, message);
    buf_member(out, "value");
    value_put(out, message);
    buf_text(out, "}\n");
}
