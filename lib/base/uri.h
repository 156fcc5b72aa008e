/* uri.h - percent-encoding (RFC 3986 section 2.1) and the parameters of a query.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_URI_H
#define BASE_URI_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX in place, `+` too when it stands for a blank; what is no %XX stays, and %00. Returns
 * the new size. */
size_t uri_decode(char *text, size_t size, bool plus_is_blank);

/* Copies a decoded parameter of the query (NULL: there is none) into `value`; false when it is
 * absent or does not fit. A fragment is no part of it. */
bool uri_query(const char *query, const char *name, char *value, size_t size);

/* Whether the parameter is there, however long. */
bool uri_query_has(const char *query, const char *name);

#endif
