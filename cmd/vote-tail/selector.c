/* selector.c - where a tail starts and ends. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

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
