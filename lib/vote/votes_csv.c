/* votes_csv.c - reads votes.csv. SPDX-License-Identifier: Apache-2.0 */
#include "vote/votes_csv.h"

#include "base/line.h"
#include "base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, FIELDS_MAX = 16, CSV_LINE_MAX = 64 * 1024 };
static const char *const column_names[COLUMNS] = {"timestamp", "user_id", "project_id",
                                                  "vote_type"};

/* Spreadsheets write it before the header. */
#define UTF8_MARK "\xEF\xBB\xBF"

/* Cuts a line at its commas; returns how many fields it has, at most `max`. */
static int line_split(char *line, char **fields, int max)
{
    int count = 0;
    line[strcspn(line, "\r\n")] = '\0';
    while (line && count < max) {
        fields[count++] = line;
        line = strchr(line, ',');
        if (line)
            *line++ = '\0';
    }
    return count;
}

static bool header_read(char *line, int positions[COLUMNS], struct error *error)
{
    char *fields[FIELDS_MAX] = {0};
    int count = line_split(line, fields, FIELDS_MAX);
    for (int c = 0; c < COLUMNS; c++) {
        positions[c] = -1;
        for (int i = 0; i < count; i++) {
            if (!strcmp(fields[i], column_names[c]))
                positions[c] = i;
        }
        if (positions[c] < 0)
            return error_set(error, ERROR_DATA, "line 1: the header has no %s", column_names[c]);
    }
    return true;
}

static bool cell_refuse(const struct csv_vote *vote, const int positions[COLUMNS], int column,
                        const char *form, struct error *error)
{
    return error_set(error, ERROR_DATA, "line %ld, column %d: %s is not %s", vote->line,
                     positions[column] + 1, column_names[column], form);
}

static bool line_read(char *line, const int positions[COLUMNS], struct csv_vote *vote,
                      struct error *error)
{
    char *fields[FIELDS_MAX] = {0};
    const char *values[COLUMNS];
    int count = line_split(line, fields, FIELDS_MAX);
    for (int c = 0; c < COLUMNS; c++)
        values[c] = positions[c] < count ? fields[positions[c]] : "";
    vote->user_id = values[1];
    vote->project_id = values[2];
    if (!units_parse_int(values[0], &vote->timestamp_ms))
        return cell_refuse(vote, positions, 0, "milliseconds", error);
    for (int c = 1; c <= 2; c++) {
        if (!id_is_valid(values[c], strlen(values[c])))
            return cell_refuse(vote, positions, c, "an id", error);
    }
    return vote_type_parse(values[3], &vote->vote_type) ||
           cell_refuse(vote, positions, 3, "up, down or none", error);
}

bool votes_csv_read(FILE *file, void (*take)(void *context, const struct csv_vote *vote),
                    void *context, struct error *error)
{
    char *line = NULL;
    size_t size = 0;
    int positions[COLUMNS] = {0};
    struct csv_vote vote = {0};
    bool fine = true;
    ssize_t length;
    errno = 0;
    while (fine && (length = line_get(&line, &size, CSV_LINE_MAX, file)) != 0) {
        vote.line++;
        if (length < 0)
            fine = error_set(error, ERROR_DATA, "line %ld: is longer than %d bytes", vote.line,
                             CSV_LINE_MAX);
        else if (strlen(line) != (size_t)length)
            fine = error_set(error, ERROR_DATA, "line %ld: holds a NUL byte", vote.line);
        else if (vote.line == 1)
            fine = header_read(line + (strncmp(line, UTF8_MARK, 3) ? 0 : 3), positions, error);
        else if (line[strspn(line, "\r\n")] && (fine = line_read(line, positions, &vote, error)))
            take(context, &vote);
    }
    free(line);
    if (fine && ferror(file))
        return error_set(error, ERROR_DATA, "%s", strerror(errno));
    return fine && (vote.line > 0 || error_set(error, ERROR_DATA, "the file is empty"));
}
