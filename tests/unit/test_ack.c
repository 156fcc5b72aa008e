/* test_ack.c - what librdkafka reports as delivered, and what the broker has acknowledged.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kafka/kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>

enum { PRODUCE = 0, RTT_MS = 300, GAP_MS = 100, FLUSH_MS = 20000, WHY_SIZE = 200 };

struct reports {
    int delivered, acknowledged; /* bits: which of the messages */
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *report, void *opaque)
{
    (void)producer;
    struct reports *reports = opaque;
    int bit = 1 << (*(const char *)report->payload - '0');
    if (!report->err)
        reports->delivered |= bit;
    if (kafka_is_acknowledged(report))
        reports->acknowledged |= bit;
}

static rd_kafka_t *producer_open(struct reports *reports, rd_kafka_mock_cluster_t **cluster)
{
    static const char *const pairs[] = {"test.mock.num.brokers",
                                        "1",
                                        "enable.idempotence",
                                        "true",
                                        "linger.ms",
                                        "0",
                                        "retry.backoff.ms",
                                        "3000",
                                        NULL};
    char why[WHY_SIZE];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (const char *const *pair = pairs; *pair; pair += 2)
        assert_int_equal(rd_kafka_conf_set(conf, pair[0], pair[1], why, sizeof why),
                         RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, reports);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(producer);
    *cluster = rd_kafka_handle_mock_cluster(producer);
    return producer;
}

static void send_one(rd_kafka_t *producer, const char *text)
{
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_VALUE((void *)text, strlen(text)),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
                     0);
}

/* The first batch fails and waits to be sent again, the second one has succeeded meanwhile: so
 * librdkafka takes the first for delivered, although nobody has it. */
static void what_is_only_concluded_from_a_later_batch_is_not_acknowledged(void **state)
{
    (void)state;
    struct reports reports = {0};
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *producer = producer_open(&reports, &cluster);
    assert_int_equal(rd_kafka_mock_topic_create(cluster, "t", 1, 1), 0);
    send_one(producer, "0");
    assert_int_equal(rd_kafka_flush(producer, FLUSH_MS), 0);
    rd_kafka_mock_broker_set_rtt(cluster, 1, RTT_MS);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    send_one(producer, "1");
    rd_kafka_poll(producer, GAP_MS); /* so that the next one is a batch of its own */
    send_one(producer, "2");
    assert_int_equal(rd_kafka_flush(producer, FLUSH_MS), 0);
    assert_int_equal(reports.delivered, 7);
    assert_int_equal(reports.acknowledged, 5);
    rd_kafka_destroy(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_only_concluded_from_a_later_batch_is_not_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
