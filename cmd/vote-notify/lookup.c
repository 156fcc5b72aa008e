/* lookup.c - committed counts out of Postgres. What many subscriptions ask for meanwhile is asked
 * in one statement. While nobody asks, a probe finds out whether Postgres still answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 1000, TRIES = 3, TRY_AGAIN_MS = 200 };

static const uint64_t PROBE_NS = UINT64_C(1000) * 1000 * 1000;

/* A project that is asked for, and what was found. */
struct question {
    struct question *next;
    char id[VOTE_ID_SIZE];
    bool exists, failed;
    struct counts counts;
};

struct questions {
    struct question *first, *last;
};

struct lookup {
    const struct log *log;
    void (*found)(void *context, const char *project_id, const struct counts *counts, bool failed);
    void *context;
    struct pg pg;
    bool is_told; /* in the log: whether Postgres answers */
    uv_async_t wake;
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t asked;
    struct questions open, answered; /* under the lock */
    bool stop;                       /* under the lock */
    _Atomic int up;
};

static void question_put(struct questions *questions, struct question *question)
{
    question->next = NULL;
    if (questions->last)
        questions->last->next = question;
    else
        questions->first = question;
    questions->last = question;
}

static struct question *question_take(struct questions *questions)
{
    struct question *question = questions->first;
    if (question && !(questions->first = question->next))
        questions->last = NULL;
    return question;
}

static void questions_free(struct questions *questions)
{
    struct question *question;
    while ((question = question_take(questions)))
        free(question);
}

static const char counts_sql[] =
    "select project_id, upvotes, downvotes, community_score, version from vote.projects "
    " where project_id = any ($1)";

static void answer_take(struct question *batch, PGresult *rows, int row)
{
    for (struct question *question = batch; question; question = question->next) {
        if (strcmp(question->id, PQgetvalue(rows, row, 0)) != 0)
            continue;
        question->exists = true;
        question->counts =
            (struct counts){.upvotes = strtoll(PQgetvalue(rows, row, 1), NULL, 10),
                            .downvotes = strtoll(PQgetvalue(rows, row, 2), NULL, 10),
                            .community_score = strtod(PQgetvalue(rows, row, 3), NULL),
                            .version = strtoll(PQgetvalue(rows, row, 4), NULL, 10)};
    }
}

/* Postgres has answered, or not (`error` is why): a change is logged once. */
static void lookup_heard(struct lookup *lookup, bool answered, const struct error *error)
{
    bool was_up = atomic_exchange(&lookup->up, answered);
    if (!answered && (was_up || !lookup->is_told))
        log_error(lookup->log, LOG_WARN, "waiting for postgres", error);
    else if (answered && !was_up && lookup->is_told)
        LOG_EVENT(lookup->log, LOG_INFO, "postgres is back");
    lookup->is_told = true;
}

static void lookup_probe(struct lookup *lookup)
{
    struct error error = {0};
    PGresult *row = pg_query(&lookup->pg, "select 1", 0, NULL, &error);
    lookup_heard(lookup, row != NULL, &error);
    PQclear(row);
}

static bool lookup_query(struct lookup *lookup, struct question *batch)
{
    struct buf ids = {0};
    struct error error = {0};
    for (struct question *question = batch; question; question = question->next)
        pg_array_text(&ids, question->id);
    const char *parameters[] = {pg_array_end(&ids)};
    PGresult *rows = pg_query(&lookup->pg, counts_sql, 1, parameters, &error);
    buf_free(&ids);
    for (int row = 0; rows && row < PQntuples(rows); row++)
        answer_take(batch, rows, row);
    if (!rows)
        log_error(lookup->log, LOG_WARN, "counts not looked up", &error);
    lookup_heard(lookup, rows != NULL, &error);
    PQclear(rows);
    return rows != NULL;
}

