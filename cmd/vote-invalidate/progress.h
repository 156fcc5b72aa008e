/* progress.h - how far each partition may be committed while keys of it still wait.
 *
 * Records are counted into generations; a key holds the one in which it became dirty. Offsets move
 * to where the oldest generation that is still held began. Their number is bounded: when purges are
 * stuck, the last generation takes everything, and offsets move less often later.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_PROGRESS_H
#define INVALIDATE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARTITIONS_MAX = 1024, GENERATIONS_MAX = 64 };

struct generation {
    int64_t next[PARTITIONS_MAX]; /* the offset behind the last record before it; -1: not known */
    size_t held;
};

struct progress {
    int64_t next[PARTITIONS_MAX]; /* behind the last record; -1: not known */
    struct generation ring[GENERATIONS_MAX];
    uint64_t first, last; /* the oldest and the newest; ring index modulo GENERATIONS_MAX */
};

void progress_init(struct progress *progress);

/* A record was read, and its keys hold the newest generation. */
void progress_record(struct progress *progress, int32_t partition, int64_t offset);

/* The partition came or went: nothing of it is known any more. */
void progress_forget(struct progress *progress, int32_t partition);

/* Begins a new generation, unless there are too many. */
void progress_turn(struct progress *progress);

/* Holds the newest generation; returns what progress_release takes. */
uint64_t progress_hold(struct progress *progress);
void progress_release(struct progress *progress, uint64_t generation);

/* Whether nothing holds that generation or an older one. */
bool progress_is_through(const struct progress *progress, uint64_t generation);

/* The offset that may be committed; -1: none is known. */
int64_t progress_safe(const struct progress *progress, int32_t partition);

#endif
