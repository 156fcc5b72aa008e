/* kafka.c - a thin manner around librdkafka. SPDX-License-Identifier: Apache-2.0 */
#include "kafka/kafka.h"

#include "base/clock.h"
#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_HEADER_MAX = 255, END_ASKED_MS = 1000, END_AGAIN_US = 50 * 1000 };

/* clang-format off */
const struct option kafka_options[] = {
    {.name = "kafka-brokers", .type = OPTION_TEXT, .offset = offsetof(struct kafka_config, brokers),
     .preset = "127.0.0.1:19092", .argument = "HOST:PORT,...",
     .summary = "Kafka bootstrap servers"},
    {.name = "kafka-property", .letter = 'X', .type = OPTION_PAIRS,
     .offset = offsetof(struct kafka_config, properties), .argument = "KEY=VALUE",
     .flags = OPTION_FILE, .summary = "passed through to librdkafka; repeatable"},
};
/* clang-format on */

static void kafka_on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    (void)client;
    struct kafka_health *health = opaque;
    if (!health)
        return;
    snprintf(health->text, sizeof health->text, "%s", reason);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        atomic_store(&health->down, 1);
}

/* librdkafka would write to stderr in a form of its own; its errors reach us by other ways. */
static void kafka_on_log(const rd_kafka_t *client, int level, const char *facility,
                         const char *text)
{
    (void)client, (void)level, (void)facility, (void)text;
}

static bool conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *error)
{
    char why[200];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    bool secret = secret_is_name(key, strlen(key)); /* what is said of it may repeat it */
    return error_set(error, ERROR_CONFIG, "kafka property %s: %s", key,
                     secret ? "its value is refused" : why);
}

rd_kafka_conf_t *kafka_conf(const struct kafka_config *config, const char *const *pairs,
                            struct kafka_health *health, struct error *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_error_cb(conf, kafka_on_error);
    rd_kafka_conf_set_log_cb(conf, kafka_on_log);
    rd_kafka_conf_set_opaque(conf, health);
    /* A request that is small must not wait until the one before it is acknowledged. */
    bool set = conf_set(conf, "bootstrap.servers", config->brokers, error) &&
               conf_set(conf, "reconnect.backoff.max.ms", "1000", error) &&
               conf_set(conf, "socket.nagle.disable", "true", error);
    for (; set && *pairs; pairs += 2)
        set = conf_set(conf, pairs[0], pairs[1], error);
    for (size_t i = 0; set && i < config->properties.count; i++)
        set = conf_set(conf, config->properties.keys[i], config->properties.values[i], error);
    if (set)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

rd_kafka_t *kafka_open(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers,
                       int timeout_ms, struct error *error)
{
    char why[200];
    const struct rd_kafka_metadata *metadata;
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (!client) {
        rd_kafka_conf_destroy(conf);
        error_set(error, ERROR_CONFIG, "unable to make a kafka client: %s", why);
        return NULL;
    }
    if (timeout_ms == 0)
        return client;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, NULL, &metadata, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(metadata);
        return client;
    }
    error_set(error, ERROR_UNAVAILABLE, "unable to connect to kafka %s: %s", brokers,
              rd_kafka_err2str(code));
    rd_kafka_destroy(client);
    return NULL;
}

/* One end of a log, as the time that stands for it: of all that asks a leader, that gives up. */
static rd_kafka_resp_err_t ask_end(rd_kafka_t *client, const char *topic, int32_t partition,
                                   int64_t which, int64_t *offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *end = rd_kafka_topic_partition_list_add(list, topic, partition);
    end->offset = which;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(client, list, END_ASKED_MS);
    if (!code)
        code = end->err;
    *offset = end->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

rd_kafka_resp_err_t kafka_ends(rd_kafka_t *client, const char *topic, int32_t partition,
                               int64_t *low, int64_t *high, int timeout_ms)
{
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000, first, next;
    rd_kafka_resp_err_t code;
    while ((code = ask_end(client, topic, partition, RD_KAFKA_OFFSET_BEGINNING, &first)) ||
           (code = ask_end(client, topic, partition, RD_KAFKA_OFFSET_END, &next))) {
        if (clock_mono_us() >= until_us)
            return code;
        clock_sleep_us(END_AGAIN_US);
    }
    *low = first;
    *high = next;
    return code;
}

rd_kafka_resp_err_t kafka_send(rd_kafka_t *producer, const char *topic, const char *key,
                               const void *value, size_t size, rd_kafka_headers_t *headers,
                               void *opaque)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, strlen(key)),
        RD_KAFKA_V_VALUE((void *)value, size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (code && headers)
        rd_kafka_headers_destroy(headers); /* producev takes them only when it succeeds */
    return code;
}

bool kafka_is_acknowledged(const rd_kafka_message_t *report)
{
    return !report->err && report->offset >= 0;
}

rd_kafka_resp_err_t kafka_send_again(rd_kafka_t *producer, const rd_kafka_message_t *report)
{
    rd_kafka_headers_t *headers = NULL, *copy = NULL;
    if (!rd_kafka_message_headers(report, &headers))
        copy = rd_kafka_headers_copy(headers);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(rd_kafka_topic_name(report->rkt)),
        RD_KAFKA_V_KEY(report->key, report->key_len),
        RD_KAFKA_V_VALUE(report->payload, report->len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(copy), RD_KAFKA_V_OPAQUE(report->_private), RD_KAFKA_V_END);
    if (code && copy)
        rd_kafka_headers_destroy(copy);
    return code;
}

rd_kafka_headers_t *kafka_event_headers(const char *type, const char *source, const char *id,
                                        int64_t time_ms, const char *traceparent)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format_ms(time_ms, time);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    rd_kafka_header_add(headers, "ce_specversion", -1, "1.0", -1);
    rd_kafka_header_add(headers, "ce_type", -1, type, -1);
    rd_kafka_header_add(headers, "ce_source", -1, source, -1);
    rd_kafka_header_add(headers, "ce_id", -1, id, -1);
    rd_kafka_header_add(headers, "ce_time", -1, time, -1);
    rd_kafka_header_add(headers, "content-type", -1, "application/json", -1);
    rd_kafka_header_add(headers, "traceparent", -1, traceparent, -1);
    return headers;
}

bool kafka_trace_context(const rd_kafka_headers_t *headers, struct trace_context *context)
{
    const void *value = NULL;
    size_t size = 0;
    char traceparent[TRACE_HEADER_MAX + 1];
    if (!headers || rd_kafka_header_get_last(headers, "traceparent", &value, &size) || !value ||
        size > TRACE_HEADER_MAX)
        return false;
    memcpy(traceparent, value, size);
    traceparent[size] = '\0';
    return trace_context_parse(context, traceparent);
}

bool kafka_message_trace(const rd_kafka_message_t *message, struct trace_context *context)
{
    rd_kafka_headers_t *headers;
    return !rd_kafka_message_headers(message, &headers) && kafka_trace_context(headers, context);
}

bool kafka_header_text(const rd_kafka_message_t *message, const char *name, char *text, size_t size)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;
    size_t length = 0;
    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, name, &value, &length) || !value || length >= size)
        return false;
    memcpy(text, value, length);
    text[length] = '\0';
    return true;
}

bool kafka_header_is(const rd_kafka_message_t *message, const char *name, const char *text)
{
    char found[64];
    return kafka_header_text(message, name, found, sizeof found) && !strcmp(found, text);
}
