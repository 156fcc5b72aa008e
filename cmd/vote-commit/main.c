/* main.c - vote-commit: counts each vote exactly once in Postgres, then announces it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-commit/commit.h"

int main(int argc, char **argv)
{
    struct commit_config config = {0};
    const struct option_set sets[] = {
        {"Service", commit_options, commit_option_count, &config},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Redis", redis_options, 1, &config.redis}, /* its timeout has a default of our own */
        {"Postgres", pg_options, PG_OPTION_COUNT, &config.pg},
        {"Traces", otlp_options, OTLP_OPTION_COUNT, &config.trace},
    };
    const struct tool tool = {
        .name = "vote-commit",
        .purpose = "Counts each vote of vote.requests exactly once in Postgres, then announces it.",
        .usage = "[--batch-size N] ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = commit_run,
    };
    return tool_run(&tool, argc, argv);
}
