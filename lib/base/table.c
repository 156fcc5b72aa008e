/* table.c - see table.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include "base/random.h"

#include <stdlib.h>

enum { SLOTS_AT_FIRST = 16 };

void table_init(struct table *table)
{
    *table = (struct table){0};
    random_fill(&table->secret, sizeof table->secret);
}

/* FNV-1a from a secret start, then mixed, so that the low bits depend on all of the secret. */
uint64_t table_hash(const struct table *table, const void *key, size_t size)
{
    const unsigned char *bytes = key;
    uint64_t hash = table->secret;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 32);
}

static void table_grow(struct table *table)
{
    size_t slot_count = table->slot_count ? table->slot_count * 2 : SLOTS_AT_FIRST;
    struct table_node **slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        abort();
    for (size_t i = 0; i < table->slot_count; i++)
        for (struct table_node *node = table->slots[i], *next; node; node = next) {
            next = node->next;
            node->next = slots[node->hash & (slot_count - 1)];
            slots[node->hash & (slot_count - 1)] = node;
        }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
}

void table_add(struct table *table, struct table_node *node, uint64_t hash)
{
    if (table->count >= table->slot_count)
        table_grow(table);
    struct table_node **slot = &table->slots[hash & (table->slot_count - 1)];
    *node = (struct table_node){.next = *slot, .hash = hash};
    *slot = node;
    table->count++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **at = &table->slots[node->hash & (table->slot_count - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    table->count--;
}

void table_free(struct table *table)
{
    free(table->slots);
    table->slots = NULL;
    table->slot_count = table->count = 0;
}

static struct table_node *with_hash(struct table_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct table_node *table_first(const struct table *table, uint64_t hash)
{
    return table->slot_count ? with_hash(table->slots[hash & (table->slot_count - 1)], hash) : NULL;
}

struct table_node *table_next(const struct table_node *node)
{
    return with_hash(node->next, node->hash);
}
