/* json.h - bounds on JSON from outside, before a parser sees it. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* True when no array or object is nested deeper than `max`. Parsers recurse by level, and a
 * server's threads have small stacks: check this first. Text that is no JSON may pass; the parser
 * refuses it. */
bool json_depth_is_within(const char *text, size_t size, int max);

#endif
