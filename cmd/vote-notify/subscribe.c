/* subscribe.c - clients come, look at projects, and go.
 *
 * A subscription joins the rooms first and is answered when all its projects are known: so whatever
 * is committed behind the counts of the answer comes as an event. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A socket that was accepted. */
struct session {
    int64_t expires_at_s; /* of its token; 0: never */
    size_t project_count, project_capacity;
    struct project **projects; /* it is in the rooms of; each counts it as a subscriber */
};

/* A subscribe that waits for some of its projects. */
struct subscription {
    uint64_t socket_number;
    int64_t ack_id;
    size_t waiting;
    bool failed;
    size_t count;
    struct project **projects; /* each counts it as a subscriber, too */
};

/* One of the subscriptions that wait for a project. */
struct waiter {
    struct waiter *next;
    struct subscription *subscription;
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        abort();
    return memory;
}

static struct notify *notify_of(const struct sio_socket *socket)
{
    return sio_server_context(sio_socket_server(socket));
}

static bool refuse(struct sio_refusal *refusal, const char *why)
{
    snprintf(refusal->message, sizeof refusal->message, "%.119s", why);
    return false;
}

bool client_on_connect(struct sio_socket *socket, const struct sio_connect *request,
                       struct sio_refusal *refusal)
{
    struct notify *notify = notify_of(socket);
    const json_t *member = json_object_get(request->auth, "token");
    struct token token = {0};
    struct error error;
    char room[VOTE_ID_SIZE + 2];
    if (member && !json_is_null(member)) {
        const char *text = json_string_value(member);
        if (!text)
            return refuse(refusal, "the token is no text");
        if (!token_cache_verify(notify->tokens, &token, text, &error))
            return refuse(refusal, error.text);
        snprintf(room, sizeof room, "u:%s", token.user_id);
        sio_join(socket, room);
    }
    struct session *session = allocate(1, sizeof *session);
    session->expires_at_s = token.expires_at_s;
    sio_socket_set_data(socket, session);
    return true;
}

void client_on_disconnect(struct sio_socket *socket, enum sio_reason reason)
{
    (void)reason;
    struct session *session = sio_socket_data(socket);
    for (size_t i = 0; i < session->project_count; i++)
        project_leave(notify_of(socket), session->projects[i]);
    free(session->projects);
    free(session);
}

static void expire_visit(struct sio_socket *socket, void *context)
{
    const int64_t *now_s = context;
    const struct session *session = sio_socket_data(socket);
    if (session && session->expires_at_s && session->expires_at_s < *now_s)
        sio_client_close(sio_socket_client(socket), SIO_SERVER_CLOSE);
}

void clients_expire(struct notify *notify)
{
    int64_t now_s = clock_wall_ms() / 1000;
    sio_room_each(notify->everyone, NULL, expire_visit, &now_s);
}

static void reply(struct sio_socket *socket, int64_t ack_id, const struct buf *json)
{
    sio_ack(socket, ack_id, &(struct sio_message){.args = json->data, .args_size = json->size});
}

static void reply_refused(struct sio_socket *socket, int64_t ack_id, const char *why)
{
    struct buf json = {0};
    buf_text(&json, "{\"ok\":false");
    buf_member_text(&json, "error", why);
    buf_char(&json, '}');
    reply(socket, ack_id, &json);
    buf_free(&json);
}

/* Where the project is among `count`; `count` when it is not. */
static size_t projects_find(struct project *const *projects, size_t count,
                            const struct project *project)
{
    size_t at = 0;
    while (at < count && projects[at] != project)
        at++;
    return at;
}

static bool session_has(const struct session *session, const struct project *project)
{
    return projects_find(session->projects, session->project_count, project) <
           session->project_count;
}

/* The answer is as new as anything that waits for the client about its projects: what waits goes,
 * so that no version is seen to go back. */
static bool is_answered(const struct sio_frame *frame, void *context)
{
    const struct subscription *subscription = context;
    for (size_t i = 0; i < subscription->count; i++) {
        if (subscription->projects[i]->key == sio_frame_key(frame))
            return true;
    }
    return false;
}

static void subscription_answer(struct notify *notify, struct subscription *subscription)
{
    struct sio_socket *socket = sio_socket_find(notify->server, subscription->socket_number);
    struct buf json = {0};
    buf_text(&json, "{\"ok\":true,\"projects\":{");
    for (size_t i = 0; i < subscription->count; i++) {
        const struct project *project = subscription->projects[i];
        if (!project->exists)
            continue;
        buf_member(&json, project->id);
        buf_char(&json, '{');
        counts_encode(&project->counts, &json);
        buf_char(&json, '}');
    }
    buf_text(&json, "}}");
    if (socket && sio_client_queued_frames(sio_socket_client(socket)))
        sio_client_drop(sio_socket_client(socket), is_answered, subscription);
    if (socket && subscription->failed)
        reply_refused(socket, subscription->ack_id, "the counts cannot be read now; try again");
    else if (socket)
        reply(socket, subscription->ack_id, &json);
    buf_free(&json);
}

