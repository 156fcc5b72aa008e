/* json.c - bounds on JSON from outside. SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <string.h>

bool json_depth_is_within(const char *text, size_t size, int max)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max)
                return false;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}

enum { PLAIN_MEMBERS_MAX = 32 };

struct span {
    const char *at;
    size_t size;
};

/* Each of these returns what is behind it, or NULL when it is not there. */

static const char *plain_string(const char *at, const char *end)
{
    if (at == end || *at++ != '"')
        return NULL;
    for (; at < end && *at != '"'; at++) {
        if (*at == '\\' || *at < ' ') /* with a signed char, that is also what is not ASCII */
            return NULL;
    }
    return at < end ? at + 1 : NULL;
}

static const char *plain_digits(const char *at, const char *end)
{
    const char *first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > first && at - first <= 18 ? at : NULL;
}

/* No exponent: so it fits whatever a parser keeps it in. */
static const char *plain_number(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    const char *first = at;
    at = plain_digits(at, end);
    if (!at || (*first == '0' && at - first > 1))
        return NULL;
    return at < end && *at == '.' ? plain_digits(at + 1, end) : at;
}

static const char *plain_value(const char *at, const char *end)
{
    static const char *const literals[] = {"null", "true", "false"};
    if (at == end)
        return NULL;
    if (*at == '"')
        return plain_string(at, end);
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        size_t size = strlen(literals[i]);
        if ((size_t)(end - at) >= size && !memcmp(at, literals[i], size))
            return at + size;
    }
    return plain_number(at, end);
}

static bool span_is_new(const struct span *spans, size_t count, struct span span)
{
    for (size_t i = 0; i < count; i++) {
        if (spans[i].size == span.size && !memcmp(spans[i].at, span.at, span.size))
            return false;
    }
    return true;
}

bool json_is_plain_object(const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    struct span names[PLAIN_MEMBERS_MAX];
    for (size_t count = 0; count < PLAIN_MEMBERS_MAX; count++) {
        if (at == end || *at++ != (count ? ',' : '{'))
            return false;
        struct span name = {at, 0};
        if (!(at = plain_string(at, end)) || at == end || *at != ':')
            return false;
        name.size = (size_t)(at - name.at);
        if (!span_is_new(names, count, name) || !(at = plain_value(at + 1, end)) || at == end)
            return false;
        names[count] = name;
        if (*at == '}')
            return at + 1 == end;
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What is behind the value that starts at `at`. */
static const char *value_skip(const char *at, const char *end)
{
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                at += *at == '\\';
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
        } else if (!depth) {
            return at + strcspn(at, ",}] \t\r\n");
        }
        at++;
    } while (depth && at < end);
    return at;
}

static const char *space_skip(const char *at, const char *end)
{
    while (at < end && (is_space(*at) || *at == ',' || *at == ':'))
        at++;
    return at;
}

bool json_member_span(const char *text, size_t size, const char *name, const char **value,
                      size_t *value_size)
{
    const char *end = text + size, *at = memchr(text, '{', size);
    size_t name_size = strlen(name);
    for (at = at ? space_skip(at + 1, end) : end; at < end && *at == '"';) {
        const char *after = value_skip(at, end);
        bool found = (size_t)(after - at) == name_size + 2 && !memcmp(at + 1, name, name_size);
        *value = space_skip(after, end);
        at = value_skip(*value, end);
        *value_size = (size_t)(at - *value);
        if (found)
            return true;
        at = space_skip(at, end);
    }
    return false;
}
