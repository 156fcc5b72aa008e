/* secret.h - what others must not read in a text that is shown, logged or listed by `ps`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* True for the name of a setting whose value is a secret: sasl.password, ssl.key.pem ... */
bool secret_is_name(const char *name, size_t size);

/* The first secret of a setting or URL: what stands behind the user's colon up to the last `@`
 * (redis://PASSWORD@host has no colon), or behind `password=` and its like, up to the end: rather
 * too much than too little. Returns its size and sets *start; 0: there is none. */
size_t secret_find(const char *text, const char **start);

/* Puts the text with *** for each secret. */
void secret_put(struct buf *out, const char *text);

/* Writes that into `shown`, cut to fit, and returns it: for a sentence. */
enum { SECRET_SHOWN_SIZE = 256 };
const char *secret_show(const char *text, char shown[SECRET_SHOWN_SIZE]);

/* Overwrites each secret of the text where it stands. */
void secret_blank(char *text);

#endif
