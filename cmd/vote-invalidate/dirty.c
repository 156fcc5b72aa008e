/* dirty.c - see dirty.h.
 *
 * Entries wait in two lists, by their first change and by their last: the head of either is due
 * first. Each partition has its marks in the order of offsets, so that its head is the first record
 * that must be read again after a crash. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/dirty.h"

#include <stdlib.h>
#include <string.h>

struct dirty {
    struct dirty_times times;
    struct table by_id;
    struct entries waiting_first, waiting_last;
    struct entries retry;  /* due at once */
    struct entries second; /* purged once, in the order of `last_us`: when that was */
    TAILQ_HEAD(marks, mark) partitions[DIRTY_PARTITIONS_MAX];
    size_t count;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        abort();
    return memory;
}

struct dirty *dirty_new(const struct dirty_times *times)
{
    struct dirty *dirty = allocate(sizeof *dirty);
    dirty->times = *times;
    table_init(&dirty->by_id);
    TAILQ_INIT(&dirty->waiting_first);
    TAILQ_INIT(&dirty->waiting_last);
    TAILQ_INIT(&dirty->retry);
    TAILQ_INIT(&dirty->second);
    for (size_t i = 0; i < DIRTY_PARTITIONS_MAX; i++)
        TAILQ_INIT(&dirty->partitions[i]);
    return dirty;
}

/* --- Entries --------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct dirty *dirty, enum subject subject, const char *id)
{
    return table_hash(&dirty->by_id, id, strlen(id)) + (uint64_t)subject;
}

static struct entry *entry_find(const struct dirty *dirty, enum subject subject, const char *id)
{
    struct table_node *node = table_first(&dirty->by_id, hash_of(dirty, subject, id));
    for (; node; node = table_next(node)) {
        struct entry *entry = (struct entry *)node;
        if (entry->subject == subject && !strcmp(entry->id, id))
            return entry;
    }
    return NULL;
}

static struct entry *entry_new(struct dirty *dirty, enum subject subject, const char *id)
{
    struct entry *entry = allocate(sizeof *entry);
    entry->subject = subject;
    memcpy(entry->id, id, strlen(id) + 1);
    table_add(&dirty->by_id, &entry->by_id, hash_of(dirty, subject, id));
    dirty->count++;
    return entry;
}

static void entry_free(struct dirty *dirty, struct entry *entry)
{
    for (struct mark *mark = entry->marks, *next; mark; mark = next) {
        next = mark->next;
        TAILQ_REMOVE(&dirty->partitions[mark->partition], mark, by_offset);
        free(mark);
    }
    dirty->count--;
    free(entry);
}

static void free_list(struct dirty *dirty, struct entries *list)
{
    struct entry *entry;
    while ((entry = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, entry, by_first);
        entry_free(dirty, entry);
    }
}

void dirty_free(struct dirty *dirty)
{
    if (!dirty)
        return;
    free_list(dirty, &dirty->waiting_first);
    free_list(dirty, &dirty->retry);
    free_list(dirty, &dirty->second);
    table_free(&dirty->by_id);
    free(dirty);
}

/* --- Changes --------------------------------------------------------------------------------- */

static void mark_add(struct dirty *dirty, struct entry *entry, int32_t partition, int64_t offset)
{
    for (const struct mark *mark = entry->marks; mark; mark = mark->next)
        if (mark->partition == partition)
            return;
    struct mark *mark = allocate(sizeof *mark);
    *mark = (struct mark){
        .entry = entry, .partition = partition, .offset = offset, .next = entry->marks};
    entry->marks = mark;
    TAILQ_INSERT_TAIL(&dirty->partitions[partition], mark, by_offset);
}

void dirty_mark(struct dirty *dirty, enum subject subject, const char *id, int32_t partition,
                int64_t offset, int64_t committed_at_ms, int64_t now_us)
{
    struct entry *entry = entry_find(dirty, subject, id);
    if (!entry) {
        entry = entry_new(dirty, subject, id);
        entry->first_us = now_us;
        entry->committed_at_ms = committed_at_ms;
        TAILQ_INSERT_TAIL(&dirty->waiting_first, entry, by_first);
        TAILQ_INSERT_TAIL(&dirty->waiting_last, entry, by_last);
    } else if (entry->state == ENTRY_WAITING) {
        TAILQ_REMOVE(&dirty->waiting_last, entry, by_last);
        TAILQ_INSERT_TAIL(&dirty->waiting_last, entry, by_last);
    }
    entry->last_us = now_us;
    entry->done = 0; /* what was purged of one that is tried again has changed since */
    mark_add(dirty, entry, partition, offset);
}

