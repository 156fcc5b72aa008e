/* names.c - ids by index, each once. SPDX-License-Identifier: Apache-2.0 */
#include "vote/names.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void names_rehash(struct names *names)
{
    free(names->slots);
    names->slot_count = names->slot_count ? names->slot_count * 2 : 1024;
    names->slots = calloc(names->slot_count, sizeof *names->slots);
    if (!names->slots)
        abort();
    for (size_t i = 0; i < names->count; i++) {
        size_t slot = hash_text(names->text[i]) % names->slot_count;
        while (names->slots[slot])
            slot = (slot + 1) % names->slot_count;
        names->slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t names_intern(struct names *names, const char *text)
{
    if (names->count * 2 >= names->slot_count)
        names_rehash(names);
    size_t slot = hash_text(text) % names->slot_count;
    for (; names->slots[slot]; slot = (slot + 1) % names->slot_count) {
        if (!strcmp(names->text[names->slots[slot] - 1], text))
            return names->slots[slot] - 1;
    }
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 256;
        names->text = reallocarray(names->text, names->capacity, sizeof *names->text);
        if (!names->text)
            abort();
    }
    snprintf(names->text[names->count], VOTE_ID_SIZE, "%s", text);
    names->slots[slot] = (uint32_t)names->count + 1;
    return (uint32_t)names->count++;
}

void names_free(struct names *names)
{
    free(names->text);
    free(names->slots);
}
