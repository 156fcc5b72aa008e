/* deadline.c - see deadline.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/deadline.h"

#include <stddef.h>

void deadline_clear(struct deadline *deadline)
{
    struct deadline_list *list = deadline->list;
    if (!list)
        return;
    *(deadline->previous ? &deadline->previous->next : &list->first) = deadline->next;
    *(deadline->next ? &deadline->next->previous : &list->last) = deadline->previous;
    deadline->list = NULL;
}

void deadline_set(struct deadline_list *list, struct deadline *deadline, void *owner,
                  int64_t due_us)
{
    deadline_clear(deadline);
    struct deadline *before = list->last;
    while (before && before->due_us > due_us)
        before = before->previous;
    struct deadline *after = before ? before->next : list->first;
    *deadline = (struct deadline){before, after, list, owner, due_us};
    *(before ? &before->next : &list->first) = deadline;
    *(after ? &after->previous : &list->last) = deadline;
}

void *deadline_take(struct deadline_list *list, int64_t now_us, int64_t *due_us)
{
    struct deadline *first = list->first;
    if (!first || first->due_us > now_us)
        return NULL;
    *due_us = first->due_us;
    deadline_clear(first);
    return first->owner;
}

int64_t deadline_earliest(const struct deadline_list *list)
{
    return list->first ? list->first->due_us : INT64_MAX;
}
