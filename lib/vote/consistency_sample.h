/* consistency_sample.h - what the parts of a consistency check share; no others include it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_CONSISTENCY_SAMPLE_H
#define VOTE_CONSISTENCY_SAMPLE_H

#include "vote/consistency.h"

enum { CONSISTENCY_LOOK_US = 5 * 1000 * 1000, CONSISTENCY_SENTENCE_SIZE = 160 };

enum verdict { VERDICT_OPEN, VERDICT_AGREES, VERDICT_PENDING, VERDICT_DIFFERS };

struct item {
    char id[VOTE_ID_SIZE];
    int64_t upvotes, downvotes, version; /* as Postgres has them; 0 where it has no such project */
    int64_t seq;                         /* of the state when it was looked at; -1: none is there */
    int64_t since_us;                    /* monotonic: when it was seen to differ; 0: never */
    enum verdict verdict;                /* of the last look */
    bool looked;                         /* that was this one: it was still open */
    char sentence[CONSISTENCY_SENTENCE_SIZE];
};

struct sample {
    struct consistency *check;
    struct item *items; /* by id */
    size_t count;
};

/* NULL when it is not among them. */
struct item *sample_find(const struct sample *sample, const char *project_id);

/* Puts the sentence and VERDICT_DIFFERS, unless votes are on their way. */
void item_differs(struct item *item, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* consistency_voters.c: compares what Redis has of each user's vote with the rows, for the items
 * whose state is there and has agreed. A state that moved meanwhile is VERDICT_PENDING. */
bool sample_look_at_voters(struct sample *sample, struct error *error)
    __attribute__((warn_unused_result));

#endif
