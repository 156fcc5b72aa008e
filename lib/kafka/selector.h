/* selector.h - which records of a topic: start, end, +N, -N, A:B, @T, @T1:T2.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KAFKA_SELECTOR_H
#define KAFKA_SELECTOR_H

#include "base/error.h"
#include "kafka/reader.h"

enum selector_kind {
    SELECT_START,
    SELECT_END,
    SELECT_FIRST,
    SELECT_LAST,
    SELECT_OFFSETS,
    SELECT_TIMES
};

/* Where to read: `from` and `to` are counts, offsets or Unix milliseconds; `to` is exclusive, -1
 * open. */
struct selector {
    enum selector_kind kind;
    int64_t from, to;
};

/* Reads start, end, +N, -N, A:B, @T, @T1:T2. T is RFC 3339, a date, Unix seconds or milliseconds,
 * or a duration before now (-15m). ERROR_USAGE otherwise, and when the end is before the start. */
bool selector_parse(struct selector *selector, const char *text, int64_t now_ms,
                    struct error *error) __attribute__((warn_unused_result));

/* Adds the ranges that the selector means to an opened reader: of every partition, to where it ends
 * now, or without an end with `follow`. `records` is how many there are at most, -1 when nobody
 * knows. */
bool selector_apply(const struct selector *selector, struct reader *reader, bool follow,
                    int64_t *records, struct error *error) __attribute__((warn_unused_result));

#endif
