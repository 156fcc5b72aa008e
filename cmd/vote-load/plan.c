/* plan.c - which votes are to be sent: a file's, or a synthetic mix. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-load/load.h"

#include "base/hash.h"
#include "base/units.h"
#include "vote/event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4 };
static const char *const column_names[COLUMNS] = {"timestamp", "user_id", "project_id",
                                                  "vote_type"};

/* Spreadsheets write it before the header. */
#define UTF8_MARK "\xEF\xBB\xBF"

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (!memory)
        abort();
    return memory;
}

static void names_rehash(struct names *names)
{
    free(names->slots);
    names->slot_count = names->slot_count ? names->slot_count * 2 : 1024;
    names->slots = calloc(names->slot_count, sizeof *names->slots);
    if (!names->slots)
        abort();
    for (size_t i = 0; i < names->count; i++) {
        size_t slot = hash_text(names->text[i]) % names->slot_count;
        while (names->slots[slot])
            slot = (slot + 1) % names->slot_count;
        names->slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t names_intern(struct names *names, const char *text)
{
    if (names->count * 2 >= names->slot_count)
        names_rehash(names);
    size_t slot = hash_text(text) % names->slot_count;
    for (; names->slots[slot]; slot = (slot + 1) % names->slot_count) {
        if (!strcmp(names->text[names->slots[slot] - 1], text))
            return names->slots[slot] - 1;
    }
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 256;
        names->text = grown(names->text, names->capacity * sizeof *names->text);
    }
    snprintf(names->text[names->count], VOTE_ID_SIZE, "%s", text);
    names->slots[slot] = (uint32_t)names->count + 1;
    return (uint32_t)names->count++;
}

void names_free(struct names *names)
{
    free(names->text);
    free(names->slots);
}

static size_t chain_slot(const struct plan *plan, uint32_t user, uint32_t project)
{
    uint64_t hash = (((uint64_t)user << 32) | project) * 0x9E3779B97F4A7C15u;
    size_t slot = (hash ^ (hash >> 29)) % plan->chain_slot_count;
    for (; plan->chain_slots[slot]; slot = (slot + 1) % plan->chain_slot_count) {
        const struct planned_vote *vote = &plan->votes[plan->chain_slots[slot] - 1];
        if (vote->user == user && vote->project == project)
            break;
    }
    return slot;
}

/* Hangs vote `at` behind the last one of its user and project. */
static void chain_append(struct plan *plan, size_t at)
{
    struct planned_vote *vote = &plan->votes[at];
    size_t slot = chain_slot(plan, vote->user, vote->project);
    vote->after = NO_VOTE;
    vote->before = plan->chain_slots[slot] ? plan->chain_slots[slot] - 1 : NO_VOTE;
    if (vote->before != NO_VOTE)
        plan->votes[vote->before].after = (uint32_t)at;
    plan->chain_slots[slot] = (uint32_t)at + 1;
}

/* Chains the votes from `from` on, making room first. */
static void plan_chain(struct plan *plan, size_t from)
{
    if (plan->count * 2 >= plan->chain_slot_count) {
        free(plan->chain_slots);
        plan->chain_slot_count = plan->count * 4;
        plan->chain_slots = calloc(plan->chain_slot_count, sizeof *plan->chain_slots);
        if (!plan->chain_slots)
            abort();
        for (size_t i = 0; i < from; i++)
            plan->chain_slots[chain_slot(plan, plan->votes[i].user, plan->votes[i].project)] =
                (uint32_t)i + 1;
    }
    for (size_t i = from; i < plan->count; i++)
        chain_append(plan, i);
}

static struct planned_vote *plan_add(struct plan *plan)
{
    if (plan->count == plan->capacity) {
        plan->capacity = plan->capacity ? plan->capacity * 2 : 1024;
        plan->votes = grown(plan->votes, plan->capacity * sizeof *plan->votes);
    }
    plan->votes[plan->count] = (struct planned_vote){.state = PLANNED};
    return &plan->votes[plan->count++];
}

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
    char *fields[16] = {0};
    int count = line_split(line, fields, 16);
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

static bool line_read(struct plan *plan, char *line, const int positions[COLUMNS], long number,
                      struct error *error)
{
    char *fields[16] = {0};
    const char *values[COLUMNS];
    enum vote_type type;
    int64_t timestamp_ms;
    int count = line_split(line, fields, 16);
    for (int c = 0; c < COLUMNS; c++)
        values[c] = positions[c] < count ? fields[positions[c]] : "";
    if (!units_parse_int(values[0], &timestamp_ms))
        return error_set(error, ERROR_DATA, "line %ld: timestamp is not milliseconds", number);
    for (int c = 1; c <= 2; c++) {
        if (!id_is_valid(values[c], strlen(values[c])))
            return error_set(error, ERROR_DATA, "line %ld: %s is not an id", number,
                             column_names[c]);
    }
    if (!vote_type_parse(values[3], &type))
        return error_set(error, ERROR_DATA, "line %ld: vote_type is not up, down or none", number);
    struct planned_vote *vote = plan_add(plan);
    vote->timestamp_ms = timestamp_ms;
    vote->user = names_intern(&plan->users, values[1]);
    vote->project = names_intern(&plan->projects, values[2]);
    vote->value = (signed char)type;
    vote->before =
        (uint32_t)number; /* keeps the file's order among equal timestamps until chained */
    return true;
}

static int vote_compare(const void *left, const void *right)
{
    const struct planned_vote *a = left, *b = right;
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms < b->timestamp_ms ? -1 : 1;
    return a->before < b->before ? -1 : a->before > b->before;
}

static bool lines_read(struct plan *plan, FILE *file, struct error *error)
{
    char *line = NULL;
    size_t size = 0;
    int positions[COLUMNS] = {0};
    long number = 0;
    bool fine = true;
    ssize_t length;
    errno = 0;
    while (fine && (length = getline(&line, &size, file)) >= 0) {
        number++;
        if (strlen(line) != (size_t)length)
            fine = error_set(error, ERROR_DATA, "line %ld: holds a NUL byte", number);
        else if (number == 1)
            fine = header_read(line + (strncmp(line, UTF8_MARK, 3) ? 0 : 3), positions, error);
        else if (line[strspn(line, "\r\n")])
            fine = line_read(plan, line, positions, number, error);
    }
    free(line);
    if (fine && ferror(file))
        return error_set(error, ERROR_DATA, "%s", strerror(errno));
    return fine && (number > 0 || error_set(error, ERROR_DATA, "the file is empty"));
}

bool plan_read_file(struct plan *plan, const char *path, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, ERROR_DATA, "unable to open %s: %s", path, strerror(errno));
    bool fine = lines_read(plan, file, error);
    fclose(file);
    if (!fine)
        return error_wrap(error, "%s", path);
    if (plan->count)
        qsort(plan->votes, plan->count, sizeof *plan->votes, vote_compare);
    plan_chain(plan, 0);
    return true;
}

