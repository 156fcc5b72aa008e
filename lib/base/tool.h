/* tool.h - how every tool starts and ends: options, --help, log, exit code; and for a daemon the
 * admin port and the two-stage stop. A main.c fills a struct tool and returns tool_run().
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TOOL_H
#define BASE_TOOL_H

#include "base/error.h"
#include "base/log.h"
#include "base/option.h"

#ifndef VOTEPIPE_VERSION
#define VOTEPIPE_VERSION "0.1.0"
#endif

struct tool {
    const char *name;    /* vote-tail */
    const char *purpose; /* one sentence for --help */
    const char *usage;   /* what follows the name: "[-t TOPIC] [-f]" */
    const char *command; /* NULL, or which of the tool's commands this is */
    const char *words;   /* what a word that is no flag may be: "import export"; or NULL */
    const struct option_set *sets; /* the tool's own options; log options are added */
    size_t set_count;
    size_t argument_max; /* words that are not flags */
    void *config;        /* handed to run */
    /* Does the work. Returns false with an error whose code becomes the exit code; ERROR_FOUND
     * with an empty text ends quietly with 1. */
    bool (*run)(void *config, const struct options *options, struct log *log, struct error *error);
};

/* Parses, answers --help, --version, --print-config, --print-man and --print-completion, runs, and
 * returns the exit code. A fatal error is one line on stderr: "vote-tail: fatal: <sentence>". */
int tool_run(const struct tool *tool, int argc, char **argv);

#endif
