/* server.c - a Socket.IO server to test the library with: what the protocol documents' own suites
 * ask for, on /socket.io/ and on plain /engine.io/, and a few events that our tests need.
 *
 * For those suites (socketio/socket.io: docs/engine.io-protocol/v4-test-suite and
 * docs/socket.io-protocol/v5-test-suite) it needs no flags; in the folder of each, beside it:
 *
 *     make build/test/socketio && build/test/socketio
 *     npm ci && npm test
 *
 * They go to http://localhost:3000. Where that is ::1 and nothing else (Node.js before 20 takes the
 * first address only), start it with --host '[::]'. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/tool.h"
#include "socketio/transport.h"
#include "tls/tls.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

struct test_config {
    const char *host;
    int64_t port;
    int64_t auth_delay_us;
    struct tls_config tls;
    struct sio_config sio;
};

#define SIO(member) offsetof(struct test_config, sio.member)
/* clang-format off */
static const struct option test_options[] = {
    {.name = "host", .type = OPTION_TEXT, .offset = offsetof(struct test_config, host),
     .preset = "127.0.0.1", .argument = "ADDRESS", .summary = "[::]: all, by both protocols"},
    {.name = "port", .type = OPTION_INT, .offset = offsetof(struct test_config, port),
     .preset = "3000", .argument = "PORT", .max = 65535, .summary = "0: any that is free"},
    {.name = "auth-delay", .type = OPTION_DURATION,
     .offset = offsetof(struct test_config, auth_delay_us), .preset = "50ms",
     .argument = "DURATION", .summary = "from joining a namespace to its `auth` event"},
    {.name = "ping-interval", .type = OPTION_DURATION, .offset = SIO(ping_interval_us),
     .preset = "300ms", .argument = "DURATION", .summary = "time between pings"},
    {.name = "ping-timeout", .type = OPTION_DURATION, .offset = SIO(ping_timeout_us),
     .preset = "200ms", .argument = "DURATION", .summary = "longest wait for a pong"},
    {.name = "connect-timeout", .type = OPTION_DURATION, .offset = SIO(connect_timeout_us),
     .preset = "1s", .argument = "DURATION", .summary = "longest time without a namespace"},
    {.name = "upgrade-timeout", .type = OPTION_DURATION, .offset = SIO(upgrade_timeout_us),
     .preset = "10s", .argument = "DURATION", .summary = "from probe to upgrade"},
    {.name = "ack-timeout", .type = OPTION_DURATION, .offset = SIO(ack_timeout_us),
     .preset = "1s", .argument = "DURATION", .summary = "for an acknowledgement"},
    {.name = "max-payload", .type = OPTION_SIZE, .offset = SIO(max_payload_bytes),
     .preset = "1000000B", .argument = "SIZE", .summary = "largest message"},
    {.name = "max-connections", .type = OPTION_INT, .offset = SIO(connections_max),
     .preset = "20000", .argument = "N", .summary = "clients at once"},
    {.name = "queue-bytes", .type = OPTION_SIZE, .offset = SIO(queue_bytes_max),
     .preset = "4MiB", .argument = "SIZE", .summary = "waiting for one client"},
    {.name = "queue-frames", .type = OPTION_INT, .offset = SIO(queue_frames_max),
     .preset = "10000", .argument = "N", .summary = "the same in frames"},
    {.name = "permessage-deflate", .type = OPTION_SIZE, .offset = SIO(deflate_min_bytes),
     .preset = "0", .argument = "SIZE", .summary = "compress messages from this size on"},
    {.name = "flood-limit", .type = OPTION_QUOTA, .offset = SIO(flood), .preset = "0",
     .argument = "N/DURATION", .summary = "packets from a client"},
    {.name = "cors-origins", .type = OPTION_TEXT, .offset = SIO(cors_origins), .preset = "*",
     .argument = "LIST", .summary = "origins"},
};
/* clang-format on */

struct test {
    uv_loop_t loop;
    struct tls_context *tls; /* NULL: in plain */
    uv_signal_t sigterm;
    struct sio_config engine_config;
    struct sio_server *engine, *server;
    struct sio_transport *transport;
    int64_t auth_delay_us;
    size_t drained;
};

