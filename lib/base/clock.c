/* clock.c - the two clocks. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

int64_t clock_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

void clock_format_ms(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
    const int64_t year_0000_ms = -62167219200000, year_9999_ms = 253402300799999;
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
    snprintf(text, CLOCK_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
             (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100, (unsigned)milliseconds % 1000);
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
    char sign;
    int hours, minutes, end = 0;
    *offset_s = 0;
    if (!strcmp(text, "Z") || !strcmp(text, "z"))
        return true;
    if (sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) != 3 || text[end] != '\0')
        return false;
    if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *offset_s = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

static bool clock_parse_time(const char *text, struct tm *tm, int *milliseconds, int *offset_s)
{
    int used = 0;
    if (sscanf(text, "%*1[Tt ]%2d:%2d:%2d%n", &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &used) != 3)
        return false;
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 || tm->tm_min > 59 ||
        tm->tm_sec < 0 || tm->tm_sec > 60)
        return false;
    const char *cursor = text + used;
    if (*cursor == '.') {
        cursor++;
        if (*cursor < '0' || *cursor > '9')
            return false;
        *milliseconds = clock_parse_fraction(&cursor);
    }
    return clock_parse_zone(cursor, offset_s);
}

bool clock_parse_ms(const char *text, int64_t *wall_ms)
{
    struct tm tm = {0};
    int used = 0, milliseconds = 0, offset_s = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 ||
        used != 10)
        return false;
    if (tm.tm_year < 0 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1)
        return false;
    if (text[used] != '\0' && !clock_parse_time(text + used, &tm, &milliseconds, &offset_s))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int day = tm.tm_mday, month = tm.tm_mon;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day || tm.tm_mon != month)
        return false; /* 30 February, or a leap second: timegm moved it to another day */
    *wall_ms = ((int64_t)seconds - offset_s) * 1000 + milliseconds;
    return true;
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
