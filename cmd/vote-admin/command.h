/* command.h - a command of vote-admin, and how the first word picks one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "base/log.h"
#include "base/option.h"

/* Which clients a command has, so which options beside its own. */
enum { NEEDS_POSTGRES = 1, NEEDS_KAFKA = 2, NEEDS_REDIS = 4 };

struct command {
    const char *name;
    const char *usage;            /* what follows the name */
    const char *summary;          /* one sentence */
    const struct option *options; /* for a struct admin_config; NULL when there are none */
    size_t option_count;
    unsigned needs;
    size_t argument_max; /* words that are not flags */
    const char *words;   /* what they may be, for the shell; or NULL */
    bool (*run)(void *config, const struct options *options, struct log *log, struct error *error);
};

extern const struct command commands[];
extern const size_t command_count;

/* Runs the command that argv[1] names, or answers --help and its kin; returns the exit code. */
int command_main(const struct command *table, size_t count, int argc, char **argv);

#endif
