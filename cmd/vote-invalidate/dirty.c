/* dirty.c - the keys that wait to be purged. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/dirty.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void dirty_init(struct dirty *dirty, struct progress *progress, int64_t debounce_us,
                int64_t max_wait_us, int64_t double_us)
{
    *dirty = (struct dirty){.debounce_us = debounce_us,
                            .max_wait_us = max_wait_us,
                            .double_us = double_us,
                            .progress = progress};
    table_init(&dirty->table);
    TAILQ_INIT(&dirty->by_last);
    TAILQ_INIT(&dirty->by_first);
    TAILQ_INIT(&dirty->delayed);
    for (int i = 0; i < TARGETS_MAX; i++)
        TAILQ_INIT(&dirty->held[i]);
}

static void list_free(struct entry_list *list)
{
    struct entry *entry;
    while ((entry = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, entry, order);
        free(entry);
    }
}

void dirty_free(struct dirty *dirty)
{
    list_free(&dirty->by_last);
    list_free(&dirty->delayed);
    for (int i = 0; i < TARGETS_MAX; i++)
        list_free(&dirty->held[i]);
    table_free(&dirty->table);
}

static uint64_t key_hash(const struct dirty *dirty, enum kind kind, int target, const char *text)
{
    uint64_t hash = table_hash(&dirty->table, text, strlen(text));
    return hash ^ ((uint64_t)(unsigned)kind << 60) ^ ((uint64_t)(unsigned)target << 54);
}

static struct entry *entry_find(const struct dirty *dirty, uint64_t hash, enum kind kind,
                                int target, const char *text)
{
    struct table_node *node = table_first(&dirty->table, hash);
    for (; node; node = table_next(node)) {
        struct entry *entry = (struct entry *)node;
        if (entry->kind == kind && entry->target == target && !strcmp(entry->text, text))
            return entry;
    }
    return NULL;
}

static struct entry *entry_new(struct dirty *dirty, uint64_t hash, enum kind kind, int target,
                               const char *text)
{
    size_t size = strlen(text) + 1;
    struct entry *entry = calloc(1, sizeof *entry + size);
    if (!entry)
        abort();
    entry->kind = kind;
    entry->target = target;
    memcpy(entry->text, text, size);
    table_add(&dirty->table, &entry->node, hash);
    return entry;
}

static struct entry_list *list_of(struct dirty *dirty, const struct entry *entry)
{
    switch (entry->state) {
    case ENTRY_WAITING: return &dirty->by_last;
    case ENTRY_DELAYED: return &dirty->delayed;
    case ENTRY_HELD: return &dirty->held[entry->target];
    case ENTRY_TAKEN: break;
    }
    abort(); /* an entry that is being purged is in no list of ours */
}

static void entry_leave(struct dirty *dirty, struct entry *entry)
{
    TAILQ_REMOVE(list_of(dirty, entry), entry, order);
    if (entry->state == ENTRY_WAITING)
        TAILQ_REMOVE(&dirty->by_first, entry, age);
}

static void entry_begin(struct dirty *dirty, struct entry *entry, int64_t committed_ms,
                        int64_t now_us)
{
    entry->state = ENTRY_WAITING;
    entry->is_second = false;
    entry->generation = progress_hold(dirty->progress);
    entry->first_us = entry->last_us = now_us;
    entry->committed_ms = committed_ms;
    TAILQ_INSERT_TAIL(&dirty->by_last, entry, order);
    TAILQ_INSERT_TAIL(&dirty->by_first, entry, age);
}

/* A change between the two purges is purged in a window of its own, which stands for the second
 * purge, too: it begins later. */
