/* clock.h - the two clocks: deadlines on the monotonic one, timestamps on the wall clock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Microseconds since an arbitrary start; never goes back. For deadlines and latencies. */
int64_t clock_mono_us(void);

/* The earlier of two moments of one clock. */
int64_t clock_earlier_us(int64_t one_us, int64_t other_us);

/* Microseconds (milliseconds) since the Unix epoch. For what others will read; may be stepped. */
int64_t clock_wall_us(void);
int64_t clock_wall_ms(void);

enum { CLOCK_TEXT_SIZE = 25 }; /* "2026-11-23T18:03:39.594Z" and its NUL */

/* Writes RFC 3339 in UTC with milliseconds. Years 0 to 9999; others are clamped. */
void clock_format_ms(int64_t wall_ms, char text[CLOCK_TEXT_SIZE]);

/* Reads RFC 3339 section 5.6 (date-time with `Z` or an offset, any count of fraction digits) or a
 * plain date (midnight UTC). Returns false when `text` is neither, or its year in UTC is not 0 to
 * 9999. */
bool clock_parse_ms(const char *text, int64_t *wall_ms) __attribute__((warn_unused_result));

/* Milliseconds from now to a monotonic deadline, rounded up, 0 when it has passed; fits poll(2). */
int clock_until_ms(int64_t deadline_us);

/* Sleeps on the monotonic clock, going on after signals. */
void clock_sleep_us(int64_t duration_us);

#endif
