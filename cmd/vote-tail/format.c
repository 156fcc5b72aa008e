/* format.c - records for eyes, and the filters. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include "base/clock.h"
#include "vote/event.h"

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

/* A control would move the cursor, or do worse. Those of C1, U+0080 to U+009F, are two bytes. */
static size_t control_size(const char *text, size_t size)
{
    unsigned char c = (unsigned char)text[0], next = size > 1 ? (unsigned char)text[1] : 0;
    if (c < ' ' || c == 0x7f)
        return 1;
    return c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}

static void column_put(struct buf *out, const char *text, size_t size, int width)
{
    int used = 0;
    buf_char(out, ' ');
    for (size_t i = 0; i < size; i++) {
        size_t control = control_size(text + i, size - i);
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

void format_text(const rd_kafka_message_t *message, struct buf *out)
{
    char time[CLOCK_TEXT_SIZE];
    json_t *value = value_parse(message);
    clock_format_ms(rd_kafka_message_timestamp(message, NULL), time);
    buf_format(out, "%s %3d:%-8lld", time, (int)message->partition, (long long)message->offset);
    if (!header_put(out, message, "ce_type", "", 17))
        column_put(out, "-", 1, 17);
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

static bool id_check(const char *flag, const char *id, struct error *error)
{
    return !id || id_is_valid(id, strlen(id)) ||
           error_set(error, ERROR_USAGE,
                     "--%s: \"%s\" is not 1 to 64 characters out of "
                     "A-Z a-z 0-9 . _ : -",
                     flag, id);
}

bool filter_check(const struct tail_config *config, struct error *error)
{
    enum vote_action action;
    if (config->action && !vote_action_parse(config->action, &action))
        return error_set(error, ERROR_USAGE,
                         "--action: \"%s\" is not created, changed, removed or "
                         "unchanged",
                         config->action);
    return id_check("user", config->user, error) && id_check("project", config->project, error) &&
           id_check("request", config->request, error);
}

bool filter_match(const struct tail_config *config, const rd_kafka_message_t *message)
{
    const struct {
        const char *member, *wanted;
    } filters[] = {{"user_id", config->user},
                   {"project_id", config->project},
                   {"action", config->action},
                   {"request_id", config->request}};
    json_t *value = NULL;
    bool matches = true;
    for (size_t i = 0; i < sizeof filters / sizeof *filters && matches; i++) {
        if (!filters[i].wanted)
            continue;
        if (!value)
            value = value_parse(message);
        const char *text = member_text(value, filters[i].member);
        matches = text && !strcmp(text, filters[i].wanted);
    }
    json_decref(value);
    return matches;
}
