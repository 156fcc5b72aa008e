/* envelope.h - a record as a line of JSON from which it can be made again, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KAFKA_ENVELOPE_H
#define KAFKA_ENVELOPE_H

#include "base/buf.h"
#include "base/error.h"
#include "kafka/kafka.h"

/* A record, wherever it came from. A key or value of NULL is null, which is not empty. */
struct envelope {
    const char *topic;
    int32_t partition;
    int64_t offset, timestamp_ms; /* Unix milliseconds */
    const void *key, *value;
    size_t key_size, value_size;
    rd_kafka_headers_t *headers; /* NULL: none */
};

/* Borrows all of it from the message. */
void envelope_of_message(struct envelope *envelope, const rd_kafka_message_t *message);

/* Puts the line with its newline. */
void envelope_put(const struct envelope *envelope, struct buf *out);

/* What a parsed envelope points into. Zero-initialised is empty; one serves many lines. */
struct envelope_text {
    struct buf topic, key, value;
};

void envelope_text_free(struct envelope_text *text);

/* Reads a line as envelope_put writes it, with white space and members in any order; topic,
 * partition, offset and timestamp may be missing ("" and -1), key, headers and value not. The
 * envelope's `headers` are the caller's to destroy; all else is valid until the next call.
 * ERROR_DATA names the member that is wrong, and then there is nothing to destroy. */
bool envelope_parse(struct envelope *envelope, struct envelope_text *text, const char *line,
                    size_t size, struct error *error) __attribute__((warn_unused_result));

#endif
