/* packet.c - see packet.h. SPDX-License-Identifier: Apache-2.0 */
#include "socketio/packet.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* What is left to read. */
struct text {
    const char *at;
    size_t left;
};

static void text_skip(struct text *text, size_t count)
{
    text->at += count;
    text->left -= count;
}

static bool next_is_digit(const struct text *text)
{
    return text->left > 0 && *text->at >= '0' && *text->at <= '9';
}

/* Digits up to `max`; false: there are none, or it is more. */
static bool read_number(struct text *text, int64_t max, int64_t *number)
{
    *number = 0;
    if (!next_is_digit(text))
        return false;
    for (; next_is_digit(text); text_skip(text, 1)) {
        *number = *number * 10 + (*text->at - '0');
        if (*number > max)
            return false;
    }
    return true;
}

static bool read_attachment_count(struct text *text, struct packet *packet)
{
    int64_t count;
    if (!read_number(text, ATTACHMENTS_MAX, &count) || text->left == 0 || *text->at != '-')
        return false;
    text_skip(text, 1);
    packet->attachment_count = (size_t)count;
    if (count == 0)
        packet->type = packet->type == PACKET_BINARY_EVENT ? PACKET_EVENT : PACKET_ACK;
    return true;
}

static void read_namespace(struct text *text, struct packet *packet)
{
    packet->namespace = "/";
    packet->namespace_size = 1;
    if (text->left == 0 || *text->at != '/')
        return;
    const char *comma = memchr(text->at, ',', text->left);
    packet->namespace = text->at;
    packet->namespace_size = comma ? (size_t)(comma - text->at) : text->left;
    text_skip(text, packet->namespace_size + (comma ? 1 : 0));
}

bool packet_decode(struct packet *packet, const char *text, size_t size)
{
    static const int64_t ACK_MAX = INT64_C(9007199254740991); /* what JavaScript counts exactly */
    struct text rest = {text, size};
    *packet = (struct packet){.ack_id = NO_ACK};
    if (size == 0 || *text < '0' || *text > '6')
        return false;
    packet->type = (enum packet_type)(*text - '0');
    text_skip(&rest, 1);
    if (packet->type >= PACKET_BINARY_EVENT && !read_attachment_count(&rest, packet))
        return false;
    read_namespace(&rest, packet);
    if (next_is_digit(&rest) && !read_number(&rest, ACK_MAX, &packet->ack_id))
        return false;
    packet->data = rest.at;
    packet->data_size = rest.left;
    return true;
}

static bool name_is_reserved(const char *name)
{
    static const char *const names[] = {"connect",       "connect_error", "disconnect",
                                        "disconnecting", "newListener",   "removeListener"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

/* Every {"_placeholder":true,"num":N} must name an attachment. */
static bool placeholders_are_valid(const json_t *json, size_t attachment_count)
{
    const char *key;
    size_t index;
    json_t *value;
    if (json_is_array(json)) {
        json_array_foreach(
            json, index, value) if (!placeholders_are_valid(value, attachment_count)) return false;
        return true;
    }
    if (!json_is_object(json))
        return true;
    if (json_is_true(json_object_get(json, "_placeholder"))) {
        const json_t *number = json_object_get(json, "num");
        return json_is_integer(number) && json_integer_value(number) >= 0 &&
               (uint64_t)json_integer_value(number) < attachment_count;
    }
    json_object_foreach((json_t *)json, key,
                        value) if (!placeholders_are_valid(value, attachment_count)) return false;
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The text inside the brackets of an array that is known to be one. */
static void set_args_text(struct packet_content *content, const char *text, size_t size)
{
    while (is_space(*text))
        text++, size--;
    while (is_space(text[size - 1]))
        size--;
    content->args_text = text + 1;
    content->args_size = size - 2;
}

static size_t string_size(const char *text)
{
    size_t size = 1;
    for (; text[size] != '"'; size++)
        if (text[size] == '\\')
            size++;
    return size + 1;
}

/* Takes the first value, a string or a number, off the arguments' text. */
static void skip_name_text(struct packet_content *content)
{
    const char *end = content->args_text + content->args_size, *at = content->args_text;
    while (is_space(*at))
        at++;
    if (*at == '"')
        at += string_size(at);
    while (at < end && *at != ',')
        at++;
    content->args_text = at < end ? at + 1 : end;
    content->args_size = (size_t)(end - content->args_text);
}

static bool read_name(struct packet_content *content)
{
    content->name_json = json_incref(json_array_get(content->json, 0));
    if (json_is_number(content->name_json)) {
        snprintf(content->number, sizeof content->number, "%.15g",
                 json_number_value(content->name_json));
        content->name = content->number;
    } else if (json_is_string(content->name_json)) {
        content->name = json_string_value(content->name_json);
    } else {
        return false;
    }
    json_array_remove(content->json, 0);
    skip_name_text(content);
    return !name_is_reserved(content->name);
}

static bool read_array(struct packet_content *content, const struct packet *packet)
{
    if (!json_is_array(content->json) ||
        !placeholders_are_valid(content->json, packet->attachment_count))
        return false;
    set_args_text(content, packet->data, packet->data_size);
    bool is_event = packet->type == PACKET_EVENT || packet->type == PACKET_BINARY_EVENT;
    return is_event ? read_name(content) : packet->ack_id != NO_ACK;
}

bool packet_read(struct packet_content *content, const struct packet *packet)
{
    *content = (struct packet_content){0};
    if (packet->data_size > 0) {
        if (!json_depth_is_within(packet->data, packet->data_size, JSON_DEPTH_MAX))
            return false;
        content->json =
            json_loadb(packet->data, packet->data_size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!content->json)
            return false;
    }
    switch (packet->type) {
    case PACKET_CONNECT: return !content->json || json_is_object(content->json);
    case PACKET_DISCONNECT: return !content->json;
    case PACKET_CONNECT_ERROR: return false; /* servers send it */
    default: return read_array(content, packet);
    }
}

void packet_content_free(struct packet_content *content)
{
    json_decref(content->name_json);
    json_decref(content->json);
}
