/* line.c - reads lines up to a bound. SPDX-License-Identifier: Apache-2.0 */
#include "base/line.h"

#include <stdlib.h>

static void line_grow(char **line, size_t *size)
{
    *size = *size ? *size * 2 : 256;
    *line = realloc(*line, *size);
    if (!*line)
        abort();
}

ssize_t line_get(char **line, size_t *size, size_t max, FILE *file)
{
    size_t length = 0;
    int c;
    flockfile(file);
    while ((c = getc_unlocked(file)) != EOF && length < max) {
        if (length + 1 >= *size)
            line_grow(line, size);
        (*line)[length++] = (char)c;
        if (c == '\n')
            break;
    }
    funlockfile(file);
    if (length)
        (*line)[length] = '\0';
    return length == max && c != '\n' && c != EOF ? -1 : (ssize_t)length;
}
