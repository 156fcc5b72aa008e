/* template.h - what is purged for a vote: templates, read from lines as "key
 * cache:project:{project_id}". SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_TEMPLATE_H
#define INVALIDATE_TEMPLATE_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* In the order in which a window purges them: marks are raised before what they guard is gone. From
 * KIND_HTTP_FIRST on they are for HTTP caches, before for Redis. */
enum kind {
    KIND_MARK,
    KIND_KEY,
    KIND_TAG,
    KIND_PATTERN,
    KIND_SURROGATE,
    KIND_URL,
    KINDS,
    KIND_HTTP_FIRST = KIND_SURROGATE
};

extern const char *const kind_names[KINDS];

struct template
{
    enum kind kind;
    char *text; /* checked: every placeholder in it is known, every brace closes */
};

struct templates {
    struct template *list;
    size_t count;
};

/* Adds a line; its kind may be left out, and is `key` then. Blank lines and comments add nothing.
 * ERROR_CONFIG with a sentence that has the line in it. */
bool templates_add(struct templates *templates, const char *line, struct error *error)
    __attribute__((warn_unused_result));

/* Adds each line of `text`; errors name `source` and the number of the line. */
bool templates_add_lines(struct templates *templates, const char *source, const char *text,
                         struct error *error) __attribute__((warn_unused_result));

/* The same with a file's content, at most 64 KiB. */
bool templates_add_file(struct templates *templates, const char *path, struct error *error)
    __attribute__((warn_unused_result));

void templates_free(struct templates *templates);

/* Puts the template with both ids in it; a range stays as it is. */
void template_expand(const struct template *template, const char *project_id, const char *user_id,
                     struct buf *out);

/* A range {FROM..TO} in an expanded text: its numbers, and where it stands. False: there is none.
 */
struct range {
    size_t start, end; /* bytes of the text, braces included */
    int from, to;
};
bool range_find(const char *text, struct range *range);

#endif
