/* server.c - the HTTP server's loop: its start, its turns and its end. SPDX-License-Identifier:
 * Apache-2.0 */
#include "http/server.h"

#include "base/clock.h"
#include "base/listen.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG = 1024, TICK_MS = 500 };

/* --- Answers from other threads -------------------------------------------------------------- */

static bool is_loop(const struct http_server *server)
{
    return pthread_equal(pthread_self(), server->thread);
}

void http_done(struct http_request *request)
{
    struct connection *connection = request->connection;
    struct http_server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    connection->done_next = server->done;
    server->done = connection;
    if (!is_loop(server))
        uv_async_send(&server->wake); /* with the lock: without it the server may be gone */
    pthread_mutex_unlock(&server->lock);
}

static void run_in_worker(struct work *work)
{
    struct http_request *request =
        (struct http_request *)((char *)work - offsetof(struct http_request, work));
    request->run(request);
}

void http_work(struct http_request *request, http_handler run)
{
    request->run = run;
    request->work.run = run_in_worker;
    workers_run(request->connection->server->workers, &request->work);
}

static struct connection *take_done(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct connection *done = server->done;
    server->done = NULL;
    pthread_mutex_unlock(&server->lock);
    return done;
}

/* An answer may let the connection's next request in, which may be answered at once. */
static void answer_done(struct http_server *server)
{
    struct connection *connection, *next;
    while ((connection = take_done(server))) {
        for (; connection; connection = next) {
            next = connection->done_next;
            connection_answer(connection);
        }
    }
}

/* --- Turns ----------------------------------------------------------------------------------- */

/* Who has waited for the requests that are being read has waited long enough. */
static void close_idle(struct http_server *server)
{
    struct connection *next;
    for (struct connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        if (!connection->in_hand && !connection->is_writing && !connection->is_deaf)
            connection_drop(connection);
    }
}

/* When the last connection is gone nothing keeps the loop. */
static void close_down(struct http_server *server)
{
    if (!atomic_load(&server->is_stopping))
        return;
    if (!server->is_closing)
        uv_close((uv_handle_t *)&server->listener, NULL);
    server->is_closing = true;
    close_idle(server);
    if (server->connection_count > 0 || uv_is_closing((uv_handle_t *)&server->wake))
        return;
    uv_close((uv_handle_t *)&server->wake, NULL);
    uv_close((uv_handle_t *)&server->timer, NULL);
    uv_close((uv_handle_t *)&server->turn_end, NULL);
}

static void on_turn_end(uv_prepare_t *prepare)
{
    answer_done(prepare->data);
    close_down(prepare->data);
}

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* the end of the turn does it */
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    struct deadline_list *lists[] = {&server->requests, &server->idles, &server->writes,
                                     &server->closings};
    int64_t now_us = clock_mono_us(), due_us;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct connection *connection;
        while ((connection = deadline_take(lists[i], now_us, &due_us)))
            connection_expire(connection);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status >= 0)
        connection_accept(listener->data);
}

static void *serve(void *context)
{
    struct http_server *server = context;
    uv_run(&server->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* --- Start and end --------------------------------------------------------------------------- */

static struct http_server *server_new(const struct http_settings *settings)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server || uv_loop_init(&server->loop))
        abort();
    server->settings = *settings;
    pthread_mutex_init(&server->lock, NULL);
    uv_tcp_init(&server->loop, &server->listener);
    uv_timer_init(&server->loop, &server->timer);
    uv_async_init(&server->loop, &server->wake, on_wake);
    uv_prepare_init(&server->loop, &server->turn_end);
    server->listener.data = server->timer.data = server->turn_end.data = server;
    uv_timer_start(&server->timer, on_tick, TICK_MS, TICK_MS);
    uv_prepare_start(&server->turn_end, on_turn_end);
    server->workers = workers_new(settings->threads);
    return server;
}

static void server_free(struct http_server *server)
{
    workers_free(server->workers);
    uv_loop_close(&server->loop);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* Ends a server that has not served. */
static void server_abandon(struct http_server *server)
{
    atomic_store(&server->is_stopping, 1);
    close_down(server);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    server_free(server);
}

bool http_start(struct http_server **result, const struct http_settings *settings,
                struct error *error)
{
    struct sockaddr_storage address;
    if (!listen_parse(settings->listen, &address, error))
        return false;
    signal(SIGPIPE, SIG_IGN);
    struct http_server *server = server_new(settings);
    int code = uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0);
    if (!code)
        code = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    if (!code && pthread_create(&server->thread, NULL, serve, server))
        abort(); /* no threads at the start: nothing would work */
    if (!code) {
        *result = server;
        return true;
    }
    server_abandon(server);
    return error_set(error, ERROR_UNAVAILABLE, "unable to listen on %s: %s", settings->listen,
                     uv_strerror(code));
}

void http_drain(struct http_server *server)
{
    atomic_store(&server->is_draining, 1);
}

int http_in_hand(const struct http_server *server)
{
    return atomic_load(&server->in_hand);
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    atomic_store(&server->is_stopping, 1);
    uv_async_send(&server->wake);
    pthread_join(server->thread, NULL);
    server_free(server);
}
