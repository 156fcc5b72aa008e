/* command.c - the first word picks the command; each is a tool of its own behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/command.h"

#include "base/tool.h"
#include "vote-admin/commands.h"

#include <stdio.h>
#include <string.h>

static int command_run(const struct command *command, int argc, char **argv)
{
    struct admin_config config = {0};
    const struct option_set own = {"Command", command->options, command->option_count, &config},
                            postgres = {"Postgres", pg_options, PG_OPTION_COUNT, &config.pg},
                            kafka = {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
                            redis = {"Redis", redis_options, REDIS_OPTION_COUNT, &config.redis};
    struct option_set sets[4];
    char usage[128];
    size_t count = 0;
    if (command->options)
        sets[count++] = own;
    if (command->needs & NEEDS_POSTGRES)
        sets[count++] = postgres;
    if (command->needs & NEEDS_KAFKA)
        sets[count++] = kafka;
    if (command->needs & NEEDS_REDIS)
        sets[count++] = redis;
    snprintf(usage, sizeof usage, "%s %s[OPTION...]", command->name, command->usage);
    const struct tool tool = {.name = "vote-admin",
                              .purpose = command->summary,
                              .usage = usage,
                              .sets = sets,
                              .set_count = count,
                              .config = &config,
                              .argument_max = command->argument_max,
                              .run = command->run};
    return tool_run(&tool, argc, argv);
}

static void commands_print_help(const struct command *commands, size_t count, FILE *out)
{
    fputs("Usage: vote-admin COMMAND [OPTION...]\n"
          "Sets up, looks after and checks the pipeline.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\nvote-admin COMMAND --help says what a command takes.\n", out);
}

/* The option lists of all commands, for the man page. */
static void commands_print_man(const struct command *commands, size_t count, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        printf(".SS %s %s\n%s\n", commands[i].name, commands[i].usage, commands[i].summary);
        command_run(&commands[i], 2, argv);
    }
}

static bool is_one_of(const char *word, const char *first, const char *second)
{
    return !strcmp(word, first) || !strcmp(word, second);
}

int command_main(const struct command *commands, size_t count, int argc, char **argv)
{
    if (argc < 2) {
        commands_print_help(commands, count, stderr);
        return ERROR_USAGE;
    }
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(commands[i].name, argv[1]))
            return command_run(&commands[i], argc - 1, argv + 1);
    }
    if (is_one_of(argv[1], "--help", "-h"))
        return commands_print_help(commands, count, stdout), 0;
    if (!strcmp(argv[1], "--print-man"))
        return commands_print_man(commands, count, argv), 0;
    if (!strcmp(argv[1], "--version"))
        return command_run(&commands[0], argc, argv);
    fprintf(stderr, "vote-admin: fatal: unknown command \"%s\" (see --help)\n", argv[1]);
    return ERROR_USAGE;
}
