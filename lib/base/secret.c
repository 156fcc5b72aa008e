/* secret.c - finds secrets in settings and URLs. SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A setting's name that holds one of them is a secret's, unless it says where the secret is. */
static const char *const secret_words[] = {"password", "passwd", "secret", "key.pem",
                                           "oauthbearer.config"};
static const char *const place_ends[] = {"file", ".location"};

static bool ends_with(const char *name, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && !strncasecmp(name + size - length, end, length);
}

bool secret_is_name(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof place_ends / sizeof *place_ends; i++) {
        if (ends_with(name, size, place_ends[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++) {
        size_t length = strlen(secret_words[i]);
        for (size_t at = 0; at + length <= size; at++) {
            if (!strncasecmp(name + at, secret_words[i], length))
                return true;
        }
    }
    return false;
}

/* scheme://user:SECRET@host */
static size_t find_in_url(const char *text, const char **start)
{
    const char *scheme_end = strstr(text, "://");
    const char *user = scheme_end ? scheme_end + 3 : "";
    const char *at = strrchr(user, '@');
    const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
    bool is_redis = at && (ends_with(text, (size_t)(scheme_end - text), "redis") ||
                           ends_with(text, (size_t)(scheme_end - text), "rediss"));
    if (!at || (!colon && !is_redis))
        return 0;
    *start = colon ? colon + 1 : user;
    return (size_t)(at - *start);
}

static bool is_of_name(char c)
{
    return c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", c);
}

/* name=SECRET, or as libpq takes it, name = SECRET */
static size_t find_named(const char *text, const char **start)
{
    for (const char *equals = strchr(text, '='); equals; equals = strchr(equals + 1, '=')) {
        const char *end = equals, *name;
        while (end > text && end[-1] == ' ')
            end--;
        for (name = end; name > text && is_of_name(name[-1]); name--)
            ;
        if (!secret_is_name(name, (size_t)(end - name)))
            continue;
        *start = equals + 1;
        return strlen(equals + 1);
    }
    return 0;
}

size_t secret_find(const char *text, const char **start)
{
    const char *in_url = NULL, *named = NULL;
    size_t url_size = find_in_url(text, &in_url), named_size = find_named(text, &named);
    bool url_is_first = url_size && (!named_size || in_url < named);
    *start = url_is_first ? in_url : named;
    return url_is_first ? url_size : named_size;
}

void secret_put(struct buf *out, const char *text)
{
    const char *start;
    size_t size;
    while ((size = secret_find(text, &start))) {
        buf_put(out, text, (size_t)(start - text));
        buf_text(out, "***");
        text = start + size;
    }
    buf_text(out, text);
}

const char *secret_show(const char *text, char shown[SECRET_SHOWN_SIZE])
{
    struct buf whole = {0};
    secret_put(&whole, text);
    snprintf(shown, SECRET_SHOWN_SIZE, "%s", whole.data ? whole.data : "");
    buf_free(&whole);
    return shown;
}

void secret_blank(char *text)
{
    const char *start;
    size_t size;
    while ((size = secret_find(text, &start))) {
        char *at = text + (start - text);
        memset(at, '*', size);
        text = at + size;
    }
}
