/* otlp.c - spans as the JSON of OTLP (opentelemetry-proto 1.x, "JSON Protobuf Encoding"): ids are
 * hexadecimal, 64-bit integers are strings, enums are numbers. SPDX-License-Identifier: Apache-2.0
 */
#include "trace/tracer.h"

#include "base/tool.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_ERROR = 2, HEX_SIZE = 2 * TRACE_ID_SIZE + 1 };

static void list_comma(struct buf *json)
{
    if (json->data[json->size - 1] != '[')
        buf_char(json, ',');
}

static void id_encode(struct buf *json, const char *name, const unsigned char *bytes, size_t size)
{
    char text[HEX_SIZE];
    trace_hex(bytes, size, text);
    buf_member_text(json, name, text);
}

static void int64_encode(struct buf *json, const char *name, int64_t value)
{
    buf_member(json, name);
    buf_format(json, "\"%" PRId64 "\"", value);
}

/* Up to the value's own member; "}}" ends it. */
static void attribute_begin(struct buf *json, const char *key)
{
    list_comma(json);
    buf_char(json, '{');
    buf_member_text(json, "key", key);
    buf_member(json, "value");
    buf_char(json, '{');
}

static void text_attribute(struct buf *json, const char *key, const char *text)
{
    attribute_begin(json, key);
    buf_member_text(json, "stringValue", text);
    buf_text(json, "}}");
}

static void number_attribute(struct buf *json, const char *key, int64_t number)
{
    attribute_begin(json, key);
    int64_encode(json, "intValue", number);
    buf_text(json, "}}");
}

static void attributes_encode(struct buf *json, const struct span *span)
{
    buf_member(json, "attributes");
    buf_char(json, '[');
    for (int i = 0; i < span->attribute_count; i++) {
        const struct span_attribute *attribute = &span->attributes[i];
        if (attribute->is_number)
            number_attribute(json, attribute->key, attribute->number);
        else
            text_attribute(json, attribute->key, attribute->text);
    }
    buf_char(json, ']');
}

static void links_encode(struct buf *json, const struct span *span)
{
    buf_member(json, "links");
    buf_char(json, '[');
    for (int i = 0; i < span->link_count; i++) {
        list_comma(json);
        buf_char(json, '{');
        id_encode(json, "traceId", span->links[i].trace_id, TRACE_ID_SIZE);
        id_encode(json, "spanId", span->links[i].span_id, SPAN_ID_SIZE);
        buf_char(json, '}');
    }
    buf_char(json, ']');
    if (span->links_left_out)
        buf_member_int(json, "droppedLinksCount", span->links_left_out);
}

static void span_encode(struct buf *json, const struct span *span, int64_t offset_us)
{
    static const unsigned char none[SPAN_ID_SIZE];
    list_comma(json);
    buf_char(json, '{');
    id_encode(json, "traceId", span->context.trace_id, TRACE_ID_SIZE);
    id_encode(json, "spanId", span->context.span_id, SPAN_ID_SIZE);
    if (memcmp(span->parent_id, none, SPAN_ID_SIZE) != 0)
        id_encode(json, "parentSpanId", span->parent_id, SPAN_ID_SIZE);
    buf_member_text(json, "name", span->name);
    buf_member_int(json, "kind", span->kind);
    int64_encode(json, "startTimeUnixNano", (span->start_us + offset_us) * 1000);
    int64_encode(json, "endTimeUnixNano", (span->end_us + offset_us) * 1000);
    if (span->attribute_count)
        attributes_encode(json, span);
    if (span->link_count)
        links_encode(json, span);
    if (span->is_failed) {
        buf_member(json, "status");
        buf_format(json, "{\"code\":%d}", STATUS_ERROR);
    }
    buf_char(json, '}');
}

void otlp_encode(const char *service, const char *instance, const struct span *spans, size_t count,
                 int64_t offset_us, struct buf *json)
{
    buf_text(json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    text_attribute(json, "service.name", service);
    text_attribute(json, "service.namespace", "votepipe");
    text_attribute(json, "service.instance.id", instance);
    text_attribute(json, "service.version", VOTEPIPE_VERSION);
    buf_text(json, "]},\"scopeSpans\":[{\"scope\":{");
    buf_member_text(json, "name", "votepipe");
    buf_member_text(json, "version", VOTEPIPE_VERSION);
    buf_text(json, "},\"spans\":[");
    for (size_t i = 0; i < count; i++)
        span_encode(json, &spans[i], offset_us);
    buf_text(json, "]}]}]}");
}

/* {"partialSuccess":{"rejectedSpans":"3"}}; some write the number without quotes. */
int64_t otlp_rejected(const char *json, size_t size)
{
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *rejected =
        json_object_get(json_object_get(root, "partialSuccess"), "rejectedSpans");
    int64_t count = json_is_string(rejected) ? strtoll(json_string_value(rejected), NULL, 10)
                                             : json_integer_value(rejected);
    json_decref(root);
    return count > 0 ? count : 0;
}
