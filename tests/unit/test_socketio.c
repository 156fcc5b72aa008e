/* test_socketio.c - the Socket.IO library without I/O: a transport of this test's own takes frames
 * when it is told to. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "socketio/engine.h"

struct fixture {
    struct sio_config config;
    struct sio_server *server;
    struct sio_namespace *namespace;
    struct sio_link link;
    struct sio_socket *socket;
    enum sio_overflow overflow;
    enum sio_reason reason;
    size_t connected, disconnected;
    size_t flushed; /* frames taken because the engine asked for it */
    bool link_is_closed;
};

static void ignore_link(struct sio_link *link)
{
    (void)link;
}

static void ignore_frame(struct sio_link *link, struct sio_frame *frame)
{
    (void)link, (void)frame;
}

static struct fixture *fixture_of(struct sio_link *link)
{
    return (struct fixture *)(void *)((char *)link - offsetof(struct fixture, link));
}

static void take_all(struct sio_link *link)
{
    struct sio_frame *frames[3];
    for (size_t count; (count = engine_peek(link, frames, 3)) > 0;) {
        engine_sent(link, count);
        fixture_of(link)->flushed += count;
    }
}

static void see_close(struct sio_link *link, bool politely)
{
    (void)politely;
    fixture_of(link)->link_is_closed = true;
}

static void ignore_answer(struct sio_link *link, const struct buf *body)
{
    (void)link, (void)body;
}

static void ignore_arm(void *transport)
{
    (void)transport;
}

static const struct link_ops ops = {.wake = ignore_link,
                                    .flush = take_all,
                                    .probe = ignore_frame,
                                    .close = see_close,
                                    .answer = ignore_answer,
                                    .arm = ignore_arm};

static void emit(struct sio_socket *socket, const char *args, uint64_t key)
{
    sio_emit(socket, &(struct sio_message){
                         .event = "e", .args = args, .args_size = strlen(args), .key = key});
}

static bool on_connect(struct sio_socket *socket, const struct sio_connect *request,
                       struct sio_refusal *refusal)
{
    (void)request, (void)refusal;
    struct fixture *fixture = sio_server_context(sio_socket_server(socket));
    fixture->socket = socket;
    fixture->connected++;
    sio_join(socket, "room");
    emit(socket, "\"hello\"", 0);
    return true;
}

static void on_disconnect(struct sio_socket *socket, enum sio_reason reason)
{
    struct fixture *fixture = sio_server_context(sio_socket_server(socket));
    fixture->disconnected++;
    fixture->reason = reason;
}

static enum sio_overflow on_overflow(struct sio_client *client, struct sio_frame *frame)
{
    (void)frame;
    struct fixture *fixture = sio_server_context(client->server);
    return fixture->overflow;
}

static const struct sio_callbacks callbacks = {
    .connect = on_connect, .disconnect = on_disconnect, .overflow = on_overflow};

static const struct sio_frame *next_frame(struct fixture *fixture)
{
    struct sio_frame *frame;
    return engine_peek(&fixture->link, &frame, 1) ? frame : NULL;
}

/* Takes the next frame and compares it; the rest stays. */
static void expect_frame(struct fixture *fixture, const char *text)
{
    const struct sio_frame *frame = next_frame(fixture);
    assert_non_null(frame);
    assert_int_equal(frame->size, strlen(text));
    assert_memory_equal(frame->bytes, text, frame->size);
    engine_sent(&fixture->link, 1);
}

static void skip_frame(struct fixture *fixture)
{
    assert_non_null(next_frame(fixture));
    engine_sent(&fixture->link, 1);
}

static int open_client(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->config = (struct sio_config){.path = "/socket.io/",
                                          .ping_interval_us = 1000000,
                                          .ping_timeout_us = 1000000,
                                          .connect_timeout_us = 1000000,
                                          .ack_timeout_us = 1000000,
                                          .max_payload_bytes = 1000,
                                          .connections_max = 10,
                                          .queue_bytes_max = 1000,
                                          .queue_frames_max = 4};
    fixture->server = sio_server_new(&fixture->config, &callbacks, fixture);
    fixture->namespace = sio_namespace_add(fixture->server, "/");
    engine_attach(fixture->server, &ops, NULL);
    engine_open(fixture->server, SIO_WEBSOCKET, &fixture->link, "127.0.0.1");
    skip_frame(fixture);
    engine_receive(&fixture->link, "40", 2, false);
    skip_frame(fixture);
    expect_frame(fixture, "42[\"e\",\"hello\"]");
    fixture->link.is_congested = true;
    *state = fixture;
    return 0;
}

