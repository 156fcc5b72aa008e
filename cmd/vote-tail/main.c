/* main.c - vote-tail: shows what is on the topics, and takes nothing away.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-tail/tail.h"

int main(int argc, char **argv)
{
    struct tail_config config = {0};
    const struct option_set sets[] = {
        {"Tail", tail_options, tail_option_count, &config},
        {"Filters", filter_options, FILTER_OPTION_COUNT, &config.filter},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
    };
    const struct tool tool = {
        .name = "vote-tail",
        .purpose =
            "Shows the records of a topic. It joins no group, so looking takes nothing away.",
        .usage = "[-t requests|results|dead] [-o SELECTOR] [-f]",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = tail_run,
    };
    return tool_run(&tool, argc, argv);
}
