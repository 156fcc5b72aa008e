/* csv.c - records as rows for spreadsheets (RFC 4180). SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const event_columns[] = {
    "request_id", "user_id", "project_id",  "vote_type",    "previous",
    "action",     "upvotes", "downvotes",   "vote_count",   "community_score",
    "version",    "seq",     "accepted_at", "committed_at", "reason"};
enum { EVENT_COLUMNS = sizeof event_columns / sizeof *event_columns };

/* A cell that begins so is run as a formula when the file is opened; an apostrophe makes it text.
 */
static bool looks_like_a_formula(const char *text, size_t size)
{
    return size && strchr("=+-@\t\r", text[0]) && text[0];
}

/* Text of others: controls become question marks, bytes that are not UTF-8 as well. */
static void cell_put(struct buf *out, const char *text, size_t size)
{
    bool quoted = memchr(text, ',', size) || memchr(text, '"', size) || memchr(text, '\'', size) ||
                  memchr(text, ' ', size);
    bool readable = buf_is_utf8(text, size);
    if (quoted)
        buf_char(out, '"');
    if (looks_like_a_formula(text, size))
        buf_char(out, '\'');
    for (size_t i = 0; i < size; i++) {
        size_t control = text_control_size(text + i, size - i);
        if (text[i] == '"')
            buf_char(out, '"');
        buf_char(out, control || (!readable && text[i] & 0x80) ? '?' : text[i]);
        i += control > 1;
    }
    if (quoted)
        buf_char(out, '"');
}

/* Numbers are ours to write, so that a negative one stays a number. */
static void member_put(struct buf *out, const json_t *value)
{
    char *number = NULL;
    if (json_is_string(value))
        cell_put(out, json_string_value(value), json_string_length(value));
    else if (json_is_number(value))
        buf_text(out, number = json_dumps(value, JSON_ENCODE_ANY));
    free(number);
}

static void header_cell_put(struct buf *out, const rd_kafka_message_t *message, const char *name)
{
    char text[400];
    buf_char(out, ',');
    if (kafka_header_text(message, name, text, sizeof text))
        cell_put(out, text, strlen(text));
}

void format_csv_header(struct buf *out)
{
    buf_text(out, "timestamp,topic,partition,offset,key,type");
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        buf_char(out, ',');
        buf_text(out, event_columns[i]);
    }
    buf_text(out, ",error\r\n");
}

void format_csv(const rd_kafka_message_t *message, struct buf *out)
{
    char time[CLOCK_TEXT_SIZE];
    const char *topic = rd_kafka_topic_name(message->rkt);
    json_t *value = message->payload ? json_loadb(message->payload, message->len, 0, NULL) : NULL;
    clock_format_ms(rd_kafka_message_timestamp(message, NULL), time);
    buf_format(out, "%s,%s,%d,%lld,", time, topic, (int)message->partition,
               (long long)message->offset);
    if (message->key)
        cell_put(out, message->key, message->key_len);
    header_cell_put(out, message, "ce_type");
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        buf_char(out, ',');
        member_put(out, json_object_get(value, event_columns[i]));
    }
    header_cell_put(out, message, "__dlq.errors.message");
    buf_text(out, "\r\n");
    json_decref(value);
}
