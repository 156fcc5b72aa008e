/* ids.h - user, project and request ids: what is one, and how a request gets one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_IDS_H
#define VOTE_IDS_H

#include <stdbool.h>
#include <stddef.h>

enum { VOTE_ID_MAX = 64, VOTE_ID_SIZE = VOTE_ID_MAX + 1, REQUEST_ID_SIZE = 37 };

/* 1 to 64 characters out of A-Z a-z 0-9 . _ : - (so that an id needs no escaping in a Redis key, a
 * URL path, JSON or SQL text). */
bool id_is_valid(const char *text, size_t size);

/* A new UUIDv7 (RFC 9562 section 5.7) in lower case with its NUL: the time, then 74 random bits. */
void request_id_make(char id[REQUEST_ID_SIZE]);

/* True for the 36 characters of a lower-case UUID of any version. */
bool request_id_is_valid(const char *text, size_t size);

#endif
