/* envelope.c - a record as a line of JSON from which it can be made again, byte for byte.
 *
 * {"topic","partition","offset","timestamp","key","headers","value"}. A key, header or value is
 * null, a string, or {"base64":"..."} when it is not UTF-8. Headers are an object, or an array of
 * {"key","value"} when a name comes twice (or is not UTF-8). A value that is a JSON object or array
 * stands as itself, unless that would lose a byte or be read as one of the forms above.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kafka/envelope.h"

#include "base/base64.h"
#include "base/json.h"

#include <jansson.h>
#include <string.h>

/* Of a value that stands as itself: its line, which is deeper by one, must parse too. */
enum { DEPTH_MAX = 512 };

static void bytes_put(struct buf *out, const void *bytes, size_t size)
{
    if (!bytes) {
        buf_text(out, "null");
    } else if (buf_is_utf8(bytes, size)) {
        buf_json(out, bytes, size);
    } else {
        buf_text(out, "{\"base64\":\"");
        base64_encode(out, bytes, size);
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

static void headers_put(struct buf *out, const rd_kafka_headers_t *headers)
{
    struct header header;
    if (!headers) {
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
    if (json_is_plain_object(bytes, size) && !memmem(bytes, size, "\"base64\"", 8))
        return true;
    if (!json_depth_is_within(bytes, size, DEPTH_MAX))
        return false;
    json_t *value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    bool stands = value && !json_object_get(value, "base64");
    json_decref(value);
    return stands;
}

static void value_put(struct buf *out, const void *value, size_t size)
{
    if (value && value_stands_as_itself(value, size))
        buf_put(out, value, size);
    else
        bytes_put(out, value, size);
}

void envelope_of_message(struct envelope *envelope, const rd_kafka_message_t *message)
{
    *envelope = (struct envelope){.topic = rd_kafka_topic_name(message->rkt),
                                  .partition = message->partition,
                                  .offset = message->offset,
                                  .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
                                  .key = message->key,
                                  .key_size = message->key_len,
                                  .value = message->payload,
                                  .value_size = message->len};
    if (rd_kafka_message_headers(message, &envelope->headers))
        envelope->headers = NULL;
}

void envelope_put(const struct envelope *envelope, struct buf *out)
{
    buf_text(out, "{\"topic\":");
    buf_json(out, envelope->topic, strlen(envelope->topic));
    buf_member_int(out, "partition", envelope->partition);
    buf_member_int(out, "offset", envelope->offset);
    buf_member_int(out, "timestamp", envelope->timestamp_ms);
    buf_member(out, "key");
    bytes_put(out, envelope->key, envelope->key_size);
    buf_member(out, "headers");
    headers_put(out, envelope->headers);
    buf_member(out, "value");
    value_put(out, envelope->value, envelope->value_size);
    buf_text(out, "}\n");
}
