/* envelope_parse.c - the way back: from a line of JSON to the record that it was made of.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kafka/envelope.h"

#include "base/base64.h"
#include "base/json.h"

#include <jansson.h>
#include <string.h>

/* A line may be nested deeper than its value by a little. */
enum { DEPTH_MAX = 600 };

/* {"base64":"..."} and nothing else. */
static const json_t *base64_of(const json_t *value)
{
    return json_object_size(value) == 1 ? json_object_get(value, "base64") : NULL;
}

/* Bytes as envelope_put writes them; `*bytes` is NULL for null. They lie in `kept`. */
static bool bytes_read(const json_t *value, struct buf *kept, const void **bytes, size_t *size)
{
    const json_t *base64 = base64_of(value);
    size_t base64_size = json_string_length(base64);
    bool fine = true;
    buf_clear(kept);
    buf_reserve(kept, 0);
    if (json_is_string(base64))
        fine = base64_size % 4 == 0 && base64_decode(kept, json_string_value(base64), base64_size);
    else if (json_is_string(value))
        buf_put(kept, json_string_value(value), json_string_length(value));
    else
        fine = json_is_null(value);
    *bytes = json_is_null(value) ? NULL : kept->data;
    *size = kept->size;
    return fine;
}

static bool header_add(rd_kafka_headers_t *headers, const void *name, size_t name_size,
                       const json_t *value)
{
    struct buf kept = {0};
    const void *bytes;
    size_t size;
    bool fine = bytes_read(value, &kept, &bytes, &size) && !memchr(name, '\0', name_size) &&
                !rd_kafka_header_add(headers, name, (ssize_t)name_size, bytes, (ssize_t)size);
    buf_free(&kept);
    return fine;
}

static bool headers_read_object(rd_kafka_headers_t *headers, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (!header_add(headers, name, strlen(name), value))
            return false;
    }
    return true;
}

static bool headers_read_array(rd_kafka_headers_t *headers, const json_t *array)
{
    bool fine = true;
    for (size_t i = 0; fine && i < json_array_size(array); i++) {
        struct buf kept = {0};
        const void *name;
        size_t size;
        const json_t *header = json_array_get(array, i);
        fine = bytes_read(json_object_get(header, "key"), &kept, &name, &size) && name &&
               header_add(headers, name, size, json_object_get(header, "value"));
        buf_free(&kept);
    }
    return fine;
}

static bool headers_read(json_t *value, rd_kafka_headers_t **headers)
{
    *headers = NULL;
    if (json_is_object(value) && !json_object_size(value))
        return true;
    *headers = rd_kafka_headers_new(8);
    if (json_is_object(value) ? headers_read_object(*headers, value)
                              : json_is_array(value) && headers_read_array(*headers, value))
        return true;
    rd_kafka_headers_destroy(*headers);
    *headers = NULL;
    return false;
}

/* An object or array stands in the line byte for byte. */
static bool value_read(struct envelope *envelope, struct envelope_text *text, const json_t *value,
                       const char *line, size_t size)
{
    const char *span;
    size_t span_size;
    bool itself = json_is_array(value) || (json_is_object(value) && !base64_of(value));
    if (!itself)
        return bytes_read(value, &text->value, &envelope->value, &envelope->value_size);
    if (!json_member_span(line, size, "value", &span, &span_size))
        return false;
    buf_clear(&text->value);
    buf_put(&text->value, span, span_size);
    envelope->value = text->value.data;
    envelope->value_size = span_size;
    return true;
}

static bool member_refuse(const char *name, struct error *error)
{
    return error_set(error, ERROR_DATA, "%s is missing, or not as vote-tail writes it", name);
}

static bool place_read(struct envelope *envelope, struct envelope_text *text, const json_t *object,
                       struct error *error)
{
    static const char *const names[] = {"partition", "offset", "timestamp"};
    int64_t numbers[] = {-1, -1, -1};
    const json_t *topic = json_object_get(object, "topic");
    for (int i = 0; i < 3; i++) {
        const json_t *number = json_object_get(object, names[i]);
        if (number && !json_is_integer(number))
            return member_refuse(names[i], error);
        numbers[i] = number ? json_integer_value(number) : -1;
    }
    if (topic && !json_is_string(topic))
        return member_refuse("topic", error);
    buf_clear(&text->topic);
    buf_text(&text->topic, topic ? json_string_value(topic) : "");
    envelope->topic = text->topic.data;
    envelope->partition = (int32_t)numbers[0];
    envelope->offset = numbers[1];
    envelope->timestamp_ms = numbers[2];
    return true;
}

static bool object_read(struct envelope *envelope, struct envelope_text *text, const json_t *object,
                        const char *line, size_t size, struct error *error)
{
    if (!place_read(envelope, text, object, error))
        return false;
    if (!bytes_read(json_object_get(object, "key"), &text->key, &envelope->key,
                    &envelope->key_size))
        return member_refuse("key", error);
    if (!value_read(envelope, text, json_object_get(object, "value"), line, size))
        return member_refuse("value", error);
    return headers_read(json_object_get(object, "headers"), &envelope->headers) ||
           member_refuse("headers", error);
}

bool envelope_parse(struct envelope *envelope, struct envelope_text *text, const char *line,
                    size_t size, struct error *error)
{
    json_error_t why;
    *envelope = (struct envelope){0};
    if (!json_depth_is_within(line, size, DEPTH_MAX))
        return error_set(error, ERROR_DATA, "is nested too deeply");
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!object)
        return error_set(error, ERROR_DATA, "column %d: is no JSON: %s", why.position, why.text);
    bool read = json_is_object(object) ? object_read(envelope, text, object, line, size, error)
                                       : error_set(error, ERROR_DATA, "is no JSON object");
    json_decref(object);
    return read;
}

void envelope_text_free(struct envelope_text *text)
{
    buf_free(&text->topic);
    buf_free(&text->key);
    buf_free(&text->value);
}
