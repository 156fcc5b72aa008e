/* format.c - records for eyes. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include "base/clock.h"

#include <jansson.h>
#include <string.h>

static json_t *value_parse(const rd_kafka_message_t *message)
{
    return message->payload ? json_loadb(message->payload, message->len, 0, NULL) : NULL;
}

static const char *member_text(const json_t *value, const char *name)
{
    return json_string_value(json_object_get(value, name));
}

static void column_put(struct buf *out, const char *text, size_t size, int width)
{
    int used = 0;
    buf_char(out, ' ');
    for (size_t i = 0; i < size; i++) {
        size_t control = text_control_size(text + i, size - i);
        buf_char(out, control ? '?' : text[i]);
        used += (text[i] & 0xc0) != 0x80;
        i += control > 1;
    }
    for (; used < width; used++)
        buf_char(out, ' ');
}

static void member_put(struct buf *out, const json_t *value, const char *name, int width)
{
    const char *text = member_text(value, name);
    column_put(out, text ? text : "-", text ? strlen(text) : 1, width);
}

/* Puts a header's text, when there is one and it is text. */
static bool header_put(struct buf *out, const rd_kafka_message_t *message, const char *name,
                       const char *before, int width)
{
    rd_kafka_headers_t *headers;
    const void *text;
    size_t size;
    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, name, &text, &size) || !buf_is_utf8(text, size))
        return false;
    buf_text(out, before);
    column_put(out, text, size, width);
    return true;
}

static void counts_put(struct buf *out, const json_t *value)
{
    static const char *const names[] = {"upvotes", "downvotes", "version"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *count = json_object_get(value, names[i]);
        if (json_is_integer(count))
            buf_format(out, " %s=%lld", names[i], (long long)json_integer_value(count));
    }
}

#define DIM   "\x1b[2m"
#define PLAIN "\x1b[0m"

/* What went as it should is green, what did not is red; what changed nothing keeps quiet. */
static const char *colour_of_type(const rd_kafka_message_t *message)
{
    static const char *const colours[][2] = {
        {"vote.cast.v1", "\x1b[32m"},       {"vote.removed.v1", "\x1b[33m"},
        {"vote.reconciled.v1", "\x1b[35m"}, {"vote.superseded.v1", DIM},
        {"vote.failed.v1", "\x1b[31m"},     {"vote.requested.v1", "\x1b[36m"}};
    char type[32], dead[2];
    if (kafka_header_text(message, "__dlq.errors.partition", dead, sizeof dead))
        return "\x1b[31m";
    for (size_t i = 0; kafka_header_text(message, "ce_type", type, sizeof type) &&
                       i < sizeof colours / sizeof *colours;
         i++) {
        if (!strcmp(type, colours[i][0]))
            return colours[i][1];
    }
    return "";
}

static void place_put(const rd_kafka_message_t *message, bool coloured, struct buf *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format_ms(rd_kafka_message_timestamp(message, NULL), time);
    buf_format(out, "%s%s %3d:%-8lld%s", coloured ? DIM : "", time, (int)message->partition,
               (long long)message->offset, coloured ? PLAIN : "");
}

static void type_put(const rd_kafka_message_t *message, bool coloured, struct buf *out)
{
    buf_text(out, coloured ? colour_of_type(message) : "");
    if (!header_put(out, message, "ce_type", "", 18))
        column_put(out, "-", 1, 18);
    buf_text(out, coloured ? PLAIN : "");
}

void format_text(const rd_kafka_message_t *message, bool coloured, struct buf *out)
{
    json_t *value = value_parse(message);
    place_put(message, coloured, out);
    type_put(message, coloured, out);
    if (json_is_object(value)) {
        member_put(out, value, "project_id", 16);
        member_put(out, value, "user_id", 12);
        member_put(out, value, "vote_type", 4);
        member_put(out, value, "action", 9);
        member_put(out, value, "request_id", 36);
        counts_put(out, value);
        if (member_text(value, "reason")) {
            buf_text(out, " reason:");
            member_put(out, value, "reason", 0);
        }
    } else {
        buf_format(out, " %zu bytes that are no JSON object", message->len);
    }
    header_put(out, message, "__dlq.errors.message", " error:", 0);
    buf_char(out, '\n');
    json_decref(value);
}
