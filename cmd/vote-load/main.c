/* main.c - vote-load: posts votes as many users would, and checks what became of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-load/run.h"

int main(int argc, char **argv)
{
    struct load_config config = {0};
    const struct option_set sets[] = {{"Load", load_options, load_option_count, &config}};
    const struct tool tool = {
        .name = "vote-load",
        .purpose = "Posts votes of a file or a synthetic mix, and checks what became of them.",
        .usage = "[--file votes.csv | --users N] [--rate N/s] [--verify]",
        .sets = sets,
        .set_count = 1,
        .config = &config,
        .run = load_run,
    };
    return tool_run(&tool, argc, argv);
}
