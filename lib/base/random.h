/* random.h - random bytes for names that nobody can guess. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>

/* Fills `bytes` from the kernel's generator (getrandom(2)), of which each thread fetches some
 * ahead: a call of its own for each name costs more than the name. Never fails. */
void random_fill(void *bytes, size_t size);

#endif
