/* cluster.c - which node has a slot (Redis Cluster specification: MOVED and ASK).
 * SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node *cluster_route(struct redis *redis, int slot)
{
    unsigned char index = redis->slots[slot];
    return &redis->nodes[redis->is_cluster && index != NO_NODE ? index : 0];
}

/* A node that does not know its own address gives an empty one: it is the one that was asked. */
static struct node *slots_node(struct node *asked, const redisReply *owner)
{
    if (owner->elements < 2 || owner->element[1]->type != REDIS_REPLY_INTEGER)
        return NULL;
    const char *host = owner->element[0]->str;
    return node_add(asked->redis, host && *host ? host : asked->host,
                    (int)owner->element[1]->integer);
}

static void slots_give(struct redis *redis, long long from, long long to, const struct node *node)
{
    for (long long slot = from < 0 ? 0 : from; slot <= to && slot < SLOTS; slot++)
        redis->slots[slot] = (unsigned char)(node - redis->nodes);
}

void cluster_read_slots(struct node *asked, const redisReply *reply)
{
    struct redis *redis = asked->redis;
    if (reply->type != REDIS_REPLY_ARRAY)
        return;
    redis->is_cluster = true;
    for (size_t i = 0; i < redis->node_count; i++)
        redis->nodes[i].owns_slots = false;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        struct node *node = range->elements < 3 ? NULL : slots_node(asked, range->element[2]);
        if (!node)
            continue;
        node->owns_slots = true;
        slots_give(redis, range->element[0]->integer, range->element[1]->integer, node);
    }
}

bool cluster_redirect(struct redis *redis, struct redis_call *call, const redisReply *reply)
{
    int slot, port, at = 0;
    char word[8];
    if (sscanf(reply->str, "%7s %d %n", word, &slot, &at) < 2 || !at || slot < 0 || slot >= SLOTS)
        return false;
    bool moved = !strcmp(word, "MOVED"), ask = !strcmp(word, "ASK");
    const char *address = reply->str + at, *colon = strrchr(address, ':');
    if ((!moved && !ask) || !colon || call->redirects++ >= REDIRECTS_MAX)
        return false;
    char host[HOST_SIZE];
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    port = (int)strtol(colon + 1, NULL, 10);
    struct node *node = node_add(redis, host, port);
    if (!node)
        return false;
    if (moved) {
        redis->is_cluster = true;
        redis->slots[slot] = (unsigned char)(node - redis->nodes);
        redis->slots_at_us = 1; /* where one slot has moved, others have too */
    } else {
        node_send(node, call_new(CALL_ASKING, "*1\r\n$6\r\nASKING\r\n", call->deadline_us));
    }
    node_send(node, call);
    return true;
}
