/* project.c - the projects that somebody looks at: their newest committed counts, and when they are
 * told.
 *
 * A project has at most one public event in --conflate, always the newest. The first change after a
 * quiet time is told at once; the project is then "cooling", and what comes meanwhile waits for the
 * end of it. All cool for the same time, so the list of those that do is in order by itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct project *project_find(struct notify *notify, const char *project_id)
{
    uint64_t hash = table_hash(&notify->projects, project_id, strlen(project_id));
    struct table_node *node = table_first(&notify->projects, hash);
    while (node && strcmp(((struct project *)node)->id, project_id) != 0)
        node = table_next(node);
    return (struct project *)node;
}

struct project *project_take(struct notify *notify, const char *project_id)
{
    struct project *project = project_find(notify, project_id);
    if (!project) {
        project = calloc(1, sizeof *project);
        if (!project)
            abort();
        memcpy(project->id, project_id, strlen(project_id) + 1);
        snprintf(project->room, sizeof project->room, "p:%s", project_id);
        project->key = ++notify->last_key;
        table_add(&notify->projects, &project->node,
                  table_hash(&notify->projects, project_id, strlen(project_id)));
    }
    project->subscribers++;
    return project;
}

/* What is cooling, or being looked up, is let go when that is over. */
static void project_let_go(struct notify *notify, struct project *project)
{
    if (project->subscribers || project->is_cooling || project->is_asked)
        return;
    table_remove(&notify->projects, &project->node);
    telling_free(project);
    free(project);
}

void project_leave(struct notify *notify, struct project *project)
{
    project->subscribers--;
    project_let_go(notify, project);
}

static void cooling_arm(struct notify *notify)
{
    const struct project *first = notify->cooling_first;
    if (!first)
        return;
    int64_t left_us = first->sent_us + notify->config->conflate_us - clock_mono_us();
    uv_timer_start(&notify->cooling, projects_on_timer, left_us > 0 ? (left_us + 999) / 1000 : 0,
                   0);
}

static void project_cool(struct notify *notify, struct project *project)
{
    project->is_cooling = true;
    project->next_warm = NULL;
    if (notify->cooling_last)
        notify->cooling_last->next_warm = project;
    else
        notify->cooling_first = project;
    notify->cooling_last = project;
    if (notify->cooling_first == project)
        cooling_arm(notify);
}

static void project_tell(struct notify *notify, struct project *project)
{
    event_public(notify, project);
    project->coalesced = 0;
    project->sent_us = clock_mono_us();
    if (notify->config->conflate_us)
        project_cool(notify, project);
}

void projects_on_timer(uv_timer_t *timer)
{
    struct notify *notify = timer->data;
    int64_t before_us = clock_mono_us() - notify->config->conflate_us;
    struct project *project;
    while ((project = notify->cooling_first) && project->sent_us <= before_us) {
        notify->cooling_first = project->next_warm;
        if (!notify->cooling_first)
            notify->cooling_last = NULL;
        project->is_cooling = false;
        if (project->coalesced && project->subscribers)
            project_tell(notify, project);
        project_let_go(notify, project);
    }
    cooling_arm(notify);
}

static void project_changed(struct notify *notify, struct project *project)
{
    project->coalesced++;
    if (!project->is_cooling)
        project_tell(notify, project);
}

void project_on_result(struct notify *notify, struct project *project, const struct result *result,
                       const struct span *span)
{
    bool newer = !project->is_known || result->version > project->counts.version;
    if (!newer || result->outcome == OUTCOME_FAILED)
        return;
    project->counts = (struct counts){.upvotes = result->upvotes,
                                      .downvotes = result->downvotes,
                                      .version = result->version,
                                      .community_score = result->community_score};
    project->vote_type = result->request->vote_type;
    project->action = result->request->action;
    project->committed_at_ms = result->committed_at_ms;
    project->accepted_at_ms = result->request->accepted_at_ms;
    project->exists = true;
    project->is_known = true;
    telling_begin(notify, project, span);
    waiters_answer(notify, project, false);
    project_changed(notify, project);
    project_let_go(notify, project);
}

/* Those who wait get the counts as an answer. To the others they are news only when results were
 * missed: then nobody knows the votes between, and the newest stands for all of them. */
void project_on_counts(struct notify *notify, struct project *project, const struct counts *counts)
{
    bool was_known = project->is_known;
    bool newer = counts && (!was_known || counts->version > project->counts.version);
    int64_t missed = newer && was_known ? counts->version - project->counts.version : 0;
    project->is_asked = false;
    project->is_known = true;
    if (newer) {
        project->counts = *counts;
        project->exists = true;
    }
    waiters_answer(notify, project, false);
    if (missed) {
        project->vote_type = VOTE_UP;
        project->action = ACTION_CHANGED;
        project->committed_at_ms = clock_wall_ms();
        project->accepted_at_ms = 0;
        project->coalesced += missed - 1;
        project_changed(notify, project);
    }
    project_let_go(notify, project);
}

void projects_refresh(struct notify *notify)
{
    for (size_t i = 0; i < notify->projects.slot_count; i++) {
        for (struct table_node *node = notify->projects.slots[i]; node; node = node->next) {
            struct project *project = (struct project *)node;
            if (!project->is_asked && project->subscribers)
                lookup_ask(notify->lookup, project->id);
            project->is_asked = project->is_asked || project->subscribers;
        }
    }
}

void projects_free(struct notify *notify)
{
    for (size_t i = 0; i < notify->projects.slot_count; i++) {
        struct table_node *next;
        for (struct table_node *node = notify->projects.slots[i]; node; node = next) {
            next = node->next;
            telling_free((struct project *)node);
            free(node);
        }
    }
    table_free(&notify->projects);
}
