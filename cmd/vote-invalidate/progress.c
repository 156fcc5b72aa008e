/* progress.c - how far each partition may be committed. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/progress.h"

#include <string.h>

static struct generation *generation_at(struct progress *progress, uint64_t number)
{
    return &progress->ring[number % GENERATIONS_MAX];
}

static void generation_begin(struct progress *progress)
{
    struct generation *generation = generation_at(progress, progress->last);
    memcpy(generation->next, progress->next, sizeof generation->next);
    generation->held = 0;
}

void progress_init(struct progress *progress)
{
    progress->first = progress->last = 0;
    for (int i = 0; i < PARTITIONS_MAX; i++)
        progress->next[i] = -1;
    generation_begin(progress);
}

/* What is before the first record that comes is not ours to be done with. */
void progress_record(struct progress *progress, int32_t partition, int64_t offset)
{
    if (progress->next[partition] < 0)
        for (uint64_t i = progress->first; i <= progress->last; i++)
            generation_at(progress, i)->next[partition] = offset;
    progress->next[partition] = offset + 1;
}

void progress_forget(struct progress *progress, int32_t partition)
{
    progress->next[partition] = -1;
    for (uint64_t i = progress->first; i <= progress->last; i++)
        generation_at(progress, i)->next[partition] = -1;
}

static void progress_drop_done(struct progress *progress)
{
    while (progress->first < progress->last && generation_at(progress, progress->first)->held == 0)
        progress->first++;
}

void progress_turn(struct progress *progress)
{
    if (progress->last - progress->first + 1 >= GENERATIONS_MAX)
        return;
    progress->last++;
    generation_begin(progress);
    progress_drop_done(progress);
}

uint64_t progress_hold(struct progress *progress)
{
    generation_at(progress, progress->last)->held++;
    return progress->last;
}

void progress_release(struct progress *progress, uint64_t generation)
{
    generation_at(progress, generation)->held--;
    progress_drop_done(progress);
}

int64_t progress_safe(const struct progress *progress, int32_t partition)
{
    const struct generation *oldest = &progress->ring[progress->first % GENERATIONS_MAX];
    return oldest->held ? oldest->next[partition] : progress->next[partition];
}

bool progress_is_through(const struct progress *progress, uint64_t generation)
{
    return progress->first > generation ||
           (progress->first == generation && !progress->ring[generation % GENERATIONS_MAX].held);
}
