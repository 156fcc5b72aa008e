/* fuzz_selector.c - a selector of vote-tail, and the times and quantities in it: what is accepted
 * has a meaning that writes and reads back the same. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/clock.h"
#include "base/units.h"
#include "kafka/selector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const int64_t now_ms = 1795457019594;

static void check_selector(const char *text)
{
    struct selector selector;
    struct error error = {0};
    if (selector_parse(&selector, text, now_ms, &error)) {
        assert(selector.kind >= SELECT_START && selector.kind <= SELECT_TIMES);
        assert(selector.from >= 0);
        assert(selector.to == -1 || selector.to >= selector.from);
    } else {
        assert(error.code == ERROR_USAGE && error.text[0]);
    }
}

/* True when `text` begins as `form` says: a `0` there stands for any digit. */
static bool has_form(const char *text, const char *form)
{
    for (; *form; text++, form++) {
        if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form)
            return false;
    }
    return true;
}

static void check_time(const char *text)
{
    int64_t ms, again_ms;
    char written[CLOCK_TEXT_SIZE];
    if (!clock_parse_ms(text, &ms))
        return;
    assert(has_form(text, "0000-00-00"));
    assert(!text[10] || has_form(text + 11, "00:00:00"));
    clock_format_ms(ms, written);
    assert(clock_parse_ms(written, &again_ms) && again_ms == ms);
}

/* The window of N/WINDOW is a duration, whose first unit may stand without its 1. */
static void check_quota(const char *text)
{
    int64_t count, window_us, again_us;
    struct buf window = {0};
    const char *slash = strchr(text, '/');
    if (!units_parse_quota(text, &count, &window_us) || !slash)
        return;
    assert(count > 0 && window_us > 0);
    buf_format(&window, "%s%s", isalpha((unsigned char)slash[1]) ? "1" : "", slash + 1);
    assert(units_parse_duration_us(window.data, &again_us) && again_us == window_us);
    buf_free(&window);
}

static void check_quantities(const char *text)
{
    int64_t value, again;
    double per_s;
    char written[UNITS_TEXT_SIZE];
    if (units_parse_duration_us(text, &value)) {
        units_format_duration_us(value, written);
        assert(value >= 0 && units_parse_duration_us(written, &again) && again == value);
    }
    if (units_parse_size_bytes(text, &value)) {
        units_format_size_bytes(value, written);
        assert(value >= 0 && units_parse_size_bytes(written, &again) && again == value);
    }
    if (units_parse_rate_per_s(text, &per_s))
        assert(per_s >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    check_selector(text);
    check_time(text);
    check_quantities(text);
    check_quota(text);
    free(text);
    return 0;
}
