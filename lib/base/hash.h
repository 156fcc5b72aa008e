/* hash.h - a hash for tables of ours. Not for secrets, and not against those who choose the keys.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits. */
uint64_t hash_bytes(const void *bytes, size_t size);
uint64_t hash_text(const char *text);

#endif