static void lookup_answer(struct lookup *lookup, struct question *batch)
{
    bool found = false;
    struct question *next;
    for (int tries = 0; !found && tries < TRIES; tries++) {
        if (tries > 0)
            uv_sleep(TRY_AGAIN_MS);
        found = lookup_query(lookup, batch);
    }
    uv_mutex_lock(&lookup->lock);
    for (struct question *question = batch; question; question = next) {
        next = question->next;
        question->failed = !found;
        question_put(&lookup->answered, question);
    }
    uv_mutex_unlock(&lookup->lock);
    uv_async_send(&lookup->wake);
}

/* Waits for questions; none in `batch` when it is time for a probe. False at the stop. */
static bool lookup_wait(struct lookup *lookup, struct questions *batch)
{
    int timed_out = 0;
    *batch = (struct questions){0};
    uv_mutex_lock(&lookup->lock);
    while (!lookup->open.first && !lookup->stop && !timed_out)
        timed_out = uv_cond_timedwait(&lookup->asked, &lookup->lock, PROBE_NS);
    for (int i = 0; i < AT_ONCE && lookup->open.first; i++)
        question_put(batch, question_take(&lookup->open));
    bool stop = lookup->stop;
    uv_mutex_unlock(&lookup->lock);
    return !stop;
}

static void lookup_run(void *context)
{
    struct lookup *lookup = context;
    struct questions batch;
    lookup_probe(lookup);
    while (lookup_wait(lookup, &batch)) {
        if (batch.first)
            lookup_answer(lookup, batch.first);
        else
            lookup_probe(lookup);
    }
    questions_free(&batch);
    pg_close(&lookup->pg);
}

static void lookup_on_wake(uv_async_t *wake)
{
    struct lookup *lookup = wake->data;
    struct question *question;
    uv_mutex_lock(&lookup->lock);
    struct questions answered = lookup->answered;
    lookup->answered = (struct questions){0};
    uv_mutex_unlock(&lookup->lock);
    while ((question = question_take(&answered))) {
        lookup->found(lookup->context, question->id, question->exists ? &question->counts : NULL,
                      question->failed);
        free(question);
    }
}

struct lookup *lookup_open(const struct notify_config *config, const struct log *log,
                           uv_loop_t *loop,
                           void (*found)(void *context, const char *project_id,
                                         const struct counts *counts, bool failed),
                           void *context)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        abort();
    lookup->log = log;
    lookup->found = found;
    lookup->context = context;
    lookup->pg = (struct pg){
        .url = config->pg.url, .name = "vote-notify", .timeout_us = config->database_timeout_us};
    lookup->wake.data = lookup;
    if (uv_mutex_init(&lookup->lock) || uv_cond_init(&lookup->asked) ||
        uv_async_init(loop, &lookup->wake, lookup_on_wake) ||
        uv_thread_create(&lookup->thread, lookup_run, lookup))
        abort(); /* no descriptors or threads at the start: nothing would work */
    return lookup;
}

void lookup_ask(struct lookup *lookup, const char *project_id)
{
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        abort();
    memcpy(question->id, project_id, strlen(project_id) + 1);
    uv_mutex_lock(&lookup->lock);
    question_put(&lookup->open, question);
    uv_cond_signal(&lookup->asked);
    uv_mutex_unlock(&lookup->lock);
}

bool lookup_is_up(const struct lookup *lookup)
{
    return atomic_load(&lookup->up);
}

static void lookup_on_close(uv_handle_t *handle)
{
    struct lookup *lookup = handle->data;
    questions_free(&lookup->open);
    questions_free(&lookup->answered);
    uv_cond_destroy(&lookup->asked);
    uv_mutex_destroy(&lookup->lock);
    free(lookup);
}

void lookup_close(struct lookup *lookup)
{
    uv_mutex_lock(&lookup->lock);
    lookup->stop = true;
    uv_cond_signal(&lookup->asked);
    uv_mutex_unlock(&lookup->lock);
    uv_thread_join(&lookup->thread);
    uv_close((uv_handle_t *)&lookup->wake, lookup_on_close);
}
