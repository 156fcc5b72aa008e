/* clock.c - the two clocks. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

/* The first and the last millisecond that have a four-digit year in UTC. */
static const int64_t year_0000_ms = -62167219200000, year_9999_ms = 253402300799999;

static int64_t clock_read_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

int64_t clock_earlier_us(int64_t one_us, int64_t other_us)
{
    return one_us < other_us ? one_us : other_us;
}

int64_t clock_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

/* Puts exactly `count` digits and what follows them; returns where it ends. */
static char *clock_put_digits(char *text, int count, int value, char behind)
{
    for (int i = count; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
    text[count] = behind;
    return text + count + 1;
}

void clock_format_ms(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
    if (wall_ms < year_0000_ms)
        wall_ms = year_0000_ms;
    if (wall_ms > year_9999_ms)
        wall_ms = year_9999_ms;
    int64_t seconds = wall_ms / 1000, milliseconds = wall_ms % 1000;
    if (milliseconds < 0) {
        milliseconds += 1000;
        seconds--;
    }
    time_t time = seconds;
    struct tm tm;
    gmtime_r(&time, &tm);
    text = clock_put_digits(text, 4, tm.tm_year + 1900, '-');
    text = clock_put_digits(text, 2, tm.tm_mon + 1, '-');
    text = clock_put_digits(text, 2, tm.tm_mday, 'T');
    text = clock_put_digits(text, 2, tm.tm_hour, ':');
    text = clock_put_digits(text, 2, tm.tm_min, ':');
    text = clock_put_digits(text, 2, tm.tm_sec, '.');
    text = clock_put_digits(text, 3, (int)milliseconds, 'Z');
    *text = '\0';
}

/* Reads exactly `count` digits. */
static bool clock_parse_digits(const char **cursor, int count, int *value)
{
    *value = 0;
    for (; count > 0; count--, (*cursor)++) {
        if (**cursor < '0' || **cursor > '9')
            return false;
        *value = *value * 10 + (**cursor - '0');
    }
    return true;
}

/* Moves `*cursor` behind one character out of `allowed`; false when another is there. */
static bool clock_parse_char(const char **cursor, const char *allowed)
{
    if (!**cursor || !strchr(allowed, **cursor))
        return false;
    (*cursor)++;
    return true;
}

/* The fraction's first three digits as milliseconds; moves `*cursor` behind all its digits. */
static int clock_parse_fraction(const char **cursor)
{
    int milliseconds = 0, scale = 100;
    for (; **cursor >= '0' && **cursor <= '9'; (*cursor)++, scale /= 10)
        milliseconds += (**cursor - '0') * scale;
    return milliseconds;
}

/* Seconds east of UTC out of "Z" or "+hh:mm"; false when it is neither or text follows. */
static bool clock_parse_zone(const char *text, int *offset_s)
{
    int hours, minutes;
    int sign = *text == '-' ? -1 : 1;
    *offset_s = 0;
    if (!strcmp(text, "Z") || !strcmp(text, "z"))
        return true;
    if (!clock_parse_char(&text, "+-") || !clock_parse_digits(&text, 2, &hours) ||
        !clock_parse_char(&text, ":") || !clock_parse_digits(&text, 2, &minutes) || *text)
        return false;
    *offset_s = sign * (hours * 60 + minutes) * 60;
    return hours <= 23 && minutes <= 59;
}

static bool clock_parse_time(const char *text, struct tm *tm, int *milliseconds, int *offset_s)
{
    if (!clock_parse_char(&text, "Tt ") || !clock_parse_digits(&text, 2, &tm->tm_hour) ||
        !clock_parse_char(&text, ":") || !clock_parse_digits(&text, 2, &tm->tm_min) ||
        !clock_parse_char(&text, ":") || !clock_parse_digits(&text, 2, &tm->tm_sec))
        return false;
    if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
        return false;
    if (*text == '.') {
        text++;
        if (*text < '0' || *text > '9')
            return false;
        *milliseconds = clock_parse_fraction(&text);
    }
    return clock_parse_zone(text, offset_s);
}

/* Moves `*cursor` behind "yyyy-mm-dd". */
static bool clock_parse_date(const char **cursor, struct tm *tm)
{
    return clock_parse_digits(cursor, 4, &tm->tm_year) && clock_parse_char(cursor, "-") &&
           clock_parse_digits(cursor, 2, &tm->tm_mon) && clock_parse_char(cursor, "-") &&
           clock_parse_digits(cursor, 2, &tm->tm_mday) && tm->tm_mon >= 1 && tm->tm_mon <= 12 &&
           tm->tm_mday >= 1;
}

bool clock_parse_ms(const char *text, int64_t *wall_ms)
{
    struct tm tm = {0};
    int milliseconds = 0, offset_s = 0;
    if (!clock_parse_date(&text, &tm) ||
        (*text && !clock_parse_time(text, &tm, &milliseconds, &offset_s)))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int day = tm.tm_mday, month = tm.tm_mon;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day || tm.tm_mon != month)
        return false; /* 30 February, or a leap second: timegm moved it to another day */
    *wall_ms = ((int64_t)seconds - offset_s) * 1000 + milliseconds;
    return *wall_ms >= year_0000_ms && *wall_ms <= year_9999_ms;
}

int clock_until_ms(int64_t deadline_us)
{
    int64_t left_us = deadline_us - clock_mono_us();
    if (left_us <= 0)
        return 0;
    int64_t left_ms = (left_us + 999) / 1000;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

void clock_sleep_us(int64_t duration_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (duration_us % 1000000) * 1000;
    until.tv_sec += duration_us / 1000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}
