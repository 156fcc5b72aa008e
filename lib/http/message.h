/* message.h - a request out of the bytes of a connection, without any I/O: its head and its body,
 * each within bounds. Parsed by http_parser. SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/buf.h"

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_BYTES_MAX = 16 * 1024, HEADER_COUNT_MAX = 64 };
enum { BUF_KEPT = 4 * 1024 }; /* of memory, from one request to the next */

enum message_state {
    MESSAGE_EMPTY,     /* nothing of a request has come */
    MESSAGE_HEAD,      /* a part of its head has */
    MESSAGE_BODY,      /* its head, and perhaps a part of its body */
    MESSAGE_WHOLE,     /* it is there */
    MESSAGE_TOO_LARGE, /* its head is there; its body is over the bound, and not read */
    MESSAGE_BROKEN,    /* its head is there; its body will not come to its end */
    MESSAGE_REFUSED,   /* no request that can be answered but with `refusal` */
};

/* Where a header stands in `head`. */
struct message_header {
    uint16_t name, value;
};

struct message {
    http_parser parser;
    enum message_state state;
    int refusal;     /* 400 or 431 */
    struct buf head; /* the target, then names and values, each with a NUL */
    struct buf body;
    size_t body_max;
    struct message_header headers[HEADER_COUNT_MAX];
    size_t header_count;
    bool value_is_last;  /* the header under way has its value */
    bool keeps_alive;    /* the connection may have another request */
    bool wants_continue; /* 100 Continue is waited for (RFC 9110 section 10.1.1) */
};

/* Zero-initialised memory becomes a message. Bodies have at most `body_max` bytes. */
void message_init(struct message *message, size_t body_max);
void message_free(struct message *message);

/* Takes bytes up to the end of the request, and returns how many. Behind MESSAGE_WHOLE it takes
 * none until message_next; behind a state that is worse the connection cannot be read any more. */
size_t message_feed(struct message *message, const char *data, size_t size);

/* No more bytes will come, or not in time. */
void message_break(struct message *message);

/* Ready for the next request of the connection. */
void message_next(struct message *message);

const char *message_header(const struct message *message, const char *name);

/* Splits the target (RFC 9112 section 3.2) in place: the path is decoded, the query is NULL when
 * there is none. False when it is none that a server has. */
bool message_target(struct message *message, const char **path, const char **query);

#endif
