/* dirty.h - what has changed and was not purged yet, and since when. It reads no clock and does no
 * I/O. SPDX-License-Identifier: Apache-2.0 */
#ifndef DIRTY_H
#define DIRTY_H

#include "base/table.h"
#include "vote/ids.h"

#include <stdint.h>
#include <sys/queue.h>

/* Whose caches: a project's, a user's, or those that any vote changes (feeds, the leaderboard). */
enum subject { SUBJECT_PROJECT, SUBJECT_USER, SUBJECT_ALL };

struct entry;
TAILQ_HEAD(entries, entry);

/* That the record at `offset` is not done with before the entry is purged. */
struct mark {
    struct entry *entry;
    int32_t partition;
    int64_t offset;
    struct mark *next; /* of the entry */
    TAILQ_ENTRY(mark) by_offset;
};

enum entry_state { ENTRY_WAITING, ENTRY_TAKEN, ENTRY_RETRY, ENTRY_SECOND };

struct entry {
    struct table_node by_id;
    enum subject subject;
    enum entry_state state;
    int64_t first_us, last_us; /* when it changed, monotonic */
    int64_t committed_at_ms;   /* of the first change, Unix */
    uint32_t done;             /* which targets have purged it: the caller's bits */
    struct mark *marks;
    TAILQ_ENTRY(entry) by_first, by_last; /* while it waits; other lists use by_first alone */
    char id[VOTE_ID_SIZE];
};

enum { DIRTY_PARTITIONS_MAX = 1024 };

struct dirty_times {
    int64_t debounce_us; /* purged so long after its last change */
    int64_t max_wait_us; /* and never later than so long after the first */
    int64_t second_us;   /* purged again so long after the first purge; 0: not */
};

struct dirty;

struct dirty *dirty_new(const struct dirty_times *times);
void dirty_free(struct dirty *dirty);

/* A record changed the subject. Records of a partition come in order. */
void dirty_mark(struct dirty *dirty, enum subject subject, const char *id, int32_t partition,
                int64_t offset, int64_t committed_at_ms, int64_t now_us);

/* Moves what is due to `taken`, at most `max` entries; with `all`, what waits as well. */
size_t dirty_take(struct dirty *dirty, int64_t now_us, bool all, size_t max, struct entries *taken);

/* They are purged, or are to be taken again at the next call of dirty_take. */
void dirty_done(struct dirty *dirty, struct entries *taken, int64_t now_us);
void dirty_again(struct dirty *dirty, struct entries *taken);

/* When the next one is due; INT64_MAX: none waits. */
int64_t dirty_due(const struct dirty *dirty);
size_t dirty_count(const struct dirty *dirty);

/* The first offset of the partition that is not done with; `position` when all before it are. */
int64_t dirty_offset(const struct dirty *dirty, int32_t partition, int64_t position);

/* The partition is another's: its records are not ours to be done with. */
void dirty_forget_partition(struct dirty *dirty, int32_t partition);

#endif
