/* tool.c - how every tool starts and ends. SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"

#include "base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETS_MAX = 12, SCREEN_LINES = 24, FRAME_LINES = 4 };

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

/* A screen's worth of help, or all of it. */
static void tool_print_help(const struct tool *tool, const struct option_set *sets, size_t count,
                            bool all, struct buf *out)
{
    buf_format(out, "Usage: %s %s\n%s\n", tool->name, tool->usage, tool->purpose);
    bool told = options_print_help(sets, count, all ? 0 : SCREEN_LINES - FRAME_LINES, out);
    buf_format(out, "Other: --help %s--version --print-config\n", told ? "" : "--help=all ");
    buf_text(out, "Settings have a variable, too: --log-level is VOTE_LOG_LEVEL.\n");
}

/* "_vote_admin_forget_user": a name that bash takes. */
static void tool_print_completion(const struct tool *tool, const struct option_set *sets,
                                  size_t count, struct buf *out)
{
    struct buf function = {0};
    buf_format(&function, "_%s%s%s", tool->name, tool->command ? "_" : "",
               tool->command ? tool->command : "");
    for (size_t i = 0; i < function.size; i++)
        function.data[i] = function.data[i] == '-' ? '_' : function.data[i];
    if (!tool->command)
        buf_format(out, "# bash completion of %s\n# shellcheck shell=bash disable=SC2207\n",
                   tool->name);
    options_print_completion(sets, count, function.data, tool->words, out);
    if (!tool->command)
        buf_format(out, "complete -o default -F %s %s\n", function.data, tool->name);
    buf_free(&function);
}

/* Answers a question about the tool itself; true when that is all that was asked. */
static bool tool_answer(const struct tool *tool, const struct option_set *sets, size_t count,
                        const char *flag)
{
    struct buf out = {0};
    if (!strcmp(flag, "--help") || !strcmp(flag, "-h"))
        tool_print_help(tool, sets, count, false, &out);
    else if (!strcmp(flag, "--help=all"))
        tool_print_help(tool, sets, count, true, &out);
    else if (!strcmp(flag, "--version"))
        buf_format(&out, "%s %s\n", tool->name, VOTEPIPE_VERSION);
    else if (!strcmp(flag, "--print-man"))
        options_print_man(sets, count, &out);
    else if (!strcmp(flag, "--print-completion"))
        tool_print_completion(tool, sets, count, &out);
    bool answered = out.size > 0;
    if (answered)
        fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
    return answered;
}

/* A sentence for people, unless the log is wanted as JSON. */
static int tool_fail(const struct tool *tool, const struct log *log, const struct error *error)
{
    if (error->text[0] && log->format == LOG_JSON)
        log_error(log, LOG_ERROR, "fatal", error);
    else if (error->text[0])
        fprintf(stderr, "%s: fatal: %s\n", tool->name, error->text);
    return error->code ? (int)error->code : ERROR_SOFTWARE;
}

static bool tool_execute(const struct tool *tool, struct options *options, struct log *log,
                         bool print_config, struct error *error)
{
    char shown[SECRET_SHOWN_SIZE]; /* of what may be a URL that lost its flag */
    if (options->argument_count > tool->argument_max)
        return error_set(error, ERROR_USAGE, "unexpected argument \"%s\" (see --help)",
                         secret_show(options->arguments[tool->argument_max], shown));
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
    bool done = options_parse(&options, sets, tool->set_count + 1, kept, argv, &error);
    options_hide_secrets(&options, kept, argv);
    done = done && tool_execute(tool, &options, &log, print_config, &error);
    if (done && (fflush(stdout) || ferror(stdout)))
        done =
            error_set(&error, ERROR_UNAVAILABLE, "unable to write to stdout: %s", strerror(errno));
    int code = done ? 0 : tool_fail(tool, &log, &error);
    options_free(&options);
    return code;
}
