/* plan.c - which votes are to be sent: a file's, or a synthetic mix. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-load/load.h"

#include "vote/votes_csv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (!memory)
        abort();
    return memory;
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

static void vote_take(void *context, const struct csv_vote *row)
{
    struct plan *plan = context;
    struct planned_vote *vote = plan_add(plan);
    vote->timestamp_ms = row->timestamp_ms;
    vote->user = names_intern(&plan->users, row->user_id);
    vote->project = names_intern(&plan->projects, row->project_id);
    vote->value = (signed char)row->vote_type;
    /* keeps the file's order among equal timestamps until chained */
    vote->before = (uint32_t)row->line;
}

static int vote_compare(const void *left, const void *right)
{
    const struct planned_vote *a = left, *b = right;
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms < b->timestamp_ms ? -1 : 1;
    return a->before < b->before ? -1 : a->before > b->before;
}

bool plan_read_file(struct plan *plan, const char *path, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, ERROR_DATA, "unable to open %s: %s", path, strerror(errno));
    bool fine = votes_csv_read(file, vote_take, plan, error);
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