static void entry_touch(struct dirty *dirty, struct entry *entry, int64_t committed_ms,
                        int64_t now_us)
{
    if (entry->state == ENTRY_WAITING) {
        entry->last_us = now_us;
        TAILQ_REMOVE(&dirty->by_last, entry, order);
        TAILQ_INSERT_TAIL(&dirty->by_last, entry, order);
    } else if (entry->state == ENTRY_DELAYED) {
        entry_leave(dirty, entry);
        progress_release(dirty->progress, entry->generation);
        entry_begin(dirty, entry, committed_ms, now_us);
    } else {
        entry->is_second = false; /* held: what comes will be the first purge of this change */
    }
}

void dirty_touch(struct dirty *dirty, enum kind kind, int target, const char *text,
                 int64_t committed_ms, int64_t now_us)
{
    uint64_t hash = key_hash(dirty, kind, target, text);
    struct entry *entry = entry_find(dirty, hash, kind, target, text);
    if (entry)
        entry_touch(dirty, entry, committed_ms, now_us);
    else
        entry_begin(dirty, entry_new(dirty, hash, kind, target, text), committed_ms, now_us);
}

static void entry_take(struct dirty *dirty, struct entry *entry, struct entry_list *taken)
{
    entry_leave(dirty, entry);
    entry->state = ENTRY_TAKEN;
    TAILQ_INSERT_TAIL(taken, entry, order);
}

void dirty_take(struct dirty *dirty, int64_t now_us, bool everything, struct entry_list *taken)
{
    struct entry *entry;
    while ((entry = TAILQ_FIRST(&dirty->by_last)) &&
           (everything || now_us - entry->last_us >= dirty->debounce_us))
        entry_take(dirty, entry, taken);
    while ((entry = TAILQ_FIRST(&dirty->by_first)) &&
           now_us - entry->first_us >= dirty->max_wait_us)
        entry_take(dirty, entry, taken);
    while ((entry = TAILQ_FIRST(&dirty->delayed)) &&
           (everything || now_us - entry->last_us >= dirty->double_us)) {
        entry->is_second = true;
        entry_take(dirty, entry, taken);
    }
}

void dirty_take_held(struct dirty *dirty, int target, size_t max, struct entry_list *taken)
{
    struct entry *entry;
    while (max-- && (entry = TAILQ_FIRST(&dirty->held[target])))
        entry_take(dirty, entry, taken);
}

void dirty_done(struct dirty *dirty, struct entry *entry, int64_t now_us, bool is_last)
{
    if (dirty->double_us && !entry->is_second && !is_last) {
        entry->state = ENTRY_DELAYED;
        entry->last_us = now_us;
        TAILQ_INSERT_TAIL(&dirty->delayed, entry, order);
        return;
    }
    table_remove(&dirty->table, &entry->node);
    progress_release(dirty->progress, entry->generation);
    free(entry);
}

void dirty_hold(struct dirty *dirty, struct entry *entry)
{
    entry->state = ENTRY_HELD;
    TAILQ_INSERT_TAIL(&dirty->held[entry->target], entry, order);
}

int64_t dirty_next_us(const struct dirty *dirty)
{
    int64_t next_us = INT64_MAX;
    const struct entry *last = TAILQ_FIRST(&dirty->by_last), *first = TAILQ_FIRST(&dirty->by_first),
                       *delayed = TAILQ_FIRST(&dirty->delayed);
    if (last)
        next_us = clock_earlier_us(last->last_us + dirty->debounce_us,
                                   first->first_us + dirty->max_wait_us);
    return delayed ? clock_earlier_us(next_us, delayed->last_us + dirty->double_us) : next_us;
}

int64_t dirty_oldest_ms(const struct dirty *dirty)
{
    const struct entry *first = TAILQ_FIRST(&dirty->by_first);
    int64_t oldest_ms = first ? first->committed_ms : INT64_MAX;
    for (int i = 0; i < TARGETS_MAX; i++) {
        const struct entry *held = TAILQ_FIRST(&dirty->held[i]);
        oldest_ms = held ? clock_earlier_us(oldest_ms, held->committed_ms) : oldest_ms;
    }
    return oldest_ms == INT64_MAX ? 0 : oldest_ms;
}
