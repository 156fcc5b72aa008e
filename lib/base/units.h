/* units.h - quantities as people write them: 250ms, 16KiB, 500/s. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each reads the whole of `text` and returns false when it is not such a quantity, has no unit
 * where one is needed, or does not fit. Nothing is negative. A plain 0 needs no unit. */

/* A duration in microseconds: us, ms, s, m, h, d; also sums and fractions: 1m30s, 1.5s. */
bool units_parse_duration_us(const char *text, int64_t *us) __attribute__((warn_unused_result));

/* A size in bytes: B, KiB, MiB, GiB and kB, MB, GB. */
bool units_parse_size_bytes(const char *text, int64_t *bytes) __attribute__((warn_unused_result));

/* A rate in events per second: N/s, N/m, N/h. */
bool units_parse_rate_per_s(const char *text, double *per_s) __attribute__((warn_unused_result));

/* A share of a whole, 0 to 1: 0.25. */
bool units_parse_ratio(const char *text, double *ratio) __attribute__((warn_unused_result));

/* So many in a time: 30/10s, 5/s. A plain 0 gives 0 and 0. */
bool units_parse_quota(const char *text, int64_t *count, int64_t *window_us)
    __attribute__((warn_unused_result));

/* A whole number in decimal. */
bool units_parse_int(const char *text, int64_t *value) __attribute__((warn_unused_result));

enum { UNITS_TEXT_SIZE = 32 };

/* The shortest exact way to write a duration or a size, as the parsers above read it. */
void units_format_duration_us(int64_t us, char text[UNITS_TEXT_SIZE]);
void units_format_size_bytes(int64_t bytes, char text[UNITS_TEXT_SIZE]);

/* A whole number in decimal, without the price of printf; returns its size. */
size_t units_format_int(int64_t value, char text[UNITS_TEXT_SIZE]);

#endif
