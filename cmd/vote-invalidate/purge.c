/* purge.c - one round: what is due goes to Redis and to the HTTP caches; what fails is held.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"

#include <stdlib.h>

struct round {
    struct invalidate *invalidate;
    struct entry_list lists[TARGETS_MAX]; /* what is purged now */
    bool tried[TARGETS_MAX];
    struct error errors[TARGETS_MAX]; /* the last of each target; code 0: none */
    bool is_last;
    int64_t
        begun_us; /* a change is later than what was read before: so is the second purge's time */
};

static struct admin_check *check_of(struct invalidate *invalidate, int target)
{
    return target == TARGET_REDIS ? invalidate->redis_check : invalidate->http_checks[target];
}

/* One failure of several calls is enough to wait: what is held would be tried again without end. */
static void round_tell(struct round *round, int number)
{
    struct invalidate *invalidate = round->invalidate;
    struct target *target = &invalidate->targets[number];
    const struct error *error = &round->errors[number];
    bool was_failing = target->failures > 0;
    if (!round->tried[number])
        return;
    target_report(target, !error->code, clock_mono_us(), random());
    atomic_store(&check_of(invalidate, number)->ready, !error->code);
    if (error->code)
        LOG_EVENT(invalidate->log, LOG_WARN, "holding purges", LOG_STR("target", target->name),
                  LOG_STR("error", error->text));
    else if (was_failing)
        LOG_EVENT(invalidate->log, LOG_INFO, "purged again", LOG_STR("target", target->name));
}

static void entry_count(struct invalidate *invalidate, const struct entry *entry)
{
    int64_t latency_ms = clock_wall_ms() - entry->committed_ms;
    metric_add(invalidate->metrics.purged[entry->kind], 1);
    if (!entry->is_second)
        histogram_record(invalidate->metrics.latency_us, latency_ms > 0 ? latency_ms * 1000 : 0);
}

static void round_settle(struct round *round, int target, struct entry_list *entries,
                         const struct error *error)
{
    struct invalidate *invalidate = round->invalidate;
    struct entry *entry;
    round->tried[target] = true;
    if (error) {
        round->errors[target] = *error;
        metric_add(invalidate->metrics.failures[target], 1);
    }
    while ((entry = TAILQ_FIRST(entries))) {
        TAILQ_REMOVE(entries, entry, order);
        if (error) {
            dirty_hold(&invalidate->dirty, entry);
        } else {
            entry_count(invalidate, entry);
            dirty_done(&invalidate->dirty, entry, clock_mono_us(), round->is_last);
        }
    }
}

static void round_on_http(void *context, int target, struct entry_list *entries,
                          const struct error *error)
{
    struct round *round = context;
    metric_add(round->invalidate->metrics.calls, 1);
    round_settle(round, target, entries, error);
}

/* Redis knows by itself whether it is there, and marks must not come behind the keys they guard:
 * all of it is tried at once. An HTTP cache that was away is tried with one key first. */
static void round_add_held(struct round *round, int target)
{
    struct invalidate *invalidate = round->invalidate;
    switch (target_state(&invalidate->targets[target], round->begun_us)) {
    case TARGET_OPEN: return;
    case TARGET_CLOSED:
        dirty_take_held(&invalidate->dirty, target, SIZE_MAX, &round->lists[target]);
        return;
    case TARGET_HALF_OPEN:
        dirty_take_held(&invalidate->dirty, target, target == TARGET_REDIS ? SIZE_MAX : 1,
                        &round->lists[target]);
    }
}

/* Behind those that are held already, where the target is not tried or only with one of them. */
static void round_add(struct round *round, struct entry *entry)
{
    struct invalidate *invalidate = round->invalidate;
    struct target *target = &invalidate->targets[entry->target];
    if (target_state(target, round->begun_us) == TARGET_CLOSED)
        TAILQ_INSERT_TAIL(&round->lists[entry->target], entry, order);
    else
        dirty_hold(&invalidate->dirty, entry);
}

static bool round_collect(struct round *round, bool everything)
{
    struct invalidate *invalidate = round->invalidate;
    struct entry_list taken = TAILQ_HEAD_INITIALIZER(taken);
    struct entry *entry;
    bool found = false;
    dirty_take(&invalidate->dirty, round->begun_us, everything, &taken);
    while ((entry = TAILQ_FIRST(&taken))) {
        TAILQ_REMOVE(&taken, entry, order);
        round_add(round, entry);
    }
    for (int i = 0; i < invalidate->target_count; i++) {
        round_add_held(round, i);
        found = found || !TAILQ_EMPTY(&round->lists[i]);
    }
    return found;
}

static void round_run(struct round *round)
{
    struct invalidate *invalidate = round->invalidate;
    struct entry_list *for_redis = &round->lists[TARGET_REDIS];
    struct error error;
    metric_add(invalidate->metrics.windows, 1);
    /* Redis first: an HTTP cache that is filled again asks what answers from Redis. */
    if (!TAILQ_EMPTY(for_redis)) {
        bool purged = purge_redis(invalidate, for_redis, &error);
        round_settle(round, TARGET_REDIS, for_redis, purged ? NULL : &error);
    }
    for (int i = TARGET_REDIS + 1; i < invalidate->target_count; i++) {
        if (!TAILQ_EMPTY(&round->lists[i]))
            http_add(invalidate->http, i, invalidate->targets[i].name, &round->lists[i]);
    }
    http_run(invalidate->http, round, round_on_http);
    for (int i = 0; i < invalidate->target_count; i++)
        round_tell(round, i);
}

void purge_turn(struct invalidate *invalidate, bool everything)
{
    struct round round = {
        .invalidate = invalidate, .is_last = everything, .begun_us = clock_mono_us()};
    for (int i = 0; i < TARGETS_MAX; i++)
        TAILQ_INIT(&round.lists[i]);
    if (round_collect(&round, everything))
        round_run(&round);
    spans_settle(invalidate, round.begun_us);
    for (int i = 0; i < invalidate->target_count; i++)
        metric_set(invalidate->metrics.breaker[i],
                   target_state(&invalidate->targets[i], clock_mono_us()));
    metric_set(invalidate->metrics.pending, (int64_t)invalidate->dirty.table.count);
}

int64_t purge_next_us(const struct invalidate *invalidate)
{
    int64_t next_us = dirty_next_us(&invalidate->dirty);
    for (int i = 0; i < invalidate->target_count; i++) {
        int64_t retry_us = invalidate->targets[i].retry_at_us;
        if (!TAILQ_EMPTY(&invalidate->dirty.held[i]) && retry_us < next_us)
            next_us = retry_us;
    }
    return next_us;
}
