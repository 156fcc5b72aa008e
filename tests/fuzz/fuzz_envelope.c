/* fuzz_envelope.c - a line of a file for vote-replay: it is refused with a reason, or what was read
 * of it is written as a line that reads the same. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "kafka/envelope.h"

#include <string.h>

static void check_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    assert(!a == !b && a_size == b_size);
    assert(!a_size || !memcmp(a, b, a_size));
}

static void check_headers(const rd_kafka_headers_t *a, const rd_kafka_headers_t *b)
{
    const char *names[2];
    const void *values[2];
    size_t sizes[2], count = a ? rd_kafka_header_cnt(a) : 0;
    assert((b ? rd_kafka_header_cnt(b) : 0) == count);
    for (size_t i = 0; i < count; i++) {
        assert(!rd_kafka_header_get_all(a, i, &names[0], &values[0], &sizes[0]));
        assert(!rd_kafka_header_get_all(b, i, &names[1], &values[1], &sizes[1]));
        assert(!strcmp(names[0], names[1]));
        check_bytes(values[0], sizes[0], values[1], sizes[1]);
    }
}

static void envelope_free(struct envelope *envelope, struct envelope_text *text)
{
    if (envelope->headers)
        rd_kafka_headers_destroy(envelope->headers);
    envelope_text_free(text);
}

static void check_reads_back(const struct envelope *envelope)
{
    struct envelope again;
    struct envelope_text text = {0};
    struct error error = {0};
    struct buf line = {0};
    envelope_put(envelope, &line);
    assert(line.size && memchr(line.data, '\n', line.size) == line.data + line.size - 1);
    assert(envelope_parse(&again, &text, line.data, line.size, &error));
    assert(!strcmp(again.topic, envelope->topic) && again.partition == envelope->partition);
    assert(again.offset == envelope->offset && again.timestamp_ms == envelope->timestamp_ms);
    check_bytes(again.key, again.key_size, envelope->key, envelope->key_size);
    check_bytes(again.value, again.value_size, envelope->value, envelope->value_size);
    check_headers(again.headers, envelope->headers);
    envelope_free(&again, &text);
    buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope;
    struct envelope_text text = {0};
    struct error error = {0};
    if (envelope_parse(&envelope, &text, (const char *)data, size, &error))
        check_reads_back(&envelope);
    else
        assert(error.code == ERROR_DATA && error.text[0]);
    envelope_free(&envelope, &text);
    return 0;
}
