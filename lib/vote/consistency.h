/* consistency.h - does what readers are shown agree with Postgres? Samples projects over the
 * optimistic state, the caches that hold JSON with counts, and whatever else the caller can fetch.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_CONSISTENCY_H
#define VOTE_CONSISTENCY_H

#include "pg/pg.h"
#include "redis/redis.h"
#include "vote/ids.h"

/* One check: the caller fills the first part, consistency_check the second. */
struct consistency {
    struct pg *pg;
    struct redis *redis;
    int64_t sample;              /* projects, chosen at random; unless they are named: */
    const char *const *projects; /* NULL, or ids, each once; Postgres need not have them */
    size_t project_count;
    bool voters;        /* the state and each user's vote in it are compared, no caches */
    int64_t timeout_us; /* those that differ are read again for so long */
    /* NULL, or gets a cached answer of GET /api/projects/<id>; false: there is none. */
    bool (*fetch)(void *context, const char *project_id, struct buf *json);
    /* NULL, or is told of each project that differed: for how long, and whether it still does. */
    void (*tell)(void *context, const char *project_id, const char *sentence, int64_t lasted_us,
                 bool still);
    bool (*is_stopped)(void *context); /* NULL, or ends the waiting */
    void *context;

    size_t sampled; /* projects looked at */
    size_t pending; /* of them: had votes on their way, which is no difference */
    size_t agreed;  /* of them: agreed when looked at first */
    size_t differ;  /* of them: still differ */
};

bool consistency_check(struct consistency *check, struct error *error)
    __attribute__((warn_unused_result));

/* The share that agrees in the end; 1 when nothing was looked at. */
double consistency_ratio(const struct consistency *check);

#endif
