/* projects.c - vote-admin projects: imports a CSV of projects, all of its lines or none, and
 * exports one that an import takes back. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"
#include "vote/ids.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER   "project_id,owner_id"
#define AN_ID_IS "1 to 64 characters out of A-Z a-z 0-9 . _ : -"

enum { LINE_SIZE = 512 };

struct import {
    struct buf projects, owners; /* Postgres arrays */
    int64_t line;                /* of the file, from 1 */
};

static bool import_refuse(const struct import *import, const char *what, struct error *error)
{
    return error_set(error, ERROR_DATA, "line %lld: %s", (long long)import->line, what);
}

/* A field may stand in quotes, as spreadsheets write it; an id never needs them. */
static char *field_unquote(char *field)
{
    size_t size = strlen(field);
    if (size < 2 || field[0] != '"' || field[size - 1] != '"')
        return field;
    field[size - 1] = '\0';
    return field + 1;
}

/* project_id,owner_id; the owner may be empty or left out. */
static bool import_line(struct import *import, char *line, struct error *error)
{
    char *owner = strchr(line, ',');
    if (*line == '\0')
        return true;
    if (owner)
        *owner++ = '\0';
    char *project = field_unquote(line);
    owner = owner ? field_unquote(owner) : project + strlen(project);
    if (!id_is_valid(project, strlen(project)))
        return import_refuse(import, "project_id is not " AN_ID_IS, error);
    if (*owner && !id_is_valid(owner, strlen(owner)))
        return import_refuse(import, "owner_id is not " AN_ID_IS, error);
    pg_array_text(&import->projects, project);
    pg_array_text(&import->owners, *owner ? owner : NULL);
    return true;
}

static bool import_header(const struct import *import, const char *line, struct error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    if (!strncmp(line, byte_order_mark, strlen(byte_order_mark)))
        line += strlen(byte_order_mark);
    return !strcmp(line, HEADER) || import_refuse(import, "the header is not " HEADER, error);
}

/* Reads a line and cuts its end: 1; 0 at the end of the file; -1 when it is no line of text. */
static int line_read(char line[LINE_SIZE], FILE *file)
{
    size_t size = 0;
    int c;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (c == '\0' || size + 1 == LINE_SIZE)
            return -1;
        line[size++] = (char)c;
    }
    if (size && line[size - 1] == '\r')
        size--;
    line[size] = '\0';
    return c != EOF || size > 0;
}

static bool import_read(struct import *import, FILE *file, struct error *error)
{
    char line[LINE_SIZE];
    bool fine = true;
    int got;
    while (fine && (got = line_read(line, file)) != 0) {
        import->line++;
        if (got < 0)
            fine = import_refuse(import, "project_id is too long, or the file is no text", error);
        else if (import->line == 1)
            fine = import_header(import, line, error);
        else
            fine = import_line(import, line, error);
    }
    if (fine && ferror(file))
        return error_set(error, ERROR_DATA, "unable to read: %s", strerror(errno));
    if (fine && import->line == 0)
        return error_set(error, ERROR_DATA, "the file is empty: its header is " HEADER);
    return fine;
}

/* One statement, so one transaction. Of a project that is there twice the last line counts. In
 * order of id, as vote.apply locks them, so that the two cannot deadlock. */
static const char import_sql[] =
    "with given as (select distinct on (id) id, owner "
    "        from unnest($1::text[], $2::text[]) with ordinality as g (id, owner, line) "
    "       order by id, line desc), "
    "     written as (insert into vote.projects as p (project_id, owner_id) "
    "         select id, owner from given order by id "
    "         on conflict (project_id) do update set owner_id = excluded.owner_id "
    "         returning xmax = 0 as is_new) "
    "select count(*), count(*) filter (where is_new) from written";

static bool import_write(struct import *import, const char *url, struct error *error)
{
    struct pg pg = {.url = url, .name = "vote-admin"};
    const char *parameters[] = {pg_array_end(&import->projects), pg_array_end(&import->owners)};
    PGresult *rows = pg_query(&pg, import_sql, 2, parameters, error);
    if (rows)
        printf("imported %s projects (%s new)\n", PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1));
    PQclear(rows);
    pg_close(&pg);
    return rows != NULL;
}

static bool import_file(struct import *import, const char *path, struct error *error)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!file)
        return error_set(error, ERROR_DATA, "unable to open %s: %s", path, strerror(errno));
    bool fine = import_read(import, file, error);
    if (file != stdin)
        fclose(file);
    return fine || error_wrap(error, "%s", strcmp(path, "-") ? path : "stdin");
}

/* Some lines at a time; *count is how many. */
static bool export_part(struct pg *pg, int *count, struct error *error)
{
    PGresult *rows = pg_query(pg, "fetch 10000 from exported", 0, NULL, error);
    *count = rows ? PQntuples(rows) : 0;
    for (int row = 0; row < *count; row++)
        printf("%s,%s\n", PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1));
    PQclear(rows);
    return rows != NULL;
}

/* All of it is of one moment. */
static bool projects_export(const char *url, struct error *error)
{
    struct pg pg = {.url = url, .name = "vote-admin"};
    int count = 1;
    PGresult *begun = pg_query(&pg,
                               "begin; declare exported cursor for "
                               "select project_id, owner_id from vote.projects order by project_id",
                               0, NULL, error);
    bool fine = begun != NULL;
    PQclear(begun);
    if (fine)
        puts(HEADER);
    while (fine && count)
        fine = export_part(&pg, &count, error);
    pg_close(&pg);
    return fine;
}

bool projects_run(void *context, const struct options *options, struct log *log,
                  struct error *error)
{
    (void)log;
    const struct admin_config *config = context;
    const char *verb = options->argument_count ? options->arguments[0] : "";
    struct import import = {0};
    if (options->argument_count == 1 && !strcmp(verb, "export"))
        return projects_export(config->pg.url, error);
    if (options->argument_count != 2 || strcmp(verb, "import") != 0)
        return error_set(error, ERROR_USAGE, "projects takes: import FILE, or export");
    bool fine = import_file(&import, options->arguments[1], error) &&
                import_write(&import, config->pg.url, error);
    buf_free(&import.projects);
    buf_free(&import.owners);
    return fine;
}
