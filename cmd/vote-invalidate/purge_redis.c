/* purge_redis.c - marks, keys, tag sets and patterns in Redis. All of it may be done again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "redis/scan.h"

#include <string.h>

/* Commands on their way to Redis, --batch-size at a time. */
struct unlinker {
    struct redis *redis;
    struct redis_batch batch;
    size_t batch_max;
    bool fine; /* so far */
    struct error *error;
};

static void unlinker_flush(struct unlinker *unlinker)
{
    if (unlinker->fine && unlinker->batch.count)
        unlinker->fine = redis_run(unlinker->redis, &unlinker->batch, unlinker->error);
    redis_batch_clear(&unlinker->batch);
}

static void unlinker_add(struct unlinker *unlinker, const char *verb, const char *key,
                         const char *member)
{
    const char *words[] = {verb, key, member};
    redis_add_words(&unlinker->batch, key, member ? 3 : 2, words);
    if (unlinker->batch.count >= unlinker->batch_max)
        unlinker_flush(unlinker);
}

static void purge_key(struct unlinker *unlinker, const char *text)
{
    struct range range;
    struct buf key = {0};
    if (!range_find(text, &range)) {
        unlinker_add(unlinker, "UNLINK", text, NULL);
        return;
    }
    for (int number = range.from; number <= range.to; number++) {
        buf_clear(&key);
        buf_put(&key, text, range.start);
        buf_int(&key, number);
        buf_text(&key, text + range.end);
        unlinker_add(unlinker, "UNLINK", key.data, NULL);
    }
    buf_free(&key);
}

static void members_each(struct unlinker *unlinker, const redisReply *members, const char *set)
{
    for (size_t i = 0; unlinker->fine && i < members->elements; i++) {
        const char *key = members->element[i]->str;
        if (set)
            unlinker_add(unlinker, "SREM", set, key);
        else
            unlinker_add(unlinker, "UNLINK", key, NULL);
    }
    unlinker_flush(unlinker);
}

/* Who fills a cache writes the key, then adds it to the set. Members are taken out one by one, so
 * that one that comes meanwhile stays, and the keys are unlinked again behind that: a key whose
 * member was taken out as it came back is gone, too. */
static void purge_tag(struct unlinker *unlinker, const char *set)
{
    struct redis_batch ask = {0};
    redis_add(&ask, set, "SMEMBERS %s", set);
    unlinker->fine = redis_run(unlinker->redis, &ask, unlinker->error);
    const redisReply *members = unlinker->fine ? redis_reply(&ask, 0) : NULL;
    if (members && members->elements) {
        members_each(unlinker, members, NULL);
        members_each(unlinker, members, set);
        members_each(unlinker, members, NULL);
    }
    redis_batch_free(&ask);
}

static void on_found(void *context, const char *key)
{
    unlinker_add(context, "UNLINK", key, NULL);
}

static void purge_pattern(struct invalidate *invalidate, struct unlinker *unlinker,
                          const char *pattern)
{
    size_t left = (size_t)invalidate->config->scan_max;
    bool scanned = redis_scan(unlinker->redis, pattern, &left, on_found, unlinker, unlinker->error);
    unlinker->fine = unlinker->fine && scanned;
    if (unlinker->fine && left == 0) {
        metric_add(invalidate->metrics.truncated, 1);
        LOG_EVENT(invalidate->log, LOG_WARN, "a pattern purge ended at --scan-max with keys unseen",
                  LOG_STR("pattern", pattern));
    }
}

static void purge_entry(struct invalidate *invalidate, struct unlinker *unlinker,
                        const struct entry *entry)
{
    switch (entry->kind) {
    case KIND_MARK: unlinker_add(unlinker, "INCR", entry->text, NULL); break;
    case KIND_KEY: purge_key(unlinker, entry->text); break;
    case KIND_TAG: purge_tag(unlinker, entry->text); break;
    case KIND_PATTERN: purge_pattern(invalidate, unlinker, entry->text); break;
    default: break;
    }
}

/* Kind by kind: every mark is raised before the first key goes. */
bool purge_redis(struct invalidate *invalidate, const struct entry_list *entries,
                 struct error *error)
{
    struct unlinker unlinker = {.redis = invalidate->redis,
                                .batch_max = (size_t)invalidate->config->batch_size,
                                .fine = true,
                                .error = error};
    const struct entry *entry;
    for (int kind = 0; kind < KIND_HTTP_FIRST && unlinker.fine; kind++) {
        TAILQ_FOREACH(entry, entries, order)
        {
            if ((int)entry->kind == kind && unlinker.fine)
                purge_entry(invalidate, &unlinker, entry);
        }
        unlinker_flush(&unlinker);
    }
    redis_batch_free(&unlinker.batch);
    return unlinker.fine;
}
