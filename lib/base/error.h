/* error.h - what went wrong, in one sentence a person can act on.
 *
 * A library call that can fail returns false and fills a struct error; it prints nothing. Only cmd/
 * decides to log, to retry or to leave. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/* The values are the exit codes of sysexits.h that a tool leaves with when the error ends it. */
enum error_code {
    ERROR_NONE = 0,
    ERROR_FOUND = 1,        /* a check found something */
    ERROR_USAGE = 64,       /* the command line is wrong */
    ERROR_DATA = 65,        /* input data is wrong */
    ERROR_UNAVAILABLE = 69, /* a service cannot be reached */
    ERROR_SOFTWARE = 70,    /* our bug */
    ERROR_RETRY = 75,       /* may succeed later */
    ERROR_CONFIG = 78,      /* a setting is wrong */
};

struct error {
    enum error_code code;
    char text[400];
};

/* Fills `error` with a code and a formatted sentence (cut to fit) and returns false, so that a
 * failing function can end with `return error_set(...)`. `error` may be NULL. */
bool error_set(struct error *error, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<formatted>: " before the sentence that is there; keeps the code. Returns false. */
bool error_wrap(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
