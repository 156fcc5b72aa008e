/* tool.c - how every tool starts and ends. SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VOTEPIPE_VERSION
#define VOTEPIPE_VERSION "0.1.0"
#endif

enum { SETS_MAX = 12 };

static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_choices[] = {"logfmt", "json", NULL};

/* clang-format off */
static const struct option log_options[] = {
    {.name = "log-level", .type = OPTION_CHOICE, .offset = offsetof(struct log, level),
     .preset = "info", .argument = "LEVEL", .choices = level_choices,
     .summary = "debug, info, warn or error"},
    {.name = "log-format", .type = OPTION_CHOICE, .offset = offsetof(struct log, format),
     .preset = "logfmt", .argument = "FORMAT", .choices = format_choices,
     .summary = "logfmt or json"},
};
/* clang-format on */

static void tool_print_help(const struct tool *tool, const struct option_set *sets, size_t count,
                            struct buf *out)
{
    buf_format(out, "Usage: %s %s\n%s\n", tool->name, tool->usage, tool->purpose);
    options_print_help(sets, count, out);
    buf_text(out, "\nOther:\n"
                  "  --help  --version  --print-config\n"
                  "Each flag has a variable: --kafka-brokers is VOTE_KAFKA_BROKERS.\n");
}

/* Answers a question about the tool itself; true when that is all that was asked. */
static bool tool_answer(const struct tool *tool, const struct option_set *sets, size_t count,
                        const char *flag)
{
    struct buf out = {0};
    if (!strcmp(flag, "--help") || !strcmp(flag, "-h"))
        tool_print_help(tool, sets, count, &out);
    else if (!strcmp(flag, "--version"))
        buf_format(&out, "%s %s\n", tool->name, VOTEPIPE_VERSION);
    else if (!strcmp(flag, "--print-man"))
        options_print_man(sets, count, &out);
    bool answered = out.size > 0;
    if (answered)
        fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
    return answered;
}

static int tool_fail(const struct tool *tool, const struct error *error)
{
    if (error->text[0])
        fprintf(stderr, "%s: fatal: %s\n", tool->name, error->text);
    return error->code ? (int)error->code : ERROR_SOFTWARE;
}

static bool tool_execute(const struct tool *tool, struct options *options, struct log *log,
                         bool print_config, struct error *error)
{
    if (options->argument_count > tool->argument_max)
        return error_set(error, ERROR_USAGE, "unexpected argument \"%s\" (see --help)",
                         options->arguments[tool->argument_max]);
    if (!print_config)
        return tool->run(tool->config, options, log, error);
    struct buf out = {0};
    options_print_config(options, &out);
    fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
    return true;
}

int tool_run(const struct tool *tool, int argc, char **argv)
{
    struct log log = {.tool = tool->name, .fd = STDERR_FILENO};
    struct option_set sets[SETS_MAX];
    struct options options;
    struct error error = {0};
    bool print_config = false;
    int kept = 0;

    if (tool->set_count >= SETS_MAX)
        abort();
    memcpy(sets, tool->sets, tool->set_count * sizeof *sets);
    sets[tool->set_count] =
        (struct option_set){"Log", log_options, sizeof log_options / sizeof *log_options, &log};
    for (int i = 0; i < argc; i++) {
        if (i > 0 && tool_answer(tool, sets, tool->set_count + 1, argv[i]))
            return 0;
        if (i > 0 && !strcmp(argv[i], "--print-config"))
            print_config = true;
        else
            argv[kept++] = argv[i];
    }
    bool done = options_parse(&options, sets, tool->set_count + 1, kept, argv, &error) &&
                tool_execute(tool, &options, &log, print_config, &error);
    int code = done ? 0 : tool_fail(tool, &error);
    options_free(&options);
    return code;
}
