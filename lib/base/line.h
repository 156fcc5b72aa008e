/* line.h - lines of a file that somebody else has made. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LINE_H
#define BASE_LINE_H

#include <stdio.h>
#include <sys/types.h>

/* Reads the next line with its newline, as getline (POSIX) does, but never more than `max` bytes of
 * it. *line (NULL at first) is grown in `*size` and freed by the caller. Returns its length, which
 * has no NUL behind it counted, 0 at the end or when reading failed (see ferror), or -1 when the
 * line is longer than `max`. */
ssize_t line_get(char **line, size_t *size, size_t max, FILE *file);

#endif