static void subscription_finish(struct notify *notify, struct subscription *subscription)
{
    subscription_answer(notify, subscription);
    for (size_t i = 0; i < subscription->count; i++)
        project_leave(notify, subscription->projects[i]);
    free(subscription->projects);
    free(subscription);
}

/* The project is not let go under its waiters: each of them counts as a subscriber, and so does the
 * caller's own need of it. */
void waiters_answer(struct notify *notify, struct project *project, bool failed)
{
    struct waiter *waiter = project->waiters, *next;
    project->waiters = NULL;
    project->subscribers++;
    for (; waiter; waiter = next) {
        struct subscription *subscription = waiter->subscription;
        next = waiter->next;
        subscription->failed = subscription->failed || failed;
        if (--subscription->waiting == 0)
            subscription_finish(notify, subscription);
        free(waiter);
    }
    project->subscribers--;
}

static void subscription_wait(struct notify *notify, struct subscription *subscription,
                              struct project *project)
{
    struct waiter *waiter = allocate(1, sizeof *waiter);
    *waiter = (struct waiter){.next = project->waiters, .subscription = subscription};
    project->waiters = waiter;
    subscription->waiting++;
    if (!project->is_asked)
        lookup_ask(notify->lookup, project->id);
    project->is_asked = true;
}

static void session_add(struct notify *notify, struct sio_socket *socket, struct session *session,
                        const char *project_id)
{
    struct project *project = project_take(notify, project_id);
    if (!sio_join(socket, project->room)) {
        project_leave(notify, project);
        return;
    }
    if (session->project_count == session->project_capacity) {
        session->project_capacity = session->project_capacity ? 2 * session->project_capacity : 4;
        session->projects =
            realloc(session->projects, session->project_capacity * sizeof *session->projects);
        if (!session->projects)
            abort();
    }
    session->projects[session->project_count++] = project;
}

/* Adds a project once, however often it is listed. */
static void subscription_add(struct notify *notify, struct subscription *subscription,
                             const char *project_id)
{
    struct project *project = project_take(notify, project_id);
    if (projects_find(subscription->projects, subscription->count, project) < subscription->count) {
        project_leave(notify, project);
        return;
    }
    subscription->projects[subscription->count++] = project;
    if (!project->is_known)
        subscription_wait(notify, subscription, project);
}

static void subscribe(struct sio_socket *socket, char (*ids)[VOTE_ID_SIZE], int count,
                      int64_t ack_id)
{
    struct notify *notify = notify_of(socket);
    struct subscription *subscription = allocate(1, sizeof *subscription);
    *subscription = (struct subscription){.socket_number = sio_socket_number(socket),
                                          .ack_id = ack_id,
                                          .waiting = 1, /* until all are looked at */
                                          .projects = allocate((size_t)count + 1, sizeof(void *))};
    for (int i = 0; i < count; i++) {
        session_add(notify, socket, sio_socket_data(socket), ids[i]);
        subscription_add(notify, subscription, ids[i]);
    }
    if (--subscription->waiting == 0)
        subscription_finish(notify, subscription);
}

static void unsubscribe(struct sio_socket *socket, char (*ids)[VOTE_ID_SIZE], int count,
                        int64_t ack_id)
{
    struct notify *notify = notify_of(socket);
    struct session *session = sio_socket_data(socket);
    const struct buf ok = {.data = "{\"ok\":true}", .size = 11};
    for (int i = 0; i < count; i++) {
        struct project *project = project_find(notify, ids[i]);
        if (!project || !session_has(session, project))
            continue;
        size_t at = projects_find(session->projects, session->project_count, project);
        sio_leave(socket, project->room);
        session->projects[at] = session->projects[--session->project_count];
        project_leave(notify, project);
    }
    reply(socket, ack_id, &ok);
}

/* How many of the projects the client does not look at yet. */
static size_t count_new(struct notify *notify, const struct session *session,
                        char (*ids)[VOTE_ID_SIZE], int count)
{
    size_t more = 0;
    for (int i = 0; i < count; i++) {
        const struct project *project = project_find(notify, ids[i]);
        more += !project || !session_has(session, project);
    }
    return more;
}

void client_on_event(struct sio_socket *socket, const char *name, const struct sio_args *args,
                     int64_t ack_id)
{
    struct notify *notify = notify_of(socket);
    const struct session *session = sio_socket_data(socket);
    int max = (int)notify->config->subscriptions_max, count = 0;
    char(*ids)[VOTE_ID_SIZE] = allocate((size_t)max, sizeof *ids);
    struct error error;
    bool joins = !strcmp(name, "subscribe");
    if (!joins && strcmp(name, "unsubscribe") != 0)
        reply_refused(socket, ack_id, "there is subscribe and unsubscribe");
    else if (!subscribe_parse(args->array, ids, max, &count, &error))
        reply_refused(socket, ack_id, error.text);
    else if (!joins)
        unsubscribe(socket, ids, count, ack_id);
    else if (session->project_count + count_new(notify, session, ids, count) > (size_t)max)
        reply_refused(socket, ack_id, "more projects than one client may look at");
    else
        subscribe(socket, ids, count, ack_id);
    free(ids);
}
