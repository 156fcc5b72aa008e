/* deadline.h - many deadlines of few durations: each duration has a list, in which a new deadline
 * nearly always goes last, so that setting and clearing one costs nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <stdint.h>

struct deadline_list;

/* Zero-initialised is not set. */
struct deadline {
    struct deadline *previous, *next;
    struct deadline_list *list; /* NULL: not set */
    void *owner;
    int64_t due_us; /* monotonic */
};

struct deadline_list {
    struct deadline *first, *last;
};

/* Sets, or sets anew, in whatever list it was. */
void deadline_set(struct deadline_list *list, struct deadline *deadline, void *owner,
                  int64_t due_us);
void deadline_clear(struct deadline *deadline); /* fine when it is not set */

/* The owner of the earliest deadline that has come, which is cleared; NULL: none has. */
void *deadline_take(struct deadline_list *list, int64_t now_us, int64_t *due_us);

/* When the earliest is due; INT64_MAX: there is none. */
int64_t deadline_earliest(const struct deadline_list *list);

#endif