/* An `auth` event that has to wait. */
struct greeting {
    uv_timer_t timer;
    struct test *test;
    uint64_t socket_number;
    struct buf auth;
};

static struct test *test_of(struct sio_socket *socket)
{
    return sio_server_context(sio_socket_server(socket));
}

static void emit(struct sio_socket *socket, const char *event, const struct sio_args *args)
{
    sio_emit(socket, &(struct sio_message){.event = event,
                                           .args = args->text,
                                           .args_size = args->size,
                                           .attachments = args->attachments,
                                           .attachment_count = args->attachment_count});
}

static void answer(struct sio_socket *socket, int64_t ack_id, const char *args)
{
    sio_ack(socket, ack_id, &(struct sio_message){.args = args, .args_size = strlen(args)});
}

/* --- Events ---------------------------------------------------------------------------------- */

static void on_message(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    (void)ack_id;
    emit(socket, "message-back", args);
}

static void on_message_with_ack(struct sio_socket *socket, const struct sio_args *args,
                                int64_t ack_id)
{
    sio_ack(socket, ack_id,
            &(struct sio_message){.args = args->text,
                                  .args_size = args->size,
                                  .attachments = args->attachments,
                                  .attachment_count = args->attachment_count});
}

static const char *first_text(const struct sio_args *args)
{
    const char *text = json_string_value(json_array_get(args->array, 0));
    return text ? text : "";
}

static int64_t number_at(const struct sio_args *args, size_t at)
{
    return json_integer_value(json_array_get(args->array, at));
}

static void on_join(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    answer(socket, ack_id, sio_join(socket, first_text(args)) ? "true" : "false");
}

static void on_leave(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    answer(socket, ack_id, sio_leave(socket, first_text(args)) ? "true" : "false");
}

