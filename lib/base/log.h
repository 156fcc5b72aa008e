/* log.h - one line an event on stderr, as logfmt or JSON. Only cmd/ logs; a library returns errors.
 * Never log a token; a vote's body only at debug level. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log {
    const char *tool;
    int level;  /* enum log_level: what is below is not written */
    int format; /* enum log_format */
    int fd;
};

enum log_kind { LOG_END, LOG_KIND_TEXT, LOG_KIND_INT, LOG_KIND_REAL };

/* One key and value of a line. Keys are [a-z_]+ with the unit in the name: latency_ms. */
struct log_field {
    const char *key;
    enum log_kind kind;
    const char *text;
    int64_t number;
    double real;
};

#define LOG_STR(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_TEXT, .text = (v)})
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .number = (v)})
#define LOG_REAL(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_REAL, .real = (v)})

/* LOG_EVENT(log, LOG_INFO, "batch committed", LOG_INT("votes", n), LOG_REAL("latency_ms", ms)); */
#define LOG_EVENT(log, level, ...)                                                                 \
    log_write((log), (level), LOG_FIRST(__VA_ARGS__, 0),                                           \
              (struct log_field[]){{0} LOG_REST(__VA_ARGS__), {0}} + 1)
#define LOG_FIRST(first, ...) first
#define LOG_REST(first, ...)  __VA_OPT__(, ) __VA_ARGS__

/* Writes one line with one write(2), so that lines of several threads never mix. `fields` ends with
 * a LOG_END. */
void log_write(const struct log *log, enum log_level level, const char *message,
               const struct log_field *fields);

/* "message: error text" at the given level. */
void log_error(const struct log *log, enum log_level level, const char *message,
               const struct error *error);

#endif
