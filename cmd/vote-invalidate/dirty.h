/* dirty.h - the keys that wait to be purged: each once, `debounce` after its last change, and never
 * later than `max_wait` after its first. Pure: the clock is passed in.
 *
 * A key is WAITING until it is due, TAKEN while it is purged, HELD when that failed, and DELAYED
 * between its purge and the second one. All along it holds the generation it was read in, so that
 * offsets do not move past it. SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_DIRTY_H
#define INVALIDATE_DIRTY_H

#include "base/table.h"
#include "vote-invalidate/progress.h"
#include "vote-invalidate/template.h"

#include <sys/queue.h>

enum { TARGETS_MAX = 7 }; /* Redis, and HTTP caches */

enum entry_state { ENTRY_WAITING, ENTRY_TAKEN, ENTRY_HELD, ENTRY_DELAYED };

struct entry {
    struct table_node node;   /* first: the table's nodes are entries */
    TAILQ_ENTRY(entry) order; /* in the list of its state */
    TAILQ_ENTRY(entry) age;   /* WAITING: in the list by first change */
    enum entry_state state;
    enum kind kind;
    int target;
    uint64_t generation;
    int64_t first_us, last_us; /* monotonic: when it changed first and last; DELAYED: when it was
                                  purged */
    int64_t committed_ms;      /* Unix: the first of the changes */
    bool is_second;            /* its purge is the second one */
    char text[];
};

TAILQ_HEAD(entry_list, entry);

struct dirty {
    int64_t debounce_us, max_wait_us;
    int64_t double_us; /* the second purge after the first; 0: there is none */
    struct progress *progress;
    struct table table;
    struct entry_list by_last, by_first; /* WAITING */
    struct entry_list delayed;
    struct entry_list held[TARGETS_MAX];
};

/* `progress` is borrowed. */
void dirty_init(struct dirty *dirty, struct progress *progress, int64_t debounce_us,
                int64_t max_wait_us, int64_t double_us);
void dirty_free(struct dirty *dirty);

/* A commit has changed what the key is about. */
void dirty_touch(struct dirty *dirty, enum kind kind, int target, const char *text,
                 int64_t committed_ms, int64_t now_us);

/* Moves to `taken` what is due, or everything but what is held. The caller gives each entry back
 * with dirty_done or dirty_hold. */
void dirty_take(struct dirty *dirty, int64_t now_us, bool everything, struct entry_list *taken);

/* Moves to `taken` at most `max` of those that are held for the target. */
void dirty_take_held(struct dirty *dirty, int target, size_t max, struct entry_list *taken);

/* The entry was purged: it is gone, or waits for the second purge. `is_last`: there will be none.
 */
void dirty_done(struct dirty *dirty, struct entry *entry, int64_t now_us, bool is_last);

/* It could not be purged. */
void dirty_hold(struct dirty *dirty, struct entry *entry);

/* When the next entry is due (monotonic); INT64_MAX: none waits. */
int64_t dirty_next_us(const struct dirty *dirty);

/* When the oldest change was committed that is not purged (Unix); 0: there is none. */
int64_t dirty_oldest_ms(const struct dirty *dirty);

#endif
