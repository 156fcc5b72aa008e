/* url.c - reads redis://[[user]:password@]host[:port][,host[:port]...][/database] (the IANA `redis`
 * URI scheme, with more than one host for a cluster's seeds). SPDX-License-Identifier: Apache-2.0
 */
#include "redis/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 6379, DATABASE_MAX = 16383 };

/* Reads one host[:port] of `size` characters and adds its node. */
static bool host_parse(struct redis *redis, const char *text, size_t size)
{
    char host[HOST_SIZE];
    char *end;
    const char *colon = memchr(text, ':', size);
    size_t length = colon ? (size_t)(colon - text) : size;
    long port = colon ? strtol(colon + 1, &end, 10) : DEFAULT_PORT;
    if (length == 0 || length >= sizeof host || port < 1 || port > 65535 ||
        (colon && end != text + size))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    return node_add(redis, host, (int)port) != NULL;
}

static bool hosts_parse(struct redis *redis, const char *text, size_t size)
{
    for (;;) {
        const char *comma = memchr(text, ',', size);
        size_t length = comma ? (size_t)(comma - text) : size;
        if (!host_parse(redis, text, length))
            return false;
        if (!comma)
            return true;
        text += length + 1;
        size -= length + 1;
    }
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)((found - digits) & 15) : -1;
}

/* Decodes %41 (RFC 3986 section 2.1); false when it is no encoding, holds a NUL, or does not fit.
 */
static bool part_decode(const char *text, size_t size, char out[HOST_SIZE])
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < size ? hex_value(text[i + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (c == 0 || length == HOST_SIZE - 1)
            return false;
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return true;
}

/* user:password, :password, or a password alone. */
static bool user_parse(struct redis *redis, const char *text, size_t size)
{
    const char *colon = memchr(text, ':', size);
    const char *password = colon ? colon + 1 : text;
    return part_decode(text, colon ? (size_t)(colon - text) : 0, redis->user) &&
           part_decode(password, (size_t)(text + size - password), redis->password);
}

static bool database_parse(struct redis *redis, const char *text)
{
    char *end;
    if (!*text)
        return true;
    long number = strtol(text, &end, 10);
    redis->database = (int)number;
    return !*end && number >= 0 && number <= DATABASE_MAX;
}

bool url_parse(struct redis *redis, const char *url, struct error *error)
{
    if (!strncmp(url, "rediss://", 9))
        return error_set(error, ERROR_CONFIG,
                         "rediss:// needs TLS, which hiredis 0.14 has not: put a TLS tunnel such "
                         "as stunnel beside this process, and give redis:// with its address");
    const char *rest = strncmp(url, "redis://", 8) ? NULL : url + 8;
    const char *at = rest ? strrchr(rest, '@') : NULL;
    bool known = !at || user_parse(redis, rest, (size_t)(at - rest));
    rest = at ? at + 1 : rest;
    size_t size = rest ? strcspn(rest, "/") : 0;
    if (known && rest && hosts_parse(redis, rest, size) &&
        (!rest[size] || database_parse(redis, rest + size + 1)))
        return true;
    return error_set(error, ERROR_CONFIG,
                     "not redis://[[user]:password@]host[:port][,...][/database], with %%40 for an "
                     "@ in a password, and so on");
}

bool url_check(const char *url, struct error *error)
{
    struct redis *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        abort();
    bool parsed = url_parse(scratch, url, error);
    free(scratch);
    return parsed;
}
