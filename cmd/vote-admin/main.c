/* main.c - vote-admin: sets up, looks after and checks the pipeline.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/command.h"
#include "vote-admin/commands.h"

static const struct command commands[] = {
    {.name = "migrate",
     .usage = "",
     .needs = NEEDS_POSTGRES,
     .run = migrate_run,
     .summary = "Brings the database's schema up to date."},
    {.name = "topics",
     .usage = "[--partitions N] ",
     .needs = NEEDS_KAFKA,
     .run = topics_run,
     .options = topics_options,
     .option_count = TOPICS_OPTION_COUNT,
     .summary = "Creates the topics that are missing."},
    {.name = "token",
     .usage = "--user ID [--scope vote:admin] [--ttl 1h] ",
     .run = token_run,
     .options = token_options,
     .option_count = TOKEN_OPTION_COUNT,
     .summary = "Prints a token for a user."},
    {.name = "projects",
     .usage = "import FILE ",
     .needs = NEEDS_POSTGRES,
     .argument_max = 2,
     .run = projects_run,
     .summary = "Adds the projects of a CSV file (- is stdin)."},
    {.name = "audit",
     .usage = "[--repair] ",
     .needs = NEEDS_POSTGRES | NEEDS_KAFKA | NEEDS_REDIS,
     .run = audit_run,
     .options = audit_options,
     .option_count = AUDIT_OPTION_COUNT,
     .summary = "Recounts the votes and compares them with the projects and the log."},
    {.name = "check",
     .usage = "[--sample N] [--http-url URL] ",
     .needs = NEEDS_POSTGRES | NEEDS_REDIS,
     .run = check_run,
     .options = check_options,
     .option_count = CHECK_OPTION_COUNT,
     .summary = "Compares caches with Postgres, for a sample of projects."},
};

int main(int argc, char **argv)
{
    return command_main(commands, sizeof commands / sizeof *commands, argc, argv);
}