static int close_client(void **state)
{
    struct fixture *fixture = *state;
    engine_gone(&fixture->link);
    engine_turn(fixture->server);
    assert_int_equal(fixture->disconnected, fixture->connected);
    assert_int_equal(sio_server_stats(fixture->server)->queued_frames, 0);
    assert_int_equal(sio_server_stats(fixture->server)->memberships, 0);
    sio_server_free(fixture->server);
    free(fixture);
    return 0;
}

static void a_newer_frame_takes_the_place_of_one_with_its_key(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture->socket, "1", 7);
    emit(fixture->socket, "2", 0);
    emit(fixture->socket, "3", 7);
    emit(fixture->socket, "4", 8);
    expect_frame(fixture, "42[\"e\",3]");
    expect_frame(fixture, "42[\"e\",2]");
    expect_frame(fixture, "42[\"e\",4]");
    assert_null(next_frame(fixture));
    assert_int_equal(sio_server_stats(fixture->server)->conflated, 1);
}

static void a_frame_of_which_a_part_has_gone_is_not_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct sio_message message = {.event = "b",
                                  .args = "{\"_placeholder\":true,\"num\":0}",
                                  .args_size = 29,
                                  .attachments = &(struct sio_bytes){"xy", 2},
                                  .attachment_count = 1,
                                  .key = 7};
    sio_emit(fixture->socket, &message);
    expect_frame(fixture, "451-[\"b\",{\"_placeholder\":true,\"num\":0}]");
    emit(fixture->socket, "1", 7);
    expect_frame(fixture, "xy");
    expect_frame(fixture, "42[\"e\",1]");
}

static void a_client_that_keeps_up_gets_each_frame(void **state)
{
    struct fixture *fixture = *state;
    fixture->link.is_congested = false;
    emit(fixture->socket, "1", 7);
    emit(fixture->socket, "2", 7);
    expect_frame(fixture, "42[\"e\",1]");
    expect_frame(fixture, "42[\"e\",2]");
}

static void a_burst_in_one_turn_does_not_overflow_a_client_that_keeps_up(void **state)
{
    struct fixture *fixture = *state;
    fixture->link.is_congested = false;
    for (int i = 0; i < 11; i++)
        emit(fixture->socket, "1", 0);
    assert_int_equal(fixture->flushed, 8);
    assert_int_equal(sio_client_queued_frames(sio_socket_client(fixture->socket)), 3);
    take_all(&fixture->link);
}

static void frames_and_their_parts_are_taken_together(void **state)
{
    struct fixture *fixture = *state;
    struct sio_frame *frames[8];
    struct sio_message message = {.event = "b",
                                  .attachments = (struct sio_bytes[]){{"xy", 2}, {"z", 1}},
                                  .attachment_count = 2};
    emit(fixture->socket, "1", 0);
    sio_emit(fixture->socket, &message);
    emit(fixture->socket, "2", 0);
    assert_int_equal(engine_peek(&fixture->link, frames, 8), 5);
    assert_int_equal(frames[3]->size, 1);
    engine_sent(&fixture->link, 3);
    assert_int_equal(engine_peek(&fixture->link, frames, 8), 2);
    expect_frame(fixture, "z");
    expect_frame(fixture, "42[\"e\",2]");
}

static bool has_key(const struct sio_frame *frame, void *context)
{
    return sio_frame_key(frame) == *(uint64_t *)context;
}

static void the_application_drops_what_is_superseded(void **state)
{
    struct fixture *fixture = *state;
    uint64_t key = 5;
    emit(fixture->socket, "1", 4);
    emit(fixture->socket, "2", 5);
    emit(fixture->socket, "3", 6);
    assert_int_equal(sio_client_drop(sio_socket_client(fixture->socket), has_key, &key), 1);
    expect_frame(fixture, "42[\"e\",1]");
    expect_frame(fixture, "42[\"e\",3]");
    assert_null(next_frame(fixture));
}

static void emit_five(struct fixture *fixture, enum sio_overflow overflow)
{
    fixture->overflow = overflow;
    for (int i = 0; i < 5; i++)
        emit(fixture->socket, "1", 0);
}

static void a_frame_that_does_not_fit_is_dropped_if_the_application_says_so(void **state)
{
    struct fixture *fixture = *state;
    emit_five(fixture, SIO_OVERFLOW_DROP);
    assert_int_equal(sio_client_queued_frames(sio_socket_client(fixture->socket)), 4);
    assert_int_equal(sio_server_stats(fixture->server)->dropped, 1);
}

