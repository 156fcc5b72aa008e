/* purge_redis.c - keys, tag sets and patterns. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 1, BATCH_MAX = 1000, PATIENCE_US = 2 * 1000 * 1000 };

/* What one purge does: keys gather, and go when there are many. */
struct round {
    struct invalidate *invalidate;
    struct redis_batch batch;
    enum target target;
    struct error error;
    bool fine;
};

/* Nobody waits for the answer: it may take longer than a voter's would. */
static bool ask(struct round *round, struct redis_batch *batch)
{
    batch->deadline_us = clock_mono_us() + PATIENCE_US;
    round->fine = round->fine && redis_run(round->invalidate->redis, batch, &round->error);
    return round->fine;
}

static void round_flush(struct round *round)
{
    if (round->batch.count == 0)
        return;
    if (ask(round, &round->batch))
        metric_add(round->invalidate->metrics.purged[round->target], (int64_t)round->batch.count);
    redis_batch_clear(&round->batch);
}

static void round_unlink(struct round *round, const char *key, size_t size)
{
    char copy[1024];
    if (size >= sizeof copy)
        return; /* none of ours */
    memcpy(copy, key, size);
    copy[size] = 0;
    redis_add_words(&round->batch, copy, 2, (const char *[]){"UNLINK", copy});
    if (round->batch.count >= BATCH_MAX)
        round_flush(round);
}

/* The members leave the set, and not the set: what is added meanwhile stays for the next time. */
static void purge_tag(struct round *round, const char *tag)
{
    struct redis_batch members = {0}, removal = {0};
    redis_add(&members, tag, "SMEMBERS %s", tag);
    if (ask(round, &members)) {
        const redisReply *reply = redis_reply(&members, 0);
        for (size_t i = 0; reply && i < reply->elements; i++) {
            const redisReply *member = reply->element[i];
            round_unlink(round, member->str, member->len);
            redis_add(&removal, tag, "SREM %s %b", tag, member->str, member->len);
        }
        round_flush(round);
        if (removal.count > 0)
            ask(round, &removal);
    }
    redis_batch_free(&members);
    redis_batch_free(&removal);
}

/* SCAN of one node until its cursor is back at 0, or `--scan-max` keys were looked at. */
static void scan_node(struct round *round, size_t node, const char *pattern)
{
    enum { STEP = 1000 };
    char cursor[32] = "0";
    int64_t left = round->invalidate->config->scan_max;
    do {
        struct redis_batch batch = {0};
        redis_add_for_node(&batch, node, "SCAN %s MATCH %s COUNT %d", cursor, pattern, STEP);
        const redisReply *reply = ask(round, &batch) ? redis_reply(&batch, 0) : NULL;
        bool is_page =
            reply && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_ARRAY;
        snprintf(cursor, sizeof cursor, "%s", is_page ? reply->element[0]->str : "0");
        for (size_t i = 0; is_page && i < reply->element[1]->elements; i++)
            round_unlink(round, reply->element[1]->element[i]->str,
                         reply->element[1]->element[i]->len);
        redis_batch_free(&batch);
        left -= STEP;
    } while (round->fine && strcmp(cursor, "0") != 0 && left > 0);
    if (strcmp(cursor, "0") != 0 && left <= 0)
        LOG_EVENT(round->invalidate->log, LOG_WARN, "--scan-max keys were looked at: use a tag set",
                  LOG_STR("pattern", pattern));
}

static void purge_text(struct round *round, const char *text)
{
    switch (round->target) {
    case TARGET_KEY: round_unlink(round, text, strlen(text)); break;
    case TARGET_TAG: purge_tag(round, text); break;
    case TARGET_PATTERN:
        for (size_t node = 0; node < redis_node_count(round->invalidate->redis); node++)
            scan_node(round, node, text);
        break;
    default: break;
    }
}

static void purge_template(struct round *round, const struct template *template,
                           const struct entries *entries)
{
    struct buf text = {0};
    const struct entry *entry;
    round->target = template->target;
    TAILQ_FOREACH (entry, entries, by_first) {
        if (entry->subject != template->subject || entry->done & DONE || !round->fine)
            continue;
        buf_clear(&text);
        template_expand(template, entry->id, &text);
        purge_text(round, text.data);
    }
    round_flush(round);
    buf_free(&text);
}

bool purge_redis(struct invalidate *invalidate, const struct entries *entries)
{
    struct round round = {.invalidate = invalidate, .fine = true};
    const struct templates *templates = &invalidate->templates;
    struct entry *entry;
    if (!backoff_is_over(&invalidate->redis_backoff))
        return false;
    for (size_t i = 0; i < templates->count && round.fine; i++)
        if (templates->list[i].target <= TARGET_PATTERN)
            purge_template(&round, &templates->list[i], entries);
    redis_batch_free(&round.batch);
    backoff_tell(&invalidate->redis_backoff, round.fine);
    atomic_store(&invalidate->redis_check->ready, round.fine);
    if (!round.fine) {
        metric_add(invalidate->metrics.redis_failures, 1);
        log_error(invalidate->log, LOG_WARN, "redis not purged, held", &round.error);
        return false;
    }
    TAILQ_FOREACH (entry, entries, by_first)
        entry->done |= DONE;
    return true;
}
