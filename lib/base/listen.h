/* listen.h - where a server listens. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LISTEN_H
#define BASE_LISTEN_H

#include "base/error.h"

#include <sys/socket.h>

/* Reads HOST:PORT, [HOST]:PORT or :PORT. HOST is an IP address or localhost; without one it is all
 * of IPv4. PORT is 0 (any that is free) to 65535. */
bool listen_parse(const char *listen, struct sockaddr_storage *address, struct error *error)
    __attribute__((warn_unused_result));

/* Whether it can be read: the check of an option. */
bool listen_check(const char *listen, struct error *error) __attribute__((warn_unused_result));

#endif
