/* group.c - see group.h. SPDX-License-Identifier: Apache-2.0 */
#include "kafka/group.h"

#include "base/clock.h"

enum { POLL_MS = 100 };

bool group_subscribe(rd_kafka_t *consumer, const char *topic, struct error *error)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return !code || error_set(error, ERROR_CONFIG, "unable to subscribe to %s: %s", topic,
                              rd_kafka_err2str(code));
}

/* A start that is stopped at once has its first assignment under way. */
static void await_assignment(rd_kafka_t *consumer, const bool *was_assigned, int64_t wait_us,
                             struct stop *stop)
{
    int64_t until_us = clock_mono_us() + wait_us;
    while (!*was_assigned && clock_mono_us() < until_us && stop_asked(stop) < 2) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, POLL_MS);
        if (message)
            rd_kafka_message_destroy(message);
    }
}

void group_close(rd_kafka_t *consumer, const bool *was_assigned, int64_t wait_us, struct stop *stop)
{
    await_assignment(consumer, was_assigned, wait_us, stop);
    /* librdkafka 2.0.2 aborts when a cooperative member that was never assigned is destroyed
     * (its issue 4312). */
    if (!*was_assigned)
        return;
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}
