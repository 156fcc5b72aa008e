/* check.h - what an HTTP cache has, for vote-admin check. SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_CHECK_H
#define ADMIN_CHECK_H

#include "base/buf.h"
#include "base/error.h"

struct check_http;

/* `url` is borrowed. */
struct check_http *check_http_new(const char *url);
void check_http_free(struct check_http *http); /* NULL is fine */

/* Gets the project's answer if the cache has it (Cache-Control: only-if-cached); false when not.
 * For struct consistency, whose context is the struct check_http. */
bool check_http_fetch(void *http, const char *project_id, struct buf *json);

/* Whether the cache could not be asked; ERROR_UNAVAILABLE. */
bool check_http_failed(const struct check_http *http, struct error *error);

#endif
