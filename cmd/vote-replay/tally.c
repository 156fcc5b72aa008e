/* tally.c - what was done, or would be: by type, project and error class.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/hash.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 10, BAR = 30, NAME_MAX_SIZE = 65, GROUPS_MAX = 100000 };

/* Names and how often each came; a hash table with open addressing. */
struct group {
    size_t count, slot_count;
    int64_t others; /* those that found no room */
    struct entry {
        char name[NAME_MAX_SIZE];
        int64_t times;
    } * slots;
};

static const char *const verdict_names[] = {
    [VERDICT_SEND] = "sent",
    [VERDICT_FILTERED] = "not meant",
    [VERDICT_LOOPS] = "replayed too often",
    [VERDICT_HOMELESS] = "of unknown origin",
    [VERDICT_FORBIDDEN] = "for a topic outside vote.*",
};

static struct entry *entry_of(struct group *group, const char *name)
{
    size_t slot = hash_text(name) % group->slot_count;
    while (group->slots[slot].times && strcmp(group->slots[slot].name, name))
        slot = (slot + 1) % group->slot_count;
    return &group->slots[slot];
}

static void group_grow(struct group *group)
{
    struct group old = *group;
    group->slot_count = old.slot_count ? old.slot_count * 2 : 64;
    group->slots = calloc(group->slot_count, sizeof *group->slots);
    if (!group->slots)
        abort();
    for (size_t i = 0; i < old.slot_count; i++) {
        if (old.slots[i].times)
            *entry_of(group, old.slots[i].name) = old.slots[i];
    }
    free(old.slots);
}

/* Names come from records: what would move a cursor does not get to the terminal. */
static void group_add(struct group **owner, const char *text, size_t size)
{
    char name[NAME_MAX_SIZE] = "-";
    if (!*owner && !(*owner = calloc(1, sizeof **owner)))
        abort();
    struct group *group = *owner;
    size = size < NAME_MAX_SIZE ? size : NAME_MAX_SIZE - 1;
    for (size_t i = 0; i < size; i++)
        name[i] = text[i] > ' ' && text[i] < 0x7f ? text[i] : '?';
    name[size ? size : 1] = '\0';
    if (group->count * 2 >= group->slot_count)
        group_grow(group);
    struct entry *entry = entry_of(group, name);
    if (!entry->times && group->count == GROUPS_MAX) {
        group->others++;
        return;
    }
    group->count += !entry->times;
    memcpy(entry->name, name, sizeof name);
    entry->times++;
}

static void group_free(struct group *group)
{
    if (group)
        free(group->slots);
    free(group);
}

static void tally_detail(struct tally *tally, const struct item *item, const struct dead *dead)
{
    const struct envelope *envelope = &item->envelope;
    const void *type;
    size_t size;
    json_t *value =
        envelope->value ? json_loadb(envelope->value, envelope->value_size, 0, NULL) : NULL;
    const char *project = json_string_value(json_object_get(value, "project_id"));
    if (!envelope->headers ||
        rd_kafka_header_get_last(envelope->headers, "ce_type", &type, &size) || !type)
        size = 0;
    group_add(&tally->types, size ? type : "", size);
    group_add(&tally->projects, project ? project : "", project ? strlen(project) : 0);
    if (dead->is_dead) {
        struct buf class = {0};
        buf_format(&class, "%s%s%s", dead->class, *dead->exact ? "/" : "", dead->exact);
        group_add(&tally->classes, class.data, class.size);
        buf_free(&class);
    }
    json_decref(value);
}

void tally_add(struct tally *tally, enum verdict verdict, const struct item *item,
               const struct dead *dead, bool detailed)
{
    tally->total++;
    tally->verdicts[verdict]++;
    if (detailed && verdict == VERDICT_SEND)
        tally_detail(tally, item, dead);
}

static int entry_compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->times != b->times)
        return a->times > b->times ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void line_put(struct buf *out, const char *name, int64_t times, int64_t most)
{
    buf_format(out, "  %-40s %10lld ", name, (long long)times);
    for (int64_t i = 0; i < (times * BAR + most - 1) / most; i++)
        buf_char(out, '#');
    buf_char(out, '\n');
}

/* The most frequent ones, and in a line together those that are left. */
static void group_print(struct group *group, const char *title, struct buf *out)
{
    if (!group)
        return;
    int64_t rest = group->others;
    qsort(group->slots, group->slot_count, sizeof *group->slots, entry_compare);
    buf_format(out, "\nby %s (%zu):\n", title, group->count);
    for (size_t i = 0; i < group->count; i++) {
        if (i < TOP)
            line_put(out, group->slots[i].name, group->slots[i].times, group->slots[0].times);
        else
            rest += group->slots[i].times;
    }
    if (rest)
        line_put(out, "all others", rest,
                 rest > group->slots[0].times ? rest : group->slots[0].times);
}

void tally_print(const struct tally *tally, struct buf *out)
{
    buf_format(out, "%lld records, %lld would be sent\n", (long long)tally->total,
               (long long)tally->verdicts[VERDICT_SEND]);
    for (int v = VERDICT_FILTERED; v < VERDICTS; v++) {
        if (tally->verdicts[v])
            buf_format(out, "%lld %s\n", (long long)tally->verdicts[v], verdict_names[v]);
    }
    group_print(tally->types, "type", out);
    group_print(tally->projects, "project", out);
    group_print(tally->classes, "error class", out);
}

void tally_summary(const struct tally *tally, struct buf *out)
{
    for (int v = VERDICT_SEND; v < VERDICTS; v++) {
        if (tally->verdicts[v] || v == VERDICT_SEND)
            buf_format(out, "%s%lld %s", v ? ", " : "", (long long)tally->verdicts[v],
                       verdict_names[v]);
    }
}

void tally_free(struct tally *tally)
{
    group_free(tally->types);
    group_free(tally->projects);
    group_free(tally->classes);
}
