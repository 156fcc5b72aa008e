/* table.h - a hash table of nodes that live inside what they find. Its hash has a secret in it,
 * since clients choose some of the keys. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next;
    uint64_t hash;
};

struct table {
    struct table_node **slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t count;
    uint64_t secret;
};

void table_init(struct table *table);
uint64_t table_hash(const struct table *table, const void *key, size_t size);
void table_add(struct table *table, struct table_node *node, uint64_t hash);
void table_remove(struct table *table, struct table_node *node);
void table_free(struct table *table); /* the slots; nodes are their owners' */

/* The first node with the hash, and the next one after `node`; NULL: none. Compare keys. */
struct table_node *table_first(const struct table *table, uint64_t hash);
struct table_node *table_next(const struct table_node *node);

#endif
