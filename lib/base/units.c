/* units.c - quantities as people write them. SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double scale;
};

static const struct unit durations[] = {
    {"d", 86400e6}, {"h", 3600e6}, {"m", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}, {NULL, 0},
};

static const struct unit sizes[] = {
    {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {"GB", 1e9},
    {"MB", 1e6},         {"kB", 1e3},      {"B", 1},      {NULL, 0},
};

/* The unit that `text` begins with and that no letter follows. */
static const struct unit *unit_match(const struct unit *units, const char *text, size_t *length)
{
    *length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (; units->name; units++) {
        if (strlen(units->name) == *length && !strncmp(units->name, text, *length))
            return units;
    }
    return NULL;
}

/* A decimal number without sign or exponent, `*cursor` moved behind it. */
static bool number_read(const char **cursor, double *value)
{
    size_t whole = strspn(*cursor, "0123456789");
    size_t size = whole;
    if ((*cursor)[size] == '.')
        size += 1 + strspn(*cursor + size + 1, "0123456789");
    if (whole == 0 || size > 30)
        return false;
    char digits[32];
    memcpy(digits, *cursor, size);
    digits[size] = '\0';
    *value = strtod(digits, NULL);
    *cursor += size;
    return true;
}

static bool quantity_parse(const struct unit *units, const char *text, bool sums, int64_t *value)
{
    double total = 0, number;
    size_t length;
    if (!strcmp(text, "0")) {
        *value = 0;
        return true;
    }
    do {
        if (!number_read(&text, &number))
            return false;
        const struct unit *unit = unit_match(units, text, &length);
        if (!unit)
            return false;
        total += number * unit->scale;
        text += length;
    } while (sums && *text);
    if (*text || total > 9e18)
        return false;
    *value = (int64_t)llround(total);
    return true;
}

bool units_parse_duration_us(const char *text, int64_t *us)
{
    return quantity_parse(durations, text, true, us);
}

bool units_parse_size_bytes(const char *text, int64_t *bytes)
{
    return quantity_parse(sizes, text, false, bytes);
}

bool units_parse_rate_per_s(const char *text, double *per_s)
{
    double number;
    if (!strcmp(text, "0")) {
        *per_s = 0;
        return true;
    }
    if (!number_read(&text, &number) || text[0] != '/' || !text[1] || text[2])
        return false;
    double seconds = text[1] == 's' ? 1 : text[1] == 'm' ? 60 : text[1] == 'h' ? 3600 : 0;
    if (seconds == 0)
        return false;
    *per_s = number / seconds;
    return true;
}

bool units_parse_ratio(const char *text, double *ratio)
{
    double number;
    if (!number_read(&text, &number) || *text || number > 1)
        return false;
    *ratio = number;
    return true;
}

bool units_parse_quota(const char *text, int64_t *count, int64_t *window_us)
{
    char number[20];
    const char *slash = strchr(text, '/');
    *count = *window_us = 0;
    if (!strcmp(text, "0"))
        return true;
    if (!slash || slash == text || (size_t)(slash - text) >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", (int)(slash - text), text);
    const char *window = slash + 1;
    char one[UNITS_TEXT_SIZE];
    if (isalpha((unsigned char)*window)) { /* 5/s is 5/1s */
        if (snprintf(one, sizeof one, "1%s", window) >= (int)sizeof one)
            return false;
        window = one;
    }
    return units_parse_int(number, count) && *count > 0 &&
           units_parse_duration_us(window, window_us) && *window_us > 0;
}

bool units_parse_int(const char *text, int64_t *value)
{
    char *end;
    if (!*text || strspn(text, "-0123456789") != strlen(text))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && end != text;
}

static void quantity_format(const struct unit *units, int64_t value, char *text)
{
    for (; value && units->scale > 1; units++) {
        if (value % (int64_t)units->scale == 0)
            break;
    }
    while (value == 0 && units->scale > 1)
        units++;
    snprintf(text, UNITS_TEXT_SIZE, "%" PRId64 "%s", value / (int64_t)units->scale, units->name);
}

void units_format_duration_us(int64_t us, char text[UNITS_TEXT_SIZE])
{
    quantity_format(durations, us, text);
}

void units_format_size_bytes(int64_t bytes, char text[UNITS_TEXT_SIZE])
{
    static const struct unit binary[] = {
        {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {"B", 1}};
    quantity_format(binary, bytes, text);
}

size_t units_format_int(int64_t value, char text[UNITS_TEXT_SIZE])
{
    char digits[UNITS_TEXT_SIZE], *first = digits + sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    *--first = '\0';
    do
        *--first = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--first = '-';
    size_t size = (size_t)(digits + sizeof digits - first);
    memcpy(text, first, size);
    return size - 1;
}
