/* test_ends.c - where a log begins and ends, while its leader is lost. SPDX-License-Identifier:
 * Apache-2.0 */
#include "kafka/kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>

enum { LOST = 1, OTHER = 2, SOON_MS = 500, PATIENT_MS = 30000, HANGS_S = 60, WHY_SIZE = 200 };

static rd_kafka_t *consumer_open(rd_kafka_mock_cluster_t **cluster)
{
    static const char *const pairs[] = {"test.mock.num.brokers",
                                        "2",
                                        "group.id",
                                        "g",
                                        "topic.metadata.refresh.interval.ms",
                                        "200",
                                        NULL};
    char why[WHY_SIZE];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (const char *const *pair = pairs; *pair; pair += 2)
        assert_int_equal(rd_kafka_conf_set(conf, pair[0], pair[1], why, sizeof why),
                         RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_log_cb(conf, NULL); /* it would tell of each try to connect */
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    assert_non_null(consumer);
    *cluster = rd_kafka_handle_mock_cluster(consumer);
    return consumer;
}

/* A hang ends the whole program: so it fails. */
static void a_leader_that_is_lost_is_given_up_and_the_next_one_asked(void **state)
{
    (void)state;
    int64_t low = -1, high = -1;
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *consumer = consumer_open(&cluster);
    alarm(HANGS_S);
    assert_int_equal(rd_kafka_mock_topic_create(cluster, "t", 1, 2), 0);
    assert_int_equal(rd_kafka_mock_partition_set_leader(cluster, "t", 0, LOST), 0);
    assert_int_equal(kafka_ends(consumer, "t", 0, &low, &high, PATIENT_MS), 0);
    assert_int_equal(low, 0);
    assert_int_equal(high, 0);
    low = high = -1;
    rd_kafka_mock_broker_set_down(cluster, LOST);
    assert_int_not_equal(kafka_ends(consumer, "t", 0, &low, &high, SOON_MS), 0);
    assert_int_equal(low, -1);
    assert_int_equal(high, -1);
    assert_int_equal(rd_kafka_mock_partition_set_leader(cluster, "t", 0, OTHER), 0);
    assert_int_equal(kafka_ends(consumer, "t", 0, &low, &high, PATIENT_MS), 0);
    assert_int_equal(low, 0);
    assert_int_equal(high, 0);
    alarm(0);
    rd_kafka_destroy(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_is_lost_is_given_up_and_the_next_one_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
