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
                              .command = command->name,
                              .words = command->words,
                              .sets = sets,
                              .set_count = count,
                              .config = &config,
                              .argument_max = command->argument_max,
                              .run = command->run};
    return tool_run(&tool, argc, argv);
}

static void commands_print_help(const struct command *table, size_t count, FILE *out)
{
    fputs("Usage: vote-admin COMMAND [OPTION...]\n"
          "Sets up, looks after and checks the pipeline.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-11s  %s\n", table[i].name, table[i].summary);
    fputs("\nvote-admin COMMAND --help says what a command takes.\n", out);
}

/* The option lists of all commands, for the man page. */
static void commands_print_man(const struct command *table, size_t count, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        printf(".SS %s %s\n%s\n", table[i].name, table[i].usage, table[i].summary);
        command_run(&table[i], 2, argv);
    }
}

/* Each command's function, and the one that picks among them. */
static void commands_print_completion(const struct command *table, size_t count, char **argv)
{
    puts("# bash completion of vote-admin\n# shellcheck shell=bash disable=SC2207");
    for (size_t i = 0; i < count; i++)
        command_run(&table[i], 2, argv);
    fputs("_vote_admin() {\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    for (size_t i = 0; i < count; i++)
        printf("%s ", table[i].name);
    puts(
        "--help --version' -- \"${COMP_WORDS[1]}\"))\n"
        "        return\n"
        "    fi\n"
        "    local command=${COMP_WORDS[1]//-/_}\n"
        "    if declare -F \"_vote_admin_$command\" >/dev/null; then \"_vote_admin_$command\"; fi\n"
        "}\n"
        "complete -o default -F _vote_admin vote-admin");
}

static bool is_one_of(const char *word, const char *first, const char *second)
{
    return !strcmp(word, first) || !strcmp(word, second);
}

int command_main(const struct command *table, size_t count, int argc, char **argv)
{
    if (argc < 2) {
        commands_print_help(table, count, stderr);
        return ERROR_USAGE;
    }
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(table[i].name, argv[1]))
            return command_run(&table[i], argc - 1, argv + 1);
    }
    if (is_one_of(argv[1], "--help", "-h"))
        return commands_print_help(table, count, stdout), 0;
    if (!strcmp(argv[1], "--print-man"))
        return commands_print_man(table, count, argv), 0;
    if (!strcmp(argv[1], "--print-completion"))
        return commands_print_completion(table, count, argv), 0;
    if (!strcmp(argv[1], "--version"))
        return command_run(&table[0], argc, argv);
    fprintf(stderr, "vote-admin: fatal: unknown command \"%s\" (see --help)\n", argv[1]);
    return ERROR_USAGE;
}
