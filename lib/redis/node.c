/* node.c - one Redis server: its connection, which comes back by itself, and the calls under way.
 *
 * A server that does not answer by a call's deadline is taken for gone: the connection is closed,
 * so that what it has not read yet is never carried out, and every call on it fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include "redis/client.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { RETRY_US = 100 * 1000, READ_BYTES = 64 * 1024 };

struct node *node_add(struct redis *redis, const char *host, int port)
{
    for (size_t i = 0; i < redis->node_count; i++) {
        struct node *node = &redis->nodes[i];
        if (node->port == port && !strcmp(node->host, host))
            return node;
    }
    if (redis->node_count == NODES_MAX)
        return NULL;
    struct node *node = &redis->nodes[redis->node_count++];
    *node = (struct node){
        .redis = redis, .port = port, .fd = -1, .state = NODE_FRESH, .owns_slots = true};
    snprintf(node->host, sizeof node->host, "%s", host);
    return node;
}

static void node_watch(struct node *node, int operation, bool for_writing)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (for_writing ? EPOLLOUT : 0),
                                .data.ptr = node};
    epoll_ctl(node->redis->epoll_fd, operation, node->fd, &event);
    node->writable_awaited = for_writing;
}

static void queue_fail(struct call_queue *queue, const char *why)
{
    struct redis_call *call;
    while ((call = queue_pop(queue)))
        call_finish(call, NULL, why);
}

void node_fail(struct node *node, const char *why)
{
    if (node->fd >= 0)
        close(node->fd);
    if (node->reader)
        redisReaderFree(node->reader);
    node->fd = -1;
    node->reader = NULL;
    node->state = NODE_DOWN;
    node->failed = true;
    node->retry_at_us = clock_mono_us() + RETRY_US;
    node->out_sent = 0;
    node->earliest_us = 0;
    if (node->redis->is_cluster)
        node->redis->slots_at_us = 1; /* another node may have taken its slots over */
    buf_clear(&node->out);
    queue_fail(&node->sent, why);
    queue_fail(&node->waiting, why);
}

