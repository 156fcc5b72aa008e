/* hold.c - records that are not old enough yet. Of one partition they leave in order, so that a
 * position says what has left. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS_MAX = 1024 };

struct hold {
    int64_t after_ms;
    size_t count;
    rd_kafka_message_t *messages[HOLD_MAX];
};

struct hold *hold_new(int64_t after_us)
{
    struct hold *hold = calloc(1, sizeof *hold);
    if (!hold)
        abort();
    hold->after_ms = after_us / 1000;
    return hold;
}

void hold_free(struct hold *hold)
{
    for (size_t i = 0; hold && i < hold->count; i++)
        rd_kafka_message_destroy(hold->messages[i]);
    free(hold);
}

bool hold_is_full(const struct hold *hold)
{
    return hold->count == HOLD_MAX;
}

bool hold_is_empty(const struct hold *hold)
{
    return hold->count == 0;
}

void hold_put(struct hold *hold, rd_kafka_message_t *message)
{
    hold->messages[hold->count++] = message;
}

/* Behind one that waits, the others of its partition wait too. */
rd_kafka_message_t *hold_take(struct hold *hold, int64_t now_ms)
{
    bool waits[PARTITIONS_MAX] = {false};
    for (size_t i = 0; i < hold->count; i++) {
        rd_kafka_message_t *message = hold->messages[i];
        bool *partition_waits = &waits[message->partition % PARTITIONS_MAX];
        int64_t due_ms = rd_kafka_message_timestamp(message, NULL) + hold->after_ms;
        if (*partition_waits || due_ms > now_ms) {
            *partition_waits = true;
            continue;
        }
        hold->count--;
        memmove(&hold->messages[i], &hold->messages[i + 1],
                (hold->count - i) * sizeof *hold->messages);
        return message;
    }
    return NULL;
}
