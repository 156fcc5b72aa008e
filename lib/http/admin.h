/* admin.h - a daemon's admin port: /metrics (its own, dependency_up, and process.h's), /healthz
 * (the loop turns) and /readyz (each dependency by name). SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include "base/metrics.h"
#include "http/http.h"

#include <stdatomic.h>
#include <stdint.h>

enum { ADMIN_CHECK_MAX = 8, ADMIN_TEXT_SIZE = 200 };

/* One dependency. The daemon's own threads set it; the admin port only reads. */
struct admin_check {
    const char *name; /* "kafka"; fit for a label: no quotes, no backslash */
    _Atomic int ready;
};

struct admin {
    struct http_server *server;
    struct metrics *metrics;
    struct admin_check checks[ADMIN_CHECK_MAX];
    size_t check_count;
    int64_t started_ms;      /* wall clock */
    _Atomic int64_t beat_us; /* the loop's last turn, monotonic */
    _Atomic int draining;    /* not ready any more, still healthy */
    /* Whether it can do its work; NULL: when every check is ready. */
    bool (*is_ready)(const struct admin *admin);
};

/* Adds a dependency that is not ready yet. Call before admin_start. */
struct admin_check *admin_add_check(struct admin *admin, const char *name);

/* Whether the dependency of that name is ready just now. */
bool admin_is_up(const struct admin *admin, const char *name);

bool admin_start(struct admin *admin, const char *listen, struct error *error)
    __attribute__((warn_unused_result));
void admin_stop(struct admin *admin);

/* Tells that the loop turns: /healthz fails when the last beat is over 15 s old. */
void admin_beat(struct admin *admin);

#endif
