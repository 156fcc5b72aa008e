/* error.c - what went wrong, in one sentence. SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

bool error_set(struct error *error, enum error_code code, const char *format, ...)
{
    if (!error)
        return false;
    va_list args;
    va_start(args, format);
    error->code = code;
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

bool error_wrap(struct error *error, const char *format, ...)
{
    if (!error)
        return false;
    struct buf text = {0};
    char before[sizeof error->text];
    va_list args;
    va_start(args, format);
    vsnprintf(before, sizeof before, format, args);
    va_end(args);
    buf_format(&text, "%s: %s", before, error->text);
    error_set(error, error->code, "%s", text.data);
    buf_free(&text);
    return false;
}
