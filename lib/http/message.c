/* message.c - see message.h. SPDX-License-Identifier: Apache-2.0 */
#include "http/message.h"

#include "base/uri.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

/* Returned by a callback: http_parser stops. */
enum { GO_ON = 0, STOP = -1 };

static int refuse(struct message *message, int status)
{
    message->state = MESSAGE_REFUSED;
    message->refusal = status;
    message->keeps_alive = false;
    return STOP;
}

/* --- The head -------------------------------------------------------------------------------- */

static int on_begin(http_parser *parser)
{
    struct message *message = parser->data;
    message->state = MESSAGE_HEAD;
    return GO_ON;
}

/* A part of the head has come: bounded as a whole. */
static int put_head(struct message *message, const char *data, size_t size)
{
    if (message->head.size + size > HEAD_BYTES_MAX)
        return refuse(message, 431);
    buf_put(&message->head, data, size);
    return GO_ON;
}

static int on_url(http_parser *parser, const char *data, size_t size)
{
    return put_head(parser->data, data, size);
}

static int on_field(http_parser *parser, const char *data, size_t size)
{
    struct message *message = parser->data;
    if (message->header_count == 0 || message->value_is_last) {
        if (message->header_count == HEADER_COUNT_MAX || put_head(message, "", 1))
            return refuse(message, 431);
        uint16_t at = (uint16_t)message->head.size;
        message->headers[message->header_count++] = (struct message_header){at, at};
        message->value_is_last = false;
    }
    return put_head(message, data, size);
}

static int on_value(http_parser *parser, const char *data, size_t size)
{
    struct message *message = parser->data;
    if (!message->value_is_last) {
        if (put_head(message, "", 1))
            return STOP;
        message->headers[message->header_count - 1].value = (uint16_t)message->head.size;
        message->value_is_last = true;
    }
    return put_head(message, data, size);
}

const char *message_header(const struct message *message, const char *name)
{
    const char *head = message->head.data;
    for (size_t i = 0; i < message->header_count; i++) {
        if (!strcasecmp(head + message->headers[i].name, name))
            return head + message->headers[i].value;
    }
    return NULL;
}

/* RFC 9110 section 5.6.2; http_parser also takes blanks. */
static bool is_token(const char *text)
{
    static const char CHARACTERS[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *text && !text[strspn(text, CHARACTERS)];
}

/* Whether all who read the head, a proxy before us among them, find the same end of the body (RFC
 * 9112 section 6.3): else one of them takes for a request what the other one takes for a body. */
static bool framing_is_clear(const struct message *message)
{
    int lengths = 0, codings = 0;
    const char *head = message->head.data;
    for (size_t i = 0; i < message->header_count; i++) {
        const char *name = head + message->headers[i].name,
                   *value = head + message->headers[i].value;
        if (!is_token(name) || strpbrk(value, "\r\n"))
            return false;
        if (!strcasecmp(name, "Content-Length")) {
            lengths++;
            if (!*value || value[strspn(value, "0123456789")])
                return false;
        }
        if (!strcasecmp(name, "Transfer-Encoding")) {
            codings++;
            if (strcasecmp(value, "chunked") != 0 || message->parser.http_minor == 0)
                return false;
        }
    }
    return lengths + codings <= 1;
}

static bool waits_for_continue(const struct message *message)
{
    const char *expectation = message_header(message, "Expect");
    return expectation && !strcasecmp(expectation, "100-continue") &&
           message->parser.http_minor > 0;
}

static int on_headers(http_parser *parser)
{
    struct message *message = parser->data;
    uint64_t announced = parser->content_length == ULLONG_MAX ? 0 : parser->content_length;
    if (put_head(message, "", 1))
        return STOP;
    message->state = MESSAGE_BODY;
    message->keeps_alive = http_should_keep_alive(parser) && parser->method != HTTP_CONNECT;
    parser->upgrade = 0; /* nothing to upgrade to is offered */
    if (parser->http_major != 1 || !framing_is_clear(message))
        return refuse(message, 400);
    if (announced > message->body_max) {
        message->state = MESSAGE_TOO_LARGE;
        message->keeps_alive = false;
        return STOP;
    }
    message->wants_continue =
        (announced > 0 || parser->flags & F_CHUNKED) && waits_for_continue(message);
    return GO_ON;
}

bool message_target(struct message *message, const char **path, const char **query)
{
    struct http_parser_url url;
    char *target = message->head.data;
    size_t size = strlen(target);
    *query = NULL;
    if (!strcmp(target, "*")) { /* of OPTIONS */
        *path = target;
        return true;
    }
    http_parser_url_init(&url);
    if (http_parser_parse_url(target, size, message->parser.method == HTTP_CONNECT, &url) ||
        !(url.field_set & 1 << UF_PATH))
        return false;
    if (url.field_set & 1 << UF_QUERY) {
        target[url.field_data[UF_QUERY].off + url.field_data[UF_QUERY].len] = '\0';
        *query = target + url.field_data[UF_QUERY].off;
    }
    char *start = target + url.field_data[UF_PATH].off;
    start[uri_decode(start, url.field_data[UF_PATH].len, false)] = '\0';
    *path = start;
    return true;
}

/* --- The body and the end -------------------------------------------------------------------- */

static int on_body(http_parser *parser, const char *data, size_t size)
{
    struct message *message = parser->data;
    if (message->body.size + size > message->body_max) {
        message->state = MESSAGE_TOO_LARGE;
        message->keeps_alive = false;
        return STOP;
    }
    buf_put(&message->body, data, size);
    return GO_ON;
}

static int on_end(http_parser *parser)
{
    struct message *message = parser->data;
    message->state = MESSAGE_WHOLE;
    http_parser_pause(parser, 1);
    return GO_ON;
}

void message_init(struct message *message, size_t body_max)
{
    http_parser_init(&message->parser, HTTP_REQUEST);
    message->parser.data = message;
    message->body_max = body_max;
}

void message_free(struct message *message)
{
    buf_free(&message->head);
    buf_free(&message->body);
}

void message_next(struct message *message)
{
    http_parser_pause(&message->parser, 0);
    message->state = MESSAGE_EMPTY;
    message->header_count = 0;
    message->value_is_last = message->wants_continue = false;
    buf_recycle(&message->head, BUF_KEPT);
    buf_recycle(&message->body, BUF_KEPT);
}

size_t message_feed(struct message *message, const char *data, size_t size)
{
    static const http_parser_settings settings = {.on_message_begin = on_begin,
                                                  .on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_headers,
                                                  .on_body = on_body,
                                                  .on_message_complete = on_end};
    if (message->state >= MESSAGE_WHOLE)
        return 0;
    size_t taken = http_parser_execute(&message->parser, &settings, data, size);
    if (message->state < MESSAGE_WHOLE && HTTP_PARSER_ERRNO(&message->parser) != HPE_OK)
        refuse(message, HTTP_PARSER_ERRNO(&message->parser) == HPE_HEADER_OVERFLOW ? 431 : 400);
    return taken;
}

void message_break(struct message *message)
{
    if (message->state == MESSAGE_BODY) {
        message->state = MESSAGE_BROKEN;
        message->keeps_alive = false;
    }
}