/* [room, count, size]: so many broadcasts of an event `news`; tells the CPU time they took. */
static void on_broadcast(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    char padding[65536], text[160];
    struct buf news = {0};
    int64_t count = number_at(args, 1), size = number_at(args, 2);
    size_t deliveries = 0;
    memset(padding, 'x', sizeof padding);
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int64_t i = 0; i < count; i++) {
        buf_clear(&news);
        buf_format(&news, "%lld,\"%.*s\"", (long long)i, (int)(size < 65536 ? size : 65536) - 1,
                   padding);
        struct sio_message message = {.event = "news", .args = news.data, .args_size = news.size};
        struct sio_frame *frame = sio_frame_new(sio_socket_namespace(socket), &message);
        deliveries += sio_broadcast(sio_socket_namespace(socket), first_text(args), frame, NULL);
        sio_frame_unref(frame);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    buf_free(&news);
    snprintf(text, sizeof text, "{\"deliveries\":%zu,\"cpu_ns\":%lld}", deliveries,
             (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
    answer(socket, ack_id, text);
}

/* [count, size, keys]: so many events `count` of rising number, by key in turn; 0 keys: none. */
static void on_counts(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    struct buf text = {0};
    int64_t keys = number_at(args, 2);
    char *padding = calloc(1, (size_t)number_at(args, 1) + 1);
    memset(padding, 'x', (size_t)number_at(args, 1));
    for (int64_t i = 0; i < number_at(args, 0); i++) {
        buf_clear(&text);
        buf_format(&text, "%lld,\"%s\"", (long long)i, padding);
        sio_emit(socket, &(struct sio_message){.event = "count",
                                               .args = text.data,
                                               .args_size = text.size,
                                               .key = keys ? (uint64_t)(i % keys) + 1 : 0});
    }
    free(padding);
    buf_free(&text);
    answer(socket, ack_id, "true");
}

static void on_answered(struct sio_socket *socket, const struct sio_args *args, void *context)
{
    (void)context;
    if (args)
        emit(socket, "answered", args);
    else
        emit(socket, "answered", &(struct sio_args){.text = "null", .size = 4});
}

/* Asks the client a `question` with the same arguments, and tells what it answers. */
static void on_ask(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    (void)ack_id;
    sio_emit_ack(
        socket,
        &(struct sio_message){.event = "question", .args = args->text, .args_size = args->size},
        on_answered, NULL);
}

static void on_disconnect_me(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    (void)args, (void)ack_id;
    sio_socket_disconnect(socket);
}

static void on_close_me(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    (void)args, (void)ack_id;
    sio_client_close(sio_socket_client(socket), SIO_SERVER_CLOSE);
}

static int descriptor_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    closedir(directory);
    return count - 3; /* ".", ".." and the directory itself */
}

static void on_stats(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id)
{
    (void)args;
    struct buf text = {0};
    struct test *test = test_of(socket);
    const struct sio_stats *stats = sio_server_stats(test->server);
    const struct sio_stats *engine = sio_server_stats(test->engine);
    buf_char(&text, '{');
    buf_member_int(&text, "descriptors", descriptor_count());
    buf_member_int(&text, "polling", (int64_t)stats->clients[SIO_POLLING]);
    buf_member_int(&text, "websocket", (int64_t)stats->clients[SIO_WEBSOCKET]);
    buf_member_int(&text, "engine",
                   (int64_t)(engine->clients[SIO_POLLING] + engine->clients[SIO_WEBSOCKET]));
    buf_member_int(&text, "sockets", (int64_t)stats->sockets);
    buf_member_int(&text, "rooms", (int64_t)stats->rooms);
    buf_member_int(&text, "memberships", (int64_t)stats->memberships);
    buf_member_int(&text, "queued_frames", (int64_t)stats->queued_frames);
    buf_member_int(&text, "queued_bytes", (int64_t)stats->queued_bytes);
    buf_member_int(&text, "opened",
                   (int64_t)(stats->opened[SIO_POLLING] + stats->opened[SIO_WEBSOCKET]));
    buf_member_int(&text, "upgraded", (int64_t)stats->upgraded);
    buf_member_int(&text, "conflated", (int64_t)stats->conflated);
    buf_member_int(&text, "dropped", (int64_t)stats->dropped);
    for (int i = 0; i < SIO_REASONS; i++)
        buf_member_int(&text, sio_reason_name(i), (int64_t)stats->closed[i]);
    buf_char(&text, '}');
    answer(socket, ack_id, text.data);
    buf_free(&text);
}

static const struct {
    const char *name;
    void (*handle)(struct sio_socket *socket, const struct sio_args *args, int64_t ack_id);
} events[] = {
    {"message", on_message},
    {"message-with-ack", on_message_with_ack},
    {"join", on_join},
    {"leave", on_leave},
    {"broadcast", on_broadcast},
    {"counts", on_counts},
    {"ask", on_ask},
    {"disconnect-me", on_disconnect_me},
    {"close-me", on_close_me},
    {"stats", on_stats},
};

static void on_event(struct sio_socket *socket, const char *name, const struct sio_args *args,
                     int64_t ack_id)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (!strcmp(name, events[i].name))
            events[i].handle(socket, args, ack_id);
}

static void emit_auth(struct sio_socket *socket, const char *text, size_t size)
{
    emit(socket, "auth", &(struct sio_args){.text = text, .size = size});
}

static void on_greeting_closed(uv_handle_t *handle)
{
    struct greeting *greeting = handle->data;
    buf_free(&greeting->auth);
    free(greeting);
}

static void on_greeting(uv_timer_t *timer)
{
    struct greeting *greeting = timer->data;
    struct sio_server *server = greeting->test->server;
    struct sio_socket *socket = server ? sio_socket_find(server, greeting->socket_number) : NULL;
    if (socket)
        emit_auth(socket, greeting->auth.data, greeting->auth.size);
    uv_close((uv_handle_t *)timer, on_greeting_closed);
}

/* The suite of the protocol's document listens for one message at a time, and misses `auth` when
 * it is read together with the CONNECT in front of it, which newer versions of its WebSocket client
 * tell of in one go. */
static void greet(struct sio_socket *socket, const char *text, size_t size)
{
    struct test *test = test_of(socket);
    if (test->auth_delay_us == 0) {
        emit_auth(socket, text, size);
        return;
    }
    struct greeting *greeting = calloc(1, sizeof *greeting);
    if (!greeting)
        abort();
    greeting->test = test;
    greeting->socket_number = sio_socket_number(socket);
    buf_put(&greeting->auth, text, size);
    uv_timer_init(&test->loop, &greeting->timer);
    greeting->timer.data = greeting;
    uv_timer_start(&greeting->timer, on_greeting, (uint64_t)test->auth_delay_us / 1000, 0);
}

