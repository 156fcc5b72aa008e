/* names.h - ids by index, each once. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_NAMES_H
#define VOTE_NAMES_H

#include "vote/ids.h"

#include <stdint.h>

/* Zero-initialised is empty. */
struct names {
    char (*text)[VOTE_ID_SIZE];
    size_t count, capacity;
    uint32_t *slots; /* open addressing; 0 is empty, otherwise index + 1 */
    size_t slot_count;
};

/* The index of the id, which is added when it is new. */
uint32_t names_intern(struct names *names, const char *text);
void names_free(struct names *names);

#endif
