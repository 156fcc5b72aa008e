/* dead.c - a record that can never be applied goes to vote.dead with its reason, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { POLL_MS = 50 };

static void header_text(rd_kafka_headers_t *headers, const char *name, const char *text)
{
    rd_kafka_header_add(headers, name, -1, text, -1);
}

static void header_int(rd_kafka_headers_t *headers, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    header_text(headers, name, text);
}

/* The dialect of Kafka Connect's dead letter queue (KIP-298), and the short one other tools read.
 */
static void headers_add_reason(rd_kafka_headers_t *headers, const struct commit *commit,
                               const rd_kafka_message_t *message, const char *reason,
                               const char *sqlstate)
{
    char now[CLOCK_TEXT_SIZE];
    const char *topic = rd_kafka_topic_name(message->rkt);
    clock_format_ms(clock_wall_ms(), now);
    header_text(headers, "__connect.errors.topic", topic);
    header_int(headers, "__connect.errors.partition", message->partition);
    header_int(headers, "__connect.errors.offset", message->offset);
    header_text(headers, "__connect.errors.connector.name", commit->config->group);
    header_text(headers, "__connect.errors.stage", sqlstate ? "TASK_PUT" : "VALUE_CONVERTER");
    header_text(headers, "__connect.errors.class.name", "vote-commit");
    header_text(headers, "__connect.errors.exception.class.name", sqlstate ? "sql" : "decode");
    header_text(headers, "__connect.errors.exception.message", reason);
    header_text(headers, "__dlq.errors.topic", topic);
    header_int(headers, "__dlq.errors.partition", message->partition);
    header_int(headers, "__dlq.errors.offset", message->offset);
    header_text(headers, "__dlq.errors.group", commit->config->group);
    header_int(headers, "__dlq.errors.delivery.count", 1);
    header_text(headers, "__dlq.errors.message", reason);
    header_int(headers, "vote_attempts", 1);
    header_text(headers, "vote_first_failed_at", now);
    if (sqlstate)
        header_text(headers, "vote_sqlstate", sqlstate);
}

static rd_kafka_headers_t *headers_of(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_kafka_headers_copy(headers);
    return rd_kafka_headers_new(20);
}

static bool dead_send(struct commit *commit, const rd_kafka_message_t *message,
                      rd_kafka_headers_t *headers)
{
    rd_kafka_resp_err_t code;
    do {
        code = rd_kafka_producev(commit->producer, RD_KAFKA_V_TOPIC(TOPIC_DEAD),
                                 RD_KAFKA_V_KEY(message->key, message->key_len),
                                 RD_KAFKA_V_VALUE(message->payload, message->len),
                                 RD_KAFKA_V_HEADERS(headers),
                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (code)
            rd_kafka_poll(commit->producer, POLL_MS);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !stop_asked(&commit->stop));
    if (code)
        rd_kafka_headers_destroy(headers);
    return !code;
}

bool dead_letter(struct commit *commit, const rd_kafka_message_t *message, const char *reason,
                 const char *sqlstate)
{
    rd_kafka_headers_t *headers = headers_of(message);
    headers_add_reason(headers, commit, message, reason, sqlstate);
    bool sent = dead_send(commit, message, headers);
    while (sent && rd_kafka_flush(commit->producer, POLL_MS) && stop_asked(&commit->stop) < 1)
        admin_beat(&commit->admin);
    if (!sent || rd_kafka_outq_len(commit->producer))
        return false;
    metric_add(commit->metrics.dead, 1);
    LOG_EVENT(commit->log, LOG_ERROR, "dead letter", LOG_INT("partition", message->partition),
              LOG_INT("offset", message->offset), LOG_STR("reason", reason));
    return true;
}
