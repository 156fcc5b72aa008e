/* random.c - see random.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { AHEAD = 256 }; /* as much as getrandom(2) gives without being interrupted */

static _Thread_local struct {
    unsigned char bytes[AHEAD];
    size_t left;
} ahead;

void random_fill(void *bytes, size_t size)
{
    for (unsigned char *at = bytes; size > 0;) {
        if (ahead.left == 0) {
            if (getrandom(ahead.bytes, AHEAD, 0) != AHEAD)
                abort();
            ahead.left = AHEAD;
        }
        size_t taken = size < ahead.left ? size : ahead.left;
        unsigned char *from = ahead.bytes + AHEAD - ahead.left;
        memcpy(at, from, taken);
        explicit_bzero(from, taken); /* no name is given twice */
        ahead.left -= taken;
        at += taken;
        size -= taken;
    }
}
