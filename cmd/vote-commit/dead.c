/* dead.c - a record that can never be applied goes to vote.dead with its reason, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { POLL_MS = 50 };

static const char *const stages[DEAD_REASONS] = {"VALUE_CONVERTER", "TASK_PUT"};
static const char *const classes[DEAD_REASONS] = {"undecodable", "refused"};

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

/* The dialect of Kafka Connect's dead letter queue (KIP-298). */
static void headers_add_connect(rd_kafka_headers_t *headers, const struct commit *commit,
                                const struct record *record, const struct death *death)
{
    header_text(headers, "__connect.errors.topic", TOPIC_REQUESTS);
    header_int(headers, "__connect.errors.partition", record->partition);
    header_int(headers, "__connect.errors.offset", record->offset);
    header_text(headers, "__connect.errors.connector.name", commit->config->group);
    header_text(headers, "__connect.errors.stage", stages[death->reason]);
    header_text(headers, "__connect.errors.class.name", "vote-commit");
    header_text(headers, "__connect.errors.exception.class.name", classes[death->reason]);
    header_text(headers, "__connect.errors.exception.message", death->text);
}

/* The short dialect that other tools read, and our own. */
static void headers_add_short(rd_kafka_headers_t *headers, const struct commit *commit,
                              const struct record *record, const struct death *death)
{
    char first_failed_at[CLOCK_TEXT_SIZE];
    clock_format_ms(death->first_failed_ms, first_failed_at);
    header_text(headers, "__dlq.errors.topic", TOPIC_REQUESTS);
    header_int(headers, "__dlq.errors.partition", record->partition);
    header_int(headers, "__dlq.errors.offset", record->offset);
    header_text(headers, "__dlq.errors.group", commit->config->group);
    header_int(headers, "__dlq.errors.delivery.count", death->attempts);
    header_text(headers, "__dlq.errors.message", death->text);
    header_int(headers, "vote_attempts", death->attempts);
    header_text(headers, "vote_first_failed_at", first_failed_at);
    if (death->sqlstate)
        header_text(headers, "vote_sqlstate", death->sqlstate);
}

static rd_kafka_resp_err_t dead_send(struct commit *commit, const struct record *record,
                                     rd_kafka_headers_t *headers, struct acks *acks)
{
    rd_kafka_resp_err_t code;
    do {
        code =
            rd_kafka_producev(commit->producer, RD_KAFKA_V_TOPIC(TOPIC_DEAD),
                              RD_KAFKA_V_KEY(record->key, record->key_size),
                              RD_KAFKA_V_VALUE((void *)record->value, record->value_size),
                              RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_OPAQUE(acks), RD_KAFKA_V_END);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(commit->producer, POLL_MS);
        admin_beat(&commit->admin);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && stop_asked(&commit->stop) < 2);
    if (code)
        rd_kafka_headers_destroy(headers);
    return code;
}

bool dead_letter(struct commit *commit, const struct record *record, const struct death *death,
                 struct acks *acks)
{
    rd_kafka_headers_t *headers =
        record->headers ? rd_kafka_headers_copy(record->headers) : rd_kafka_headers_new(20);
    headers_add_connect(headers, commit, record, death);
    headers_add_short(headers, commit, record, death);
    rd_kafka_resp_err_t code = dead_send(commit, record, headers, acks);
    LOG_EVENT(commit->log, LOG_ERROR, code ? "dead letter not sent" : "dead letter",
              LOG_INT("partition", record->partition), LOG_INT("offset", record->offset),
              LOG_INT("attempts", death->attempts), LOG_STR("reason", death->text),
              LOG_STR("kafka", code ? rd_kafka_err2str(code) : "sent"));
    if (code)
        return false;
    acks->waiting++;
    metric_add(commit->metrics.dead[death->reason], 1);
    return true;
}