/* Names are looked up while the node is down: nobody waits for the thread then. */
static bool node_resolve(struct node *node)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[8];
    snprintf(port, sizeof port, "%d", node->port);
    if (getaddrinfo(node->host, port, &hints, &found) || !found)
        return false;
    memcpy(&node->address, found->ai_addr, found->ai_addrlen);
    node->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static void node_connect(struct node *node, int64_t now_us)
{
    int on = 1;
    if (!node_resolve(node)) {
        node_fail(node, "unknown host");
        return;
    }
    node->fd = socket(node->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (node->fd < 0) {
        node_fail(node, strerror(errno));
        return;
    }
    setsockopt(node->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    node->state = NODE_CONNECTING;
    node->connect_by_us = now_us + node->redis->config->timeout_us;
    if (connect(node->fd, (struct sockaddr *)&node->address, node->address_size) &&
        errno != EINPROGRESS) {
        node_fail(node, strerror(errno));
        return;
    }
    node_watch(node, EPOLL_CTL_ADD, true);
}

static void node_queue(struct node *node, struct redis_call *call)
{
    buf_put(&node->out, call->command, call->size);
    queue_push(&node->sent, call);
    if (!node->earliest_us || call->deadline_us < node->earliest_us)
        node->earliest_us = call->deadline_us;
}

static void node_greet_with(struct node *node, int count, const char **words, enum call_kind kind)
{
    char *command = NULL;
    int size = (int)redisFormatCommandArgv(&command, count, words, NULL);
    if (size < 0)
        abort();
    struct redis_call *call = call_new(kind, command, node->connect_by_us);
    redisFreeCommand(command);
    node->greetings_left++;
    node_queue(node, call);
}

static void node_greet(struct node *node)
{
    struct redis *redis = node->redis;
    char database[12];
    snprintf(database, sizeof database, "%d", redis->database);
    node->state = NODE_GREETING;
    node->greetings_left = 0;
    node->reader = redisReaderCreate();
    if (!node->reader)
        abort();
    if (redis->user[0])
        node_greet_with(node, 3, (const char *[]){"AUTH", redis->user, redis->password},
                        CALL_GREETING);
    else if (redis->password[0])
        node_greet_with(node, 2, (const char *[]){"AUTH", redis->password}, CALL_GREETING);
    if (redis->database)
        node_greet_with(node, 2, (const char *[]){"SELECT", database}, CALL_GREETING);
    node_greet_with(node, 2, (const char *[]){"CLUSTER", "SLOTS"}, CALL_SLOTS);
}

/* After the last greeting the node takes calls. A standalone server refuses CLUSTER, and is fine.
 */
static void node_greeted(struct node *node, enum call_kind kind, const redisReply *reply)
{
    struct call_queue waiting = node->waiting;
    struct redis_call *call;
    if (kind == CALL_GREETING && reply->type == REDIS_REPLY_ERROR) {
        char why[COMPLAINT_SIZE];
        node_fail(node, reply_complaint(reply, why));
        return;
    }
    if (node->state != NODE_GREETING || --node->greetings_left > 0)
        return;
    node->state = NODE_UP;
    node->failed = false;
    node->waiting = (struct call_queue){0};
    while ((call = queue_pop(&waiting))) {
        struct node *owner = cluster_route(node->redis, call->slot);
        node_send(owner, call);
    }
}

void node_send(struct node *node, struct redis_call *call)
{
    if (node->state == NODE_UP) {
        node_queue(node, call);
    } else if (!node->failed) {
        queue_push(&node->waiting, call);
        if (!node->earliest_us || call->deadline_us < node->earliest_us)
            node->earliest_us = call->deadline_us;
    } else {
        call_finish(call, NULL, "not reachable just now");
    }
}

void node_flush(struct node *node)
{
    while (node->fd >= 0 && node->state >= NODE_GREETING && node->out_sent < node->out.size) {
        ssize_t sent = send(node->fd, node->out.data + node->out_sent,
                            node->out.size - node->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            if (!node->writable_awaited)
                node_watch(node, EPOLL_CTL_MOD, true);
            return;
        }
        if (sent < 0) {
            node_fail(node, strerror(errno));
            return;
        }
        node->out_sent += (size_t)sent;
    }
    if (node->out.size && node->out_sent == node->out.size) {
        buf_clear(&node->out);
        node->out_sent = 0;
    }
}

/* Sends a script's source, which the server will know by its digest from then on. */
static void call_resend_source(struct node *node, struct redis_call *call)
{
    struct buf command = {0};
    buf_format(&command, "*%d\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n", call->script_words,
               strlen(call->script->source), call->script->source);
    buf_put(&command, call->command + call->script_rest, call->size - call->script_rest);
    free(call->command);
    call->command = command.data;
    call->size = command.size;
    call->script = NULL;
    node_send(node, call);
}

static void node_take_reply(struct node *node, redisReply *reply)
{
    struct redis_call *call = queue_pop(&node->sent);
    if (!call) {
        freeReplyObject(reply);
        node_fail(node, "a reply to no question");
        return;
    }
    enum call_kind kind = call->kind;
    bool error = reply->type == REDIS_REPLY_ERROR;
    if (kind == CALL_OF_BATCH && error && call->script && !strncmp(reply->str, "NOSCRIPT", 8)) {
        freeReplyObject(reply);
        call_resend_source(node, call);
    } else if (kind == CALL_OF_BATCH && error && cluster_redirect(node->redis, call, reply)) {
        freeReplyObject(reply);
    } else if (kind == CALL_OF_BATCH) {
        call_finish(call, reply, NULL);
    } else {
        if (kind == CALL_SLOTS && !error)
            cluster_read_slots(node, reply);
        call_finish(call, NULL, NULL);
        if (kind != CALL_ASKING)
            node_greeted(node, kind, reply);
        freeReplyObject(reply);
    }
}

/* Takes what replies there are; false when the connection is to be given up. */
static bool node_take_replies(struct node *node)
{
    void *reply = NULL;
    while (node->reader && redisReaderGetReply(node->reader, &reply) == REDIS_OK) {
        if (!reply)
            return true;
        node_take_reply(node, reply);
        reply = NULL;
    }
    return node->reader == NULL;
}

static void node_read(struct node *node)
{
    char bytes[READ_BYTES];
    ssize_t got = recv(node->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        node_fail(node, got == 0 ? "connection closed" : strerror(errno));
        return;
    }
    if (redisReaderFeed(node->reader, bytes, (size_t)got) != REDIS_OK || !node_take_replies(node))
        node_fail(node, "a reply that is not RESP");
}

void node_on_event(struct node *node, unsigned events)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    if (node->fd < 0)
        return;
    if (node->state == NODE_CONNECTING) {
        if (getsockopt(node->fd, SOL_SOCKET, SO_ERROR, &failure, &size) || failure) {
            node_fail(node, strerror(failure));
            return;
        }
        node_greet(node);
    }
    if (node->writable_awaited)
        node_watch(node, EPOLL_CTL_MOD, false);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        node_read(node);
}

static int64_t queue_earliest(const struct call_queue *queue, int64_t earliest_us)
{
    for (const struct redis_call *call = queue->first; call; call = call->next) {
        if (!earliest_us || call->deadline_us < earliest_us)
            earliest_us = call->deadline_us;
    }
    return earliest_us;
}

int64_t node_tick(struct node *node, int64_t now_us)
{
    if (node->state == NODE_FRESH || (node->state == NODE_DOWN && now_us >= node->retry_at_us))
        node_connect(node, now_us);
    if ((node->state == NODE_CONNECTING || node->state == NODE_GREETING) &&
        now_us >= node->connect_by_us)
        node_fail(node, "no answer to the connection in time");
    if (node->earliest_us && now_us >= node->earliest_us) {
        node->earliest_us = queue_earliest(&node->waiting, queue_earliest(&node->sent, 0));
        if (node->earliest_us && now_us >= node->earliest_us)
            node_fail(node, "no answer in time");
    }
    if (node->state == NODE_DOWN)
        return node->retry_at_us;
    int64_t wake_us = node->earliest_us ? node->earliest_us : INT64_MAX;
    if (node->state != NODE_UP && node->connect_by_us < wake_us)
        wake_us = node->connect_by_us;
    return wake_us;
}

void node_close(struct node *node)
{
    node_fail(node, "the client is closed");
    buf_free(&node->out);
}
