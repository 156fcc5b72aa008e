/* main.c - vote-replay: sends records again, from a topic or a file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-replay/replay.h"

/* jemalloc reads it. What one thread allocates another frees, so all share one arena. Headers lie
 * about in tens of MB, for which the processor remembers the addresses only of huge pages. */
const char *malloc_conf = "narenas:1,thp:always,dirty_decay_ms:-1";

int main(int argc, char **argv)
{
    struct replay_config config = {0};
    const struct option_set sets[] = {
        {"Replay", replay_options, replay_option_count, &config},
        {"Filters", filter_options, FILTER_OPTION_COUNT, &config.filter},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Postgres, for --verify", pg_options, PG_OPTION_COUNT, &config.pg},
    };
    const struct tool tool = {
        .name = "vote-replay",
        .purpose = "Sends records of a topic or a file again; mends what is in vote.dead.",
        .usage = "--from TOPIC | --file FILE | --redrive | --verify ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = replay_run,
    };
    return tool_run(&tool, argc, argv);
}
