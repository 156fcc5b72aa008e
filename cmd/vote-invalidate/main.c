/* main.c - vote-invalidate: purges the caches of what was committed. SPDX-License-Identifier:
 * Apache-2.0 */
#include "base/tool.h"
#include "vote-invalidate/invalidate.h"

int main(int argc, char **argv)
{
    struct invalidate_config config = {0};
    const struct option_set sets[] = {
        {"Service", invalidate_options, invalidate_option_count, &config},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Redis", redis_options, REDIS_OPTION_COUNT, &config.redis},
    };
    const struct tool tool = {
        .name = "vote-invalidate",
        .purpose = "Purges the caches of what was committed, in Redis and over HTTP.",
        .usage = "[--debounce 2s] [--max-wait 5s] ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = invalidate_run,
    };
    return tool_run(&tool, argc, argv);
}
