/* filter.c - which records of a topic are meant. SPDX-License-Identifier: Apache-2.0 */
#include "vote/filter.h"

#include "vote/event.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const action_words[] = {"created", "changed", "removed", "unchanged", NULL};

#define AT(member) .offset = offsetof(struct filter, member)
/* clang-format off */
const struct option filter_options[] = {
    {.name = "user", .type = OPTION_TEXT, AT(user), .argument = "ID", .flags = OPTION_FLAG_ONLY,
     .summary = "only this user's"},
    {.name = "project", .type = OPTION_TEXT, AT(project), .argument = "ID",
     .flags = OPTION_FLAG_ONLY, .summary = "only this project's"},
    {.name = "action", .type = OPTION_TEXT, AT(action), .argument = "ACTION",
     .flags = OPTION_FLAG_ONLY, .choices = action_words,
     .summary = "created, changed, removed, unchanged"},
    {.name = "request", .type = OPTION_TEXT, AT(request), .argument = "ID",
     .flags = OPTION_FLAG_ONLY, .summary = "only this request"},
};
/* clang-format on */
_Static_assert(sizeof filter_options / sizeof *filter_options == FILTER_OPTION_COUNT, "its count");

enum { NEEDLE_SIZE = VOTE_ID_SIZE + 2 };

static bool id_check(const char *flag, const char *id, struct error *error)
{
    return !id || id_is_valid(id, strlen(id)) ||
           error_set(error, ERROR_USAGE,
                     "--%s: \"%s\" is not 1 to 64 characters out of "
                     "A-Z a-z 0-9 . _ : -",
                     flag, id);
}

bool filter_check(const struct filter *filter, struct error *error)
{
    enum vote_action action;
    if (filter->action && !vote_action_parse(filter->action, &action))
        return error_set(error, ERROR_USAGE,
                         "--action: \"%s\" is not created, changed, removed or "
                         "unchanged",
                         filter->action);
    return id_check("user", filter->user, error) && id_check("project", filter->project, error) &&
           id_check("request", filter->request, error);
}

/* What is wanted has no character that JSON must escape: so where no backslash is, it stands there
 * as it is between quotes, or it is not there. This spares most records the parser. */
static bool may_hold(const void *value, size_t size, const char *wanted)
{
    char needle[NEEDLE_SIZE + 1];
    int length = snprintf(needle, sizeof needle, "\"%s\"", wanted);
    return memmem(value, size, needle, (size_t)length) || memchr(value, '\\', size);
}

static bool member_is(const json_t *object, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(object, name));
    return !wanted || (text && !strcmp(text, wanted));
}

bool filter_match(const struct filter *filter, const void *value, size_t size)
{
    const char *const wanted[] = {filter->request, filter->user, filter->project, filter->action};
    bool any = false;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (wanted[i] && (!value || !may_hold(value, size, wanted[i])))
            return false;
        any = any || wanted[i];
    }
    if (!any)
        return true;
    json_t *object = json_loadb(value, size, 0, NULL);
    bool matches = member_is(object, "user_id", filter->user) &&
                   member_is(object, "project_id", filter->project) &&
                   member_is(object, "action", filter->action) &&
                   member_is(object, "request_id", filter->request);
    json_decref(object);
    return matches;
}
