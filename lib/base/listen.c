/* listen.c - see listen.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_SIZE = 64 };

bool listen_parse(const char *listen, struct sockaddr_storage *address, struct error *error)
{
    char host[HOST_SIZE];
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    const char *colon = strrchr(listen, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || end == colon + 1 || *end || port < 0 || port > 65535)
        return error_set(error, ERROR_CONFIG, "%s is not HOST:PORT", listen);
    size_t size = (size_t)(colon - listen);
    bool is_bracketed = size >= 2 && *listen == '[';
    snprintf(host, sizeof host, "%.*s", (int)(size - (is_bracketed ? 2 : 0)),
             listen + is_bracketed);
    const char *name = !*host ? "0.0.0.0" : !strcmp(host, "localhost") ? "127.0.0.1" : host;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, name, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, name, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        return true;
    }
    return error_set(error, ERROR_CONFIG, "%s: %s is no IP address", listen, host);
}

bool listen_check(const char *listen, struct error *error)
{
    struct sockaddr_storage address;
    return listen_parse(listen, &address, error) ||
           error_set(error, ERROR_USAGE, "no HOST:PORT with an IP address, like 127.0.0.1:8080");
}
