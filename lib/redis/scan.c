/* scan.c - SCAN over one node or all of a cluster's. SPDX-License-Identifier: Apache-2.0 */
#include "redis/scan.h"

#include "base/clock.h"
#include "redis/client.h"

#include <stdio.h>
#include <string.h>

/* Nobody waits for a scan as a click is waited for. */
enum { SCAN_COUNT = 500, PROBE_SIZE = 24, STEP_US = 2 * 1000 * 1000 };

struct scan {
    struct redis *redis;
    const char *pattern;
    size_t *left;
    void (*on_key)(void *context, const char *key);
    void *context;
};

/* Any key of that slot: the client finds a node by a key. */
static void key_of_slot(int slot, char key[PROBE_SIZE])
{
    for (int i = 0; snprintf(key, PROBE_SIZE, "scan:%d", i), slot_of_key(key) != slot; i++)
        ;
}

static bool scan_step(const struct scan *scan, const char *node_key, char cursor[PROBE_SIZE],
                      struct error *error)
{
    struct redis_batch batch = {0};
    redis_add(&batch, node_key, "SCAN %s MATCH %s COUNT %d", cursor, scan->pattern, SCAN_COUNT);
    batch.deadline_us = clock_mono_us() + STEP_US;
    bool fine = redis_run(scan->redis, &batch, error);
    const redisReply *reply = fine ? redis_reply(&batch, 0) : NULL;
    if (fine && (!reply || reply->elements != 2 || !reply->element[0]->str))
        fine = error_set(error, ERROR_UNAVAILABLE, "redis: SCAN gave no cursor");
    if (fine) {
        snprintf(cursor, PROBE_SIZE, "%s", reply->element[0]->str);
        for (size_t i = 0; i < reply->element[1]->elements; i++)
            scan->on_key(scan->context, reply->element[1]->element[i]->str);
        *scan->left -= *scan->left < SCAN_COUNT ? *scan->left : SCAN_COUNT;
    }
    redis_batch_free(&batch);
    return fine;
}

static bool scan_node(const struct scan *scan, int slot, struct error *error)
{
    char node_key[PROBE_SIZE], cursor[PROBE_SIZE] = "0";
    key_of_slot(slot, node_key);
    do {
        if (!scan_step(scan, node_key, cursor, error))
            return false;
    } while (strcmp(cursor, "0") != 0 && *scan->left);
    return true;
}

static bool same_owner(const redisReply *a, const redisReply *b)
{
    const redisReply *first = a->element[2], *second = b->element[2];
    return first->element[1]->integer == second->element[1]->integer &&
           !strcmp(first->element[0]->str, second->element[0]->str);
}

/* One of a node's ranges of slots stands for the node. */
static bool is_first_of_owner(const redisReply *ranges, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (same_owner(ranges->element[i], ranges->element[at]))
            return false;
    }
    return true;
}

static bool scan_cluster(const struct scan *scan, const redisReply *ranges, struct error *error)
{
    for (size_t i = 0; i < ranges->elements && *scan->left; i++) {
        if (is_first_of_owner(ranges, i) &&
            !scan_node(scan, (int)ranges->element[i]->element[0]->integer, error))
            return false;
    }
    return true;
}

bool redis_scan(struct redis *redis, const char *pattern, size_t *left,
                void (*on_key)(void *context, const char *key), void *context, struct error *error)
{
    struct scan scan = {redis, pattern, left, on_key, context};
    struct redis_batch batch = {0};
    redis_add(&batch, pattern, "CLUSTER SLOTS");
    batch.deadline_us = clock_mono_us() + STEP_US;
    bool fine = redis_run(redis, &batch, error);
    if (fine)
        fine = scan_cluster(&scan, redis_reply(&batch, 0), error);
    else if (strstr(error->text, "cluster support disabled"))
        fine = scan_node(&scan, 0, error);
    redis_batch_free(&batch);
    return fine;
}
