/* votes_csv.h - reads votes.csv: a header with timestamp (ms), user_id, project_id, vote_type in
 * any order, other columns beside them; then a vote a line. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_VOTES_CSV_H
#define VOTE_VOTES_CSV_H

#include "base/error.h"
#include "vote/event.h"

#include <stdio.h>

struct csv_vote {
    int64_t timestamp_ms;
    const char *user_id, *project_id; /* borrowed, until the next line */
    enum vote_type vote_type;
    long line;
};

/* Hands each vote to `take`. ERROR_DATA names the line and the column of what is wrong, and never
 * repeats a value. */
bool votes_csv_read(FILE *file, void (*take)(void *context, const struct csv_vote *vote),
                    void *context, struct error *error) __attribute__((warn_unused_result));

#endif
