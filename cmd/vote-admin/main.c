/* main.c - vote-admin: sets up, looks after and checks the pipeline.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/command.h"

int main(int argc, char **argv)
{
    return command_main(commands, command_count, argc, argv);
}
