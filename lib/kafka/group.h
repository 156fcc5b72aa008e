/* group.h - the manners of a member of a consumer group. SPDX-License-Identifier: Apache-2.0 */
#ifndef KAFKA_GROUP_H
#define KAFKA_GROUP_H

#include "base/stop.h"
#include "kafka/kafka.h"

/* Joins the group of the consumer's settings for one topic. ERROR_CONFIG: it may not. */
bool group_subscribe(rd_kafka_t *consumer, const char *topic, struct error *error)
    __attribute__((warn_unused_result));

/* Leaves the group and destroys the consumer. `was_assigned` is set by its rebalance callback, at
 * the first assignment: that is waited for up to `wait_us`, or until a second stop is asked for. A
 * cooperative member that never had one is left to the end of the process. */
void group_close(rd_kafka_t *consumer, const bool *was_assigned, int64_t wait_us,
                 struct stop *stop);

#endif
