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

/* True when the text is an object in its plainest writing: no white space, no escapes, nothing but
 * ASCII, members that are strings, numbers or literals, each name once. Such an object is valid
 * JSON (RFC 8259) that every parser takes for the same. False says nothing: ask a parser. This is
 * for where most objects are plain and a parser is too slow. */
bool json_is_plain_object(const char *text, size_t size);

/* Of valid JSON that is an object: where the value of the first member with that name stands, byte
 * for byte. False when there is none that is written without escapes. */
bool json_member_span(const char *text, size_t size, const char *name, const char **value,
                      size_t *value_size);

#endif
