/* buf.h - text and bytes that grow; the encoder of our JSON. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. `data` is NUL-terminated behind `size` bytes once anything was put.
 * Running out of memory aborts: a daemon cannot go on, and a restart repairs all. */
struct buf {
    char *data;
    size_t size;
    size_t capacity;
};

void buf_free(struct buf *buf);  /* releases the memory; the buffer is empty again */
void buf_clear(struct buf *buf); /* empties it, keeps the memory */
void buf_recycle(struct buf *buf,
                 size_t most); /* empties it, keeps the memory up to `most` bytes */
void buf_reserve(struct buf *buf, size_t more); /* room for `more` bytes and a NUL */
void buf_put(struct buf *buf, const void *bytes, size_t size);
void buf_text(struct buf *buf, const char *text);
void buf_char(struct buf *buf, char c);
void buf_int(struct buf *buf, int64_t value);
void buf_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a JSON string (RFC 8259 section 7) with its quotes. Bytes that are not UTF-8 become U+FFFD,
 * so that the output is always valid. */
void buf_json(struct buf *buf, const char *text, size_t size);

/* A member of an object: puts a comma unless the object is just opened, then "name":value. */
void buf_member(struct buf *buf, const char *name);
void buf_member_text(struct buf *buf, const char *name, const char *value); /* NULL: null */
void buf_member_int(struct buf *buf, const char *name, int64_t value);
void buf_member_double(struct buf *buf, const char *name,
                       double value); /* shortest that reads back */

/* True when the bytes are well-formed UTF-8 (RFC 3629). */
bool buf_is_utf8(const char *bytes, size_t size);

#endif