static bool on_connect(struct sio_socket *socket, const struct sio_connect *request,
                       struct sio_refusal *refusal)
{
    if (json_is_true(json_object_get(request->auth, "refuse"))) {
        snprintf(refusal->message, sizeof refusal->message, "refused");
        refusal->data = json_pack("{s:i}", "code", 7);
        return false;
    }
    greet(socket, request->auth_text, request->auth_size);
    return true;
}

static void on_engine_message(struct sio_client *client, const struct sio_bytes *message,
                              bool is_binary)
{
    sio_client_send(client, message, is_binary);
}

/* --- The process ----------------------------------------------------------------------------- */

static void on_drained(struct sio_server *server)
{
    struct test *test = sio_server_context(server);
    if (++test->drained == 2)
        uv_stop(&test->loop);
}

/* First a gentle end, then at once. */
static void on_sigterm(uv_signal_t *handle, int number)
{
    (void)number;
    struct test *test = handle->data;
    sio_server_drain(test->server, 200 * 1000);
    sio_server_drain(test->engine, 0);
}

static const struct sio_callbacks callbacks = {
    .connect = on_connect, .event = on_event, .drained = on_drained};
static const struct sio_callbacks engine_callbacks = {.message = on_engine_message,
                                                      .drained = on_drained};

static void test_make(struct test *test, struct test_config *config)
{
    config->sio.path = "/socket.io/";
    test->engine_config = config->sio;
    test->engine_config.path = "/engine.io/";
    test->server = sio_server_new(&config->sio, &callbacks, test);
    test->engine = sio_server_new(&test->engine_config, &engine_callbacks, test);
    test->auth_delay_us = config->auth_delay_us;
    sio_namespace_add(test->server, "/");
    sio_namespace_add(test->server, "/custom");
    uv_loop_init(&test->loop);
    uv_signal_init(&test->loop, &test->sigterm);
    test->sigterm.data = test;
    uv_signal_start(&test->sigterm, on_sigterm, SIGTERM);
}

static void test_serve(struct test *test)
{
    sio_transport_add(test->transport, test->engine);
    printf("%d\n", sio_transport_port(test->transport));
    fflush(stdout);
    uv_run(&test->loop, UV_RUN_DEFAULT);
}

static void test_free(struct test *test)
{
    uv_close((uv_handle_t *)&test->sigterm, NULL);
    sio_transport_close(test->transport);
    tls_context_close(test->tls);
    sio_server_free(test->server);
    sio_server_free(test->engine);
    test->server = NULL;
    uv_run(&test->loop, UV_RUN_DEFAULT);
    uv_loop_close(&test->loop);
}

static bool run(void *pointer, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    char listen[80];
    struct test test = {0};
    struct test_config *config = pointer;
    signal(SIGPIPE, SIG_IGN);
    test_make(&test, config);
    snprintf(listen, sizeof listen, "%s:%d", config->host, (int)config->port);
    bool is_open =
        tls_context_open(&test.tls, &config->tls, error) &&
        sio_transport_open(&test.transport, test.server, &test.loop, listen, test.tls, error);
    if (is_open)
        test_serve(&test);
    test_free(&test);
    return is_open;
}

int main(int argc, char **argv)
{
    struct test_config config = {0};
    const struct option_set sets[] = {
        {.title = "Settings",
         .options = test_options,
         .count = sizeof test_options / sizeof *test_options,
         .target = &config},
        {"TLS", tls_options, TLS_OPTION_COUNT, &config.tls},
    };
    const struct tool tool = {.name = "socketio-test",
                              .purpose = "A Socket.IO server for tests; prints its port.",
                              .usage = "[--host ADDRESS] [--port PORT]",
                              .sets = sets,
                              .set_count = sizeof sets / sizeof *sets,
                              .config = &config,
                              .run = run};
    return tool_run(&tool, argc, argv);
}