/* --- Purges ---------------------------------------------------------------------------------- */

/* The waiting one that is due first, and when. */
static struct entry *first_waiting(const struct dirty *dirty, int64_t *due_us)
{
    struct entry *first = TAILQ_FIRST(&dirty->waiting_first),
                 *last = TAILQ_FIRST(&dirty->waiting_last);
    if (!first)
        return NULL;
    int64_t by_first_us = first->first_us + dirty->times.max_wait_us;
    int64_t by_last_us = last->last_us + dirty->times.debounce_us;
    *due_us = by_first_us < by_last_us ? by_first_us : by_last_us;
    return by_first_us < by_last_us ? first : last;
}

static void take(struct entries *taken, struct entry *entry)
{
    entry->state = ENTRY_TAKEN;
    TAILQ_INSERT_TAIL(taken, entry, by_first);
}

size_t dirty_take(struct dirty *dirty, int64_t now_us, bool all, size_t max, struct entries *taken)
{
    struct entry *entry;
    size_t count = 0;
    int64_t due_us = 0;
    while (count < max && (entry = TAILQ_FIRST(&dirty->retry))) {
        TAILQ_REMOVE(&dirty->retry, entry, by_first);
        take(taken, entry);
        count++;
    }
    while (count < max && (entry = first_waiting(dirty, &due_us)) && (all || due_us <= now_us)) {
        TAILQ_REMOVE(&dirty->waiting_first, entry, by_first);
        TAILQ_REMOVE(&dirty->waiting_last, entry, by_last);
        take(taken, entry);
        count++;
    }
    while (count < max && (entry = TAILQ_FIRST(&dirty->second)) &&
           (all || entry->last_us + dirty->times.second_us <= now_us)) {
        TAILQ_REMOVE(&dirty->second, entry, by_first);
        entry->first_us = INT64_MIN; /* that was the second */
        take(taken, entry);
        count++;
    }
    return count;
}

/* Until it is purged a second time the entry is in no table: a change makes a new one. */
void dirty_done(struct dirty *dirty, struct entries *taken, int64_t now_us)
{
    struct entry *entry;
    while ((entry = TAILQ_FIRST(taken))) {
        bool was_second = entry->first_us == INT64_MIN;
        TAILQ_REMOVE(taken, entry, by_first);
        if (!was_second)
            table_remove(&dirty->by_id, &entry->by_id);
        if (was_second || dirty->times.second_us == 0) {
            entry_free(dirty, entry);
            continue;
        }
        entry->state = ENTRY_SECOND;
        entry->last_us = now_us;
        entry->done = 0;
        TAILQ_INSERT_TAIL(&dirty->second, entry, by_first);
    }
}

void dirty_again(struct dirty *dirty, struct entries *taken)
{
    struct entry *entry;
    while ((entry = TAILQ_FIRST(taken))) {
        TAILQ_REMOVE(taken, entry, by_first);
        entry->state = ENTRY_RETRY;
        TAILQ_INSERT_TAIL(&dirty->retry, entry, by_first);
    }
}

int64_t dirty_due(const struct dirty *dirty)
{
    int64_t due_us = INT64_MAX;
    if (!TAILQ_EMPTY(&dirty->retry))
        return 0;
    first_waiting(dirty, &due_us);
    const struct entry *second = TAILQ_FIRST(&dirty->second);
    if (second && second->last_us + dirty->times.second_us < due_us)
        due_us = second->last_us + dirty->times.second_us;
    return due_us;
}

size_t dirty_count(const struct dirty *dirty)
{
    return dirty->count;
}

/* --- Offsets --------------------------------------------------------------------------------- */

int64_t dirty_offset(const struct dirty *dirty, int32_t partition, int64_t position)
{
    const struct mark *mark = TAILQ_FIRST(&dirty->partitions[partition]);
    return mark ? mark->offset : position;
}

void dirty_forget_partition(struct dirty *dirty, int32_t partition)
{
    struct mark *mark;
    while ((mark = TAILQ_FIRST(&dirty->partitions[partition]))) {
        struct mark **at = &mark->entry->marks;
        while (*at != mark)
            at = &(*at)->next;
        *at = mark->next;
        TAILQ_REMOVE(&dirty->partitions[partition], mark, by_offset);
        free(mark);
    }
}
