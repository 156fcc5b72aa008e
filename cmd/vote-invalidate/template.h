/* template.h - which caches a change is in, by rules like "key cache:project:{project_id}".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "base/buf.h"
#include "base/error.h"
#include "vote-invalidate/dirty.h"

enum target {
    TARGET_KEY,       /* a key of Redis */
    TARGET_TAG,       /* a set of Redis: its members are keys, and leave it with them */
    TARGET_PATTERN,   /* keys of Redis that match, found by SCAN */
    TARGET_URL,       /* a path, for PURGE of each HTTP cache */
    TARGET_SURROGATE, /* a surrogate key of the HTTP caches */
    TARGETS
};
extern const char *const target_names[TARGETS];

struct template
{
    enum target target;
    enum subject subject; /* whose id stands in it */
    char *text;
};

struct templates {
    struct template *list;
    size_t count;
};

/* Adds a rule: one of target_names, blanks, and a text with at most one of {project_id} and
 * {user_id}. ERROR_CONFIG: it is none; the sentence says why. */
bool templates_add(struct templates *templates, const char *rule, struct error *error)
    __attribute__((warn_unused_result));

/* Adds the rules of a file, a line each; blank lines and those that begin with # are passed over.
 * NULL: what is shipped as pipelines/local/invalidate.keys. */
bool templates_add_file(struct templates *templates, const char *file, struct error *error)
    __attribute__((warn_unused_result));

bool templates_have(const struct templates *templates, enum target target);
void templates_free(struct templates *templates);

/* Appends the text for an id. */
void template_expand(const struct template *template, const char *id, struct buf *out);

#endif