static void a_frame_that_does_not_fit_is_kept_if_the_application_says_so(void **state)
{
    struct fixture *fixture = *state;
    emit_five(fixture, SIO_OVERFLOW_KEEP);
    assert_int_equal(sio_client_queued_frames(sio_socket_client(fixture->socket)), 5);
}

static void a_slow_client_is_closed_from_the_next_turn_on(void **state)
{
    struct fixture *fixture = *state;
    emit_five(fixture, SIO_OVERFLOW_CLOSE);
    assert_int_equal(fixture->disconnected, 0);
    assert_null(next_frame(fixture));
    engine_turn(fixture->server);
    assert_int_equal(fixture->disconnected, 1);
    assert_int_equal(fixture->reason, SIO_SLOW_CLIENT);
    assert_true(fixture->link_is_closed);
}

static void what_is_queued_goes_out_before_the_end(void **state)
{
    struct fixture *fixture = *state;
    emit(fixture->socket, "1", 0);
    sio_client_close(sio_socket_client(fixture->socket), SIO_SERVER_CLOSE);
    engine_turn(fixture->server);
    assert_int_equal(fixture->reason, SIO_SERVER_CLOSE);
    assert_false(fixture->link_is_closed);
    expect_frame(fixture, "42[\"e\",1]");
    assert_true(fixture->link_is_closed);
}

static void a_socket_is_found_until_it_is_marked(void **state)
{
    struct fixture *fixture = *state;
    uint64_t number = sio_socket_number(fixture->socket);
    assert_ptr_equal(sio_socket_find(fixture->server, number), fixture->socket);
    sio_socket_disconnect(fixture->socket);
    assert_null(sio_socket_find(fixture->server, number));
    expect_frame(fixture, "41");
}

static void a_broadcast_shares_one_frame(void **state)
{
    struct fixture *fixture = *state;
    struct sio_message message = {.event = "n"};
    struct sio_frame *frame = sio_frame_new(fixture->namespace, &message);
    assert_int_equal(sio_broadcast(fixture->namespace, "room", frame, NULL), 1);
    assert_int_equal(sio_broadcast(fixture->namespace, "room", frame, fixture->socket), 0);
    assert_int_equal(sio_broadcast(fixture->namespace, "nobody", frame, NULL), 0);
    assert_ptr_equal(next_frame(fixture), frame);
    assert_int_equal(frame->references, 2);
    sio_frame_unref(frame);
    expect_frame(fixture, "42[\"n\"]");
}

static void deadlines_come_in_order_whatever_order_they_are_set_in(void **state)
{
    (void)state;
    static const int64_t due[] = {5, 1, 9, 3, 3};
    struct deadline deadlines[5] = {0};
    struct deadline_list list = {0};
    int64_t due_us, last_us = 0;
    for (size_t i = 0; i < 5; i++)
        deadline_set(&list, &deadlines[i], &deadlines[i], due[i]);
    deadline_clear(&deadlines[0]);
    assert_int_equal(deadline_earliest(&list), 1);
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(deadline_take(&list, 4, &due_us));
        assert_true(due_us >= last_us);
        last_us = due_us;
    }
    assert_null(deadline_take(&list, 4, &due_us));
    assert_int_equal(deadline_earliest(&list), 9);
}

int main(void)
{
#define WITH_CLIENT(test) cmocka_unit_test_setup_teardown(test, open_client, close_client)
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(a_newer_frame_takes_the_place_of_one_with_its_key),
        WITH_CLIENT(a_frame_of_which_a_part_has_gone_is_not_replaced),
        WITH_CLIENT(a_client_that_keeps_up_gets_each_frame),
        WITH_CLIENT(a_burst_in_one_turn_does_not_overflow_a_client_that_keeps_up),
        WITH_CLIENT(frames_and_their_parts_are_taken_together),
        WITH_CLIENT(the_application_drops_what_is_superseded),
        WITH_CLIENT(a_frame_that_does_not_fit_is_dropped_if_the_application_says_so),
        WITH_CLIENT(a_frame_that_does_not_fit_is_kept_if_the_application_says_so),
        WITH_CLIENT(a_slow_client_is_closed_from_the_next_turn_on),
        WITH_CLIENT(what_is_queued_goes_out_before_the_end),
        WITH_CLIENT(a_socket_is_found_until_it_is_marked),
        WITH_CLIENT(a_broadcast_shares_one_frame),
        cmocka_unit_test(deadlines_come_in_order_whatever_order_they_are_set_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
