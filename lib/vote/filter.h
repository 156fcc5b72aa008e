/* filter.h - which records of a topic are meant, by what their events say.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_FILTER_H
#define VOTE_FILTER_H

#include "base/error.h"
#include "base/option.h"

/* NULL: any. */
struct filter {
    const char *user, *project, *action, *request;
};

/* --user, --project, --action, --request, for a struct filter. */
extern const struct option filter_options[];
enum { FILTER_OPTION_COUNT = 4 };

/* ERROR_USAGE: a filter that nothing could ever pass. */
bool filter_check(const struct filter *filter, struct error *error)
    __attribute__((warn_unused_result));

/* True when the value passes the filters that are set; NULL and what is no JSON object passes only
 * when none is. */
bool filter_match(const struct filter *filter, const void *value, size_t size);

#endif
