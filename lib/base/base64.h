/* base64.h - bytes as text. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

/* RFC 4648 section 4. False: not base64; padding may be missing. */
bool base64_decode(struct buf *out, const char *text, size_t size)
    __attribute__((warn_unused_result));
void base64_encode(struct buf *out, const void *data, size_t size);

#endif
