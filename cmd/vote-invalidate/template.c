/* template.c - see template.h. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const target_names[TARGETS] = {"key", "tag", "pattern", "url", "surrogate"};

static const char PROJECT[] = "{project_id}", USER[] = "{user_id}";

/* The same as in pipelines/local/invalidate.keys; a test compares them. */
static const char *const shipped[] = {
    "key cache:project:{project_id}", "key cache:user:{user_id}:votes", "pattern cache:feed:*",
    "pattern cache:leaderboard:*",    "surrogate project-{project_id}", "surrogate leaderboard",
};

static const char *placeholder_at(const char *text)
{
    return !strncmp(text, PROJECT, sizeof PROJECT - 1) ? PROJECT
           : !strncmp(text, USER, sizeof USER - 1)     ? USER
                                                       : NULL;
}

/* Finds the placeholder. Braces of their own are fine, as in Redis' hash tags: {{project_id}}. */
static bool text_check(struct template *template, struct error *error)
{
    template->subject = SUBJECT_ALL;
    for (const char *at = template->text; *at; at++) {
        const char *placeholder = placeholder_at(at);
        size_t word = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return error_set(error, ERROR_CONFIG, "\"%s\" has a blank in it", template->text);
        if (!placeholder && *at == '{' && at[1 + word] == '}' && word > 0)
            return error_set(error, ERROR_CONFIG, "\"%s\": %.*s is neither %s nor %s",
                             template->text, (int)word + 2, at, PROJECT, USER);
        if (placeholder && template->subject != SUBJECT_ALL)
            return error_set(error, ERROR_CONFIG, "\"%s\" has more than one placeholder",
                             template->text);
        if (placeholder)
            template->subject = placeholder == PROJECT ? SUBJECT_PROJECT : SUBJECT_USER;
    }
    if (template->target == TARGET_URL && template->text[0] != '/')
        return error_set(error, ERROR_CONFIG, "\"%s\" is no path: it begins with no /",
                         template->text);
    return true;
}

static bool target_parse(const char *word, size_t size, enum target *target)
{
    for (int i = 0; i < TARGETS; i++) {
        if (strlen(target_names[i]) == size && !strncmp(target_names[i], word, size)) {
            *target = (enum target)i;
            return true;
        }
    }
    return false;
}

bool templates_add(struct templates *templates, const char *rule, struct error *error)
{
    static const char BLANKS[] = " \t";
    struct template template = {0};
    rule += strspn(rule, BLANKS);
    size_t word = strcspn(rule, BLANKS);
    const char *text = rule + word + strspn(rule + word, BLANKS);
    if (!target_parse(rule, word, &template.target) || !*text)
        return error_set(error, ERROR_CONFIG,
                         "\"%s\" is no rule: key, tag, pattern, url or surrogate, and a text",
                         rule);
    template.text = strdup(text);
    if (!template.text)
        abort();
    for (size_t end = strlen(text); end > 0 && strchr(BLANKS, text[end - 1]); end--)
        template.text[end - 1] = 0;
    if (!text_check(&template, error)) {
        free(template.text);
        return false;
    }
    templates->list = realloc(templates->list, (templates->count + 1) * sizeof template);
    if (!templates->list)
        abort();
    templates->list[templates->count++] = template;
    return true;
}

static bool add_shipped(struct templates *templates, struct error *error)
{
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++)
        if (!templates_add(templates, shipped[i], error))
            return false;
    return true;
}

bool templates_add_file(struct templates *templates, const char *file, struct error *error)
{
    char line[512];
    int number = 0;
    bool fine = true;
    if (!file)
        return add_shipped(templates, error);
    FILE *stream = fopen(file, "r");
    if (!stream)
        return error_set(error, ERROR_CONFIG, "unable to read %s: %s", file, strerror(errno));
    while (fine && fgets(line, sizeof line, stream)) {
        number++;
        line[strcspn(line, "\r\n")] = 0;
        const char *rule = line + strspn(line, " \t");
        if (*rule && *rule != '#')
            fine =
                templates_add(templates, rule, error) || error_wrap(error, "%s:%d", file, number);
    }
    fclose(stream);
    return fine;
}

bool templates_have(const struct templates *templates, enum target target)
{
    for (size_t i = 0; i < templates->count; i++)
        if (templates->list[i].target == target)
            return true;
    return false;
}

void templates_free(struct templates *templates)
{
    for (size_t i = 0; i < templates->count; i++)
        free(templates->list[i].text);
    free(templates->list);
    *templates = (struct templates){0};
}

void template_expand(const struct template *template, const char *id, struct buf *out)
{
    for (const char *at = template->text; *at; at++) {
        const char *placeholder = placeholder_at(at);
        if (placeholder) {
            buf_text(out, id);
            at += strlen(placeholder) - 1;
        } else {
            buf_char(out, *at);
        }
    }
}
