/* kafka.h - a thin manner around librdkafka: its settings, its reports, a producer that keeps what
 * it is given until all in-sync replicas have it. SPDX-License-Identifier: Apache-2.0 */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include "base/error.h"
#include "base/option.h"
#include "trace/context.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

struct kafka_config {
    const char *brokers;
    struct option_pairs properties; /* passed through to librdkafka, last: they win */
};

/* --kafka-brokers and -X, for a struct kafka_config. */
extern const struct option kafka_options[];
enum { KAFKA_OPTION_COUNT = 2 };

/* What the client's own threads report: whether the cluster can be reached. Zero is "not yet". */
struct kafka_health {
    _Atomic int down; /* all brokers are */
    char text[200];   /* the last report; racy by design, for people */
    void *owner;      /* whoever owns the client, for its callbacks; may be NULL */
};

/* Makes settings: `pairs` (key, value, ..., NULL), then the user's properties. The caller hands the
 * result to rd_kafka_new. `health` (may be NULL) outlives the client. NULL with the error filled
 * when a property is refused. */
rd_kafka_conf_t *kafka_conf(const struct kafka_config *config, const char *const *pairs,
                            struct kafka_health *health, struct error *error)
    __attribute__((warn_unused_result));

/* Makes a client, and waits up to `timeout_ms` (0: not at all) until a broker answers. */
rd_kafka_t *kafka_open(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers,
                       int timeout_ms, struct error *error) __attribute__((warn_unused_result));

/* Where a partition's log begins and where its next record will be, asked of its leader, and of the
 * next one when that is lost, for `timeout_ms` and at most a second more. Returns librdkafka's
 * error, with neither written. (rd_kafka_query_watermark_offsets has no timeout while the leader is
 * away: librdkafka's issue 2588, until 2.3.) */
rd_kafka_resp_err_t kafka_ends(rd_kafka_t *client, const char *topic, int32_t partition,
                               int64_t *low, int64_t *high, int timeout_ms)
    __attribute__((warn_unused_result));

/* Sends one record; `headers` is taken, whatever is returned. `opaque` comes back in the delivery
 * report. Returns librdkafka's error: RD_KAFKA_RESP_ERR__QUEUE_FULL means poll and call again. */
rd_kafka_resp_err_t kafka_send(rd_kafka_t *producer, const char *topic, const char *key,
                               const void *value, size_t size, rd_kafka_headers_t *headers,
                               void *opaque) __attribute__((warn_unused_result));

/* Has the broker itself acknowledged the record of this delivery report? A producer with
 * idempotence also reports success for what it only concludes from the acknowledgement of a later
 * batch, and is wrong when that went to a leader which had never heard of it (librdkafka's issue
 * 4134): then the record has no offset, and may or may not be in the log. */
bool kafka_is_acknowledged(const rd_kafka_message_t *report);

/* Sends the record of a delivery report again, with its opaque. As kafka_send. */
rd_kafka_resp_err_t kafka_send_again(rd_kafka_t *producer, const rd_kafka_message_t *report)
    __attribute__((warn_unused_result));

/* CloudEvents 1.0 binary mode (Kafka protocol binding) and W3C traceparent. `id` is ce_id. */
rd_kafka_headers_t *kafka_event_headers(const char *type, const char *source, const char *id,
                                        int64_t time_ms, const char *traceparent);

/* Reads the traceparent of a record, or of its headers (NULL: it has none); false when there is
 * none that is well formed. */
bool kafka_trace_context(const rd_kafka_headers_t *headers, struct trace_context *context)
    __attribute__((warn_unused_result));
bool kafka_message_trace(const rd_kafka_message_t *message, struct trace_context *context)
    __attribute__((warn_unused_result));

/* Copies the last header of that name as text; false when there is none, or it does not fit. */
bool kafka_header_text(const rd_kafka_message_t *message, const char *name, char *text, size_t size)
    __attribute__((warn_unused_result));

/* True when the last header of that name is exactly this text of at most 63 bytes. */
bool kafka_header_is(const rd_kafka_message_t *message, const char *name, const char *text)
    __attribute__((warn_unused_result));

#endif
