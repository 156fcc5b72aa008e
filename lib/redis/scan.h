/* scan.h - finds keys by a pattern, on every node. SPDX-License-Identifier: Apache-2.0 */
#ifndef REDIS_SCAN_H
#define REDIS_SCAN_H

#include "redis/redis.h"

/* Calls `on_key` for each key that matches; one may come twice. Looks at about *left keys at most,
 * and takes off what it has looked at: 0 then says that there may be more. A key that is there all
 * the while is found, unless its slot moves to another node meanwhile. */
bool redis_scan(struct redis *redis, const char *pattern, size_t *left,
                void (*on_key)(void *context, const char *key), void *context, struct error *error)
    __attribute__((warn_unused_result));

#endif
