/* template.c - what is purged for a vote. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 256, FILE_BYTES_MAX = 64 * 1024, RANGE_MAX = 1000 };

const char *const kind_names[KINDS] = {"mark", "key", "tag", "pattern", "surrogate", "url"};

static const char project_placeholder[] = "{project_id}", user_placeholder[] = "{user_id}";

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* Reads {FROM..TO} at the start of `text`; returns its length, or 0 when there is none. */
static size_t range_read(const char *text, int *from, int *to)
{
    int length = 0;
    if (sscanf(text, "{%5d..%5d}%n", from, to, &length) != 2 || length == 0)
        return 0;
    return *from >= 0 && *to >= *from && *to - *from < RANGE_MAX ? (size_t)length : 0;
}

bool range_find(const char *text, struct range *range)
{
    for (const char *at = strchr(text, '{'); at; at = strchr(at + 1, '{')) {
        size_t length = range_read(at, &range->from, &range->to);
        if (!length)
            continue;
        range->start = (size_t)(at - text);
        range->end = range->start + length;
        return true;
    }
    return false;
}

/* The length of the placeholder at the start of `text`, which is a brace; 0: it is none. */
static size_t placeholder_length(enum kind kind, const char *text)
{
    int from, to;
    if (starts_with(text, project_placeholder))
        return sizeof project_placeholder - 1;
    if (starts_with(text, user_placeholder))
        return sizeof user_placeholder - 1;
    return kind == KIND_KEY ? range_read(text, &from, &to) : 0;
}

static bool refuse(const char *text, const char *why, struct error *error)
{
    return error_set(error, ERROR_CONFIG, "\"%s\": %s", text, why);
}

/* A brace that stands for itself, as in {{project_id}}, lets a cluster's hash tag be written. */
static bool braces_check(enum kind kind, const char *text, struct error *error)
{
    int open = 0, ranges = 0;
    for (const char *at = text; *at; at++) {
        size_t length = *at == '{' ? placeholder_length(kind, at) : 0;
        if (length) {
            ranges += isdigit((unsigned char)at[1]) != 0;
            at += length - 1;
        } else if (*at == '{' && at[1] != '{') {
            return refuse(text,
                          kind == KIND_KEY
                              ? "in braces there may be project_id, user_id, or a range as 1..100"
                              : "in braces there may be project_id or user_id",
                          error);
        } else if (*at == '{') {
            open++;
        } else if (*at == '}' && --open < 0) {
            return refuse(text, "a brace closes that was never opened", error);
        }
    }
    if (open)
        return refuse(text, "a brace is never closed", error);
    return ranges <= 1 || refuse(text, "there may be one range", error);
}

/* What SCAN takes for a wildcard would purge more than is written there. */
static bool wildcard_check(enum kind kind, const char *text, struct error *error)
{
    size_t size = strlen(text);
    bool ends = text[size - 1] == '*';
    if (kind != KIND_PATTERN)
        return !ends || kind >= KIND_HTTP_FIRST ||
               refuse(text, "ends in *: write \"pattern\" before it to purge by SCAN", error);
    if (!ends)
        return refuse(text, "a pattern ends in *", error);
    if (size < 2 || strcspn(text, "*?[]\\") != size - 1)
        return refuse(text, "a pattern is a fixed start and a * at its end", error);
    return true;
}

static bool text_check(enum kind kind, const char *text, struct error *error)
{
    if (!*text)
        return error_set(error, ERROR_CONFIG, "%s: the template is missing", kind_names[kind]);
    if (strlen(text) > TEXT_MAX)
        return error_set(error, ERROR_CONFIG, "a template is longer than %d bytes", TEXT_MAX);
    for (const char *at = text; *at; at++) {
        if (!isgraph((unsigned char)*at))
            return refuse(text, "a template is printable ASCII without blanks", error);
    }
    if (kind == KIND_URL && *text != '/')
        return refuse(text, "a url is a path that starts with /", error);
    if (kind < KIND_HTTP_FIRST && starts_with(text, "vote:"))
        return refuse(text, "keys that start with vote: are the pipeline's own", error);
    return braces_check(kind, text, error) && wildcard_check(kind, text, error);
}

static bool kind_read(const char *line, size_t size, enum kind *kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (strlen(kind_names[i]) == size && !strncmp(line, kind_names[i], size)) {
            *kind = (enum kind)i;
            return true;
        }
    }
    return false;
}

static void templates_keep(struct templates *templates, enum kind kind, char *text)
{
    templates->list = reallocarray(templates->list, templates->count + 1, sizeof *templates->list);
    if (!templates->list)
        abort();
    templates->list[templates->count++] = (struct template){.kind = kind, .text = text};
}

bool templates_add(struct templates *templates, const char *line, struct error *error)
{
    enum kind kind = KIND_KEY;
    line += strspn(line, " \t");
    size_t size = strcspn(line, "\r\n");
    while (size && isblank((unsigned char)line[size - 1]))
        size--;
    if (!size || *line == '#')
        return true;
    size_t word = strcspn(line, " \t\r\n");
    if (word < size && !kind_read(line, word, &kind))
        return error_set(
            error, ERROR_CONFIG,
            "\"%.*s\" is no kind: there are mark, key, tag, pattern, surrogate and url", (int)word,
            line);
    if (word < size) {
        word += strspn(line + word, " \t");
        line += word;
        size -= word;
    }
    char *text = strndup(line, size);
    if (!text)
        abort();
    if (text_check(kind, text, error)) {
        templates_keep(templates, kind, text);
        return true;
    }
    free(text);
    return false;
}

bool templates_add_lines(struct templates *templates, const char *source, const char *text,
                         struct error *error)
{
    for (int number = 1; *text; number++) {
        size_t size = strcspn(text, "\n");
        char *line = strndup(text, size);
        if (!line)
            abort();
        bool added = templates_add(templates, line, error);
        free(line);
        if (!added)
            return error_wrap(error, "%s: line %d", source, number);
        text += size + (text[size] == '\n');
    }
    return true;
}

bool templates_add_file(struct templates *templates, const char *path, struct error *error)
{
    char content[FILE_BYTES_MAX + 1];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, ERROR_CONFIG, "unable to open %s: %s", path, strerror(errno));
    size_t size = fread(content, 1, FILE_BYTES_MAX, file);
    bool failed = ferror(file) || getc(file) != EOF;
    fclose(file);
    content[size] = '\0';
    if (failed || strlen(content) != size)
        return error_set(error, ERROR_CONFIG, "unable to read %s: no text, or over 64KiB", path);
    return templates_add_lines(templates, path, content, error);
}

void templates_free(struct templates *templates)
{
    for (size_t i = 0; i < templates->count; i++)
        free(templates->list[i].text);
    free(templates->list);
    *templates = (struct templates){0};
}

void template_expand(const struct template *template, const char *project_id, const char *user_id,
                     struct buf *out)
{
    const char *at = template->text;
    while (*at) {
        if (starts_with(at, project_placeholder)) {
            buf_text(out, project_id);
            at += sizeof project_placeholder - 1;
        } else if (starts_with(at, user_placeholder)) {
            buf_text(out, user_id);
            at += sizeof user_placeholder - 1;
        } else {
            buf_char(out, *at++);
        }
    }
}