/* xorshift64*: repeatable from a seed on every machine. */
static uint64_t plan_random(struct plan *plan)
{
    plan->random ^= plan->random >> 12;
    plan->random ^= plan->random << 25;
    plan->random ^= plan->random >> 27;
    return plan->random * 2685821657736338717u;
}

void plan_add_mix(struct plan *plan, const struct load_config *config, size_t count)
{
    char id[VOTE_ID_SIZE];
    size_t from = plan->count;
    if (plan->random == 0)
        plan->random = (uint64_t)config->seed * 2 + 1;
    for (size_t i = 0; i < count; i++) {
        bool hot = (double)(plan_random(plan) >> 11) / 9007199254740992.0 < config->hot;
        uint64_t project = hot ? 1 : plan_random(plan) % (uint64_t)config->projects + 1;
        struct planned_vote *vote = plan_add(plan);
        snprintf(id, sizeof id, "u%" PRIu64, plan_random(plan) % (uint64_t)config->users + 1);
        vote->user = names_intern(&plan->users, id);
        snprintf(id, sizeof id, "p%" PRIu64, project);
        vote->project = names_intern(&plan->projects, id);
        vote->value = (signed char)(plan_random(plan) % 3) - 1;
    }
    plan_chain(plan, from);
}

void plan_free(struct plan *plan)
{
    free(plan->votes);
    free(plan->chain_slots);
    names_free(&plan->users);
    names_free(&plan->projects);
}
