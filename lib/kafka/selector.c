/* selector.c - which records of a topic. SPDX-License-Identifier: Apache-2.0 */
#include "kafka/selector.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>

/* Unix numbers from here on are milliseconds: as seconds they would lie beyond the year 5000. */
static const int64_t milliseconds_from = 100000000000;

static bool selector_refuse(const char *text, struct error *error)
{
    return error_set(error, ERROR_USAGE, "-o: \"%s\" is not start, end, +N, -N, A:B, @T or @T1:T2",
                     text);
}

static bool time_read(const char *text, int64_t now_ms, int64_t *ms)
{
    int64_t number;
    if (*text == '-') {
        if (!units_parse_duration_us(text + 1, &number))
            return false;
        *ms = now_ms - number / 1000;
        return true;
    }
    if (units_parse_int(text, &number)) {
        *ms = number < milliseconds_from ? number * 1000 : number;
        return number >= 0;
    }
    return clock_parse_ms(text, ms);
}

/* No record is older than 1970, and below 0 a time would mean something else: here an open end, to
 * Kafka the latest or the earliest offset. */
static bool time_parse(const char *text, int64_t now_ms, int64_t *ms)
{
    if (!time_read(text, now_ms, ms))
        return false;
    if (*ms < 0)
        *ms = 0;
    return true;
}

/* T or T1:T2 or T1:. RFC 3339 has colons of its own, so every colon is tried. */
static bool times_parse(struct selector *selector, const char *text, int64_t now_ms)
{
    char first[64];
    selector->kind = SELECT_TIMES;
    selector->to = -1;
    if (time_parse(text, now_ms, &selector->from))
        return true;
    for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
        if ((size_t)(colon - text) >= sizeof first)
            return false;
        snprintf(first, sizeof first, "%.*s", (int)(colon - text), text);
        if (time_parse(first, now_ms, &selector->from) &&
            (colon[1] == '\0' || time_parse(colon + 1, now_ms, &selector->to)))
            return true;
    }
    return false;
}

static bool offsets_parse(struct selector *selector, const char *text)
{
    char first[32];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof first)
        return false;
    snprintf(first, sizeof first, "%.*s", (int)(colon - text), text);
    selector->kind = SELECT_OFFSETS;
    selector->to = -1;
    return units_parse_int(first, &selector->from) && selector->from >= 0 &&
           (colon[1] == '\0' || (units_parse_int(colon + 1, &selector->to) && selector->to >= 0));
}

bool selector_parse(struct selector *selector, const char *text, int64_t now_ms,
                    struct error *error)
{
    bool parsed = true;
    *selector = (struct selector){.to = -1};
    if (!strcmp(text, "start")) {
        selector->kind = SELECT_START;
    } else if (!strcmp(text, "end")) {
        selector->kind = SELECT_END;
    } else if (*text == '+' || *text == '-') {
        selector->kind = *text == '+' ? SELECT_FIRST : SELECT_LAST;
        parsed = units_parse_int(text + 1, &selector->from) && selector->from >= 0;
    } else if (*text == '@') {
        parsed = times_parse(selector, text + 1, now_ms);
    } else {
        parsed = offsets_parse(selector, text);
    }
    if (parsed && selector->to >= 0 && selector->to < selector->from)
        return error_set(error, ERROR_USAGE, "-o: \"%s\" ends before it starts", text);
    return parsed || selector_refuse(text, error);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static bool offset_at_time(struct reader *reader, int32_t partition, int64_t time_ms, int64_t none,
                           int64_t *offset, struct error *error)
{
    if (!reader_offset_at(reader, partition, time_ms, offset, error))
        return false;
    if (*offset < 0)
        *offset = none;
    return true;
}

/* Of a range that has [low, high) of the partition now: turns it into what the selector means. */
static bool range_find(const struct selector *selector, struct reader *reader, bool follow,
                       int64_t low, int64_t high, struct reader_range *range, struct error *error)
{
    bool bounded = selector->to >= 0;
    range->from = low;
    range->to = follow ? -1 : high;
    switch (selector->kind) {
    case SELECT_START: break;
    case SELECT_END: range->from = high; break;
    case SELECT_FIRST:
        range->from = selector->from < high - low ? low + selector->from : high;
        break;
    case SELECT_LAST:
        range->from = selector->from < high - low ? high - selector->from : low;
        break;
    case SELECT_OFFSETS:
        range->from = clamp(selector->from, low, high);
        if (bounded)
            range->to = clamp(selector->to, low, high);
        break;
    case SELECT_TIMES:
        return offset_at_time(reader, range->partition, selector->from, high, &range->from,
                              error) &&
               (!bounded ||
                offset_at_time(reader, range->partition, selector->to, high, &range->to, error));
    }
    return true;
}

bool selector_apply(const struct selector *selector, struct reader *reader, bool follow,
                    int64_t *records, struct error *error)
{
    int32_t count;
    *records = 0;
    if (!reader_partitions(reader, &count, error))
        return false;
    for (int32_t i = 0; i < count; i++) {
        struct reader_range range = {.partition = i};
        int64_t low, high;
        if (!reader_watermarks(reader, i, &low, &high, error) ||
            !range_find(selector, reader, follow, low, high, &range, error))
            return false;
        reader_add(reader, i, range.from, range.to);
        if (range.to < 0)
            *records = -1;
        else if (*records >= 0 && range.to > range.from)
            *records += range.to - range.from;
    }
    return true;
}
