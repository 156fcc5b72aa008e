/* main.c - vote-invalidate: purges caches after votes are committed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-invalidate/invalidate.h"

int main(int argc, char **argv)
{
    struct invalidate_config config = {0};
    const struct option_set sets[] = {
        {"Service", invalidate_options, invalidate_option_count, &config},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Redis", redis_options, 1, &config.redis}, /* its timeout has a default of our own */
        {"Postgres", pg_options, PG_OPTION_COUNT, &config.pg},
        {"Traces", otlp_options, OTLP_OPTION_COUNT, &config.trace},
    };
    const struct tool tool = {
        .name = "vote-invalidate",
        .purpose = "Purges from caches what a committed vote has changed.",
        .usage = "[--key TEMPLATE] [--http-url URL] ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = invalidate_run,
    };
    return tool_run(&tool, argc, argv);
}
