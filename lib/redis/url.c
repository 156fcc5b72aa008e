/* url.c - reads redis://[user:password@]host[:port][,host[:port]...][/database] (the IANA `redis`
 * URI scheme, with more than one host for a cluster's seeds). SPDX-License-Identifier: Apache-2.0
 */
#include "redis/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 6379 };

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

bool url_parse(struct redis *redis, const char *url, struct error *error)
{
    static const char form[] = "redis-url is not redis://[:password@]host[:port][/database]";
    char *end = "";
    const char *rest = strncmp(url, "redis://", 8) ? NULL : url + 8;
    if (!strncmp(url, "rediss://", 9))
        return error_set(error, ERROR_CONFIG, "redis-url: TLS (rediss://) is not supported");
    const char *at = rest ? strrchr(rest, '@') : NULL;
    if (at) {
        const char *colon = memchr(rest, ':', (size_t)(at - rest));
        const char *start = colon ? colon + 1 : rest;
        snprintf(redis->password, sizeof redis->password, "%.*s", (int)(at - start), start);
        rest = at + 1;
    }
    size_t size = rest ? strcspn(rest, "/") : 0;
    if (!rest || !hosts_parse(redis, rest, size))
        return error_set(error, ERROR_CONFIG, form);
    if (rest[size] == '/')
        redis->database = (int)strtol(rest + size + 1, &end, 10);
    return !*end || error_set(error, ERROR_CONFIG, form);
}
