/* fuzz_message.c - whatever a client sends as HTTP, it means the same however TCP cuts it, stays
 * within its bounds, and has an end that is clear. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/uri.h"
#include "http/message.h"

#include <string.h>

enum { BODY_MAX = 512, REQUESTS_MAX = 16 };

static void check_bounds(const struct message *message)
{
    assert(message->head.size <= HEAD_BYTES_MAX && message->body.size <= BODY_MAX);
    assert(message->header_count <= HEADER_COUNT_MAX);
    assert((message->state == MESSAGE_REFUSED) ==
           (message->refusal == 400 || message->refusal == 431));
}

/* Feeds `size` bytes, `step` at a time, until the request is there or refused; returns how many it
 * took. */
static size_t read_request(struct message *message, const char *data, size_t size, size_t step)
{
    size_t at = 0;
    while (at < size && message->state < MESSAGE_WHOLE) {
        size_t part = size - at < step ? size - at : step;
        size_t taken = message_feed(message, data + at, part);
        assert(taken <= part && (taken == part || message->state >= MESSAGE_WHOLE));
        at += taken;
        check_bounds(message);
    }
    return at;
}

static void check_same(const struct message *one, const struct message *other)
{
    assert(one->state == other->state && one->refusal == other->refusal);
    assert(one->header_count == other->header_count && one->keeps_alive == other->keeps_alive);
    assert(one->head.size == other->head.size && one->body.size == other->body.size);
    assert(one->head.size == 0 || !memcmp(one->head.data, other->head.data, one->head.size));
    assert(one->body.size == 0 || !memcmp(one->body.data, other->body.data, one->body.size));
}

static void check_target(struct message *message)
{
    const char *path, *query;
    char value[32];
    if (!message_target(message, &path, &query))
        return;
    assert(*path == '/' || !strcmp(path, "*"));
    if (uri_query(query, "a", value, sizeof value))
        assert(strlen(value) < sizeof value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message whole = {0}, pieces = {0};
    const char *text = (const char *)data;
    size_t at = 0, step = size ? data[0] % 7 + 1 : 1;
    message_init(&whole, BODY_MAX);
    message_init(&pieces, BODY_MAX);
    for (int i = 0; i < REQUESTS_MAX && at < size; i++) {
        size_t taken = read_request(&whole, text + at, size - at, size - at);
        assert(read_request(&pieces, text + at, size - at, step) >= 1);
        if (whole.state != MESSAGE_WHOLE)
            break;
        check_same(&whole, &pieces);
        check_target(&whole);
        message_next(&whole);
        message_next(&pieces);
        at += taken;
    }
    message_free(&whole);
    message_free(&pieces);
    return 0;
}
