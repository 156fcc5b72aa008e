/* option.h - one table is the source of a tool's flags, environment names, --help, --print-config
 * and man page. A flag wins over its environment variable, which wins over the preset.
 *
 * The variable of `--kafka-brokers` is VOTE_KAFKA_BROKERS. A secret has no flag: it comes from its
 * variable or from the file that `--NAME-file` (or VOTE_NAME_FILE) names, and is never printed.
 * What only may have a secret in it, as a URL, can have both: the flag, and the file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_TEXT,     /* const char *; NULL when unset */
    OPTION_INT,      /* int64_t within [min, max] */
    OPTION_DURATION, /* int64_t in microseconds, within [min, max] */
    OPTION_SIZE,     /* int64_t in bytes, within [min, max] */
    OPTION_RATE,     /* double per second; 0 is "no limit" */
    OPTION_RATIO,    /* double from 0 to 1 */
    OPTION_QUOTA,    /* struct option_quota: 30/10s; 0 is "no limit" */
    OPTION_SWITCH,   /* bool; a bare --name, or --name=false */
    OPTION_CHOICE,   /* int: the index in `choices` */
    OPTION_PAIRS,    /* struct option_pairs; repeatable, KEY=VALUE */
    OPTION_LINES,    /* const char *, one value a line; repeatable; NULL when unset */
};

enum option_flags {
    OPTION_SECRET = 1,    /* never on a command line, never printed */
    OPTION_URL = 2,       /* printed without its password */
    OPTION_REQUIRED = 4,  /* the start stops without it */
    OPTION_FLAG_ONLY = 8, /* has no environment variable: it belongs to one call */
    OPTION_FILE = 16      /* may hold secrets: there is --NAME-file, too */
};

/* So many in a window of time; a count of 0 is "no limit". */
struct option_quota {
    int64_t count;
    int64_t window_us;
};

struct option_pairs {
    char **keys;
    char **values;
    size_t count;
};

struct option {
    const char *name; /* without dashes */
    char letter;      /* short form, or 0 */
    enum option_type type;
    size_t offset;              /* of the member in the set's target */
    const char *preset;         /* as a user would write it, or NULL */
    const char *argument;       /* its placeholder in --help: HOST:PORT */
    const char *summary;        /* one phrase */
    int64_t min, max;           /* in base units; both 0: any value that is not negative */
    const char *const *choices; /* NULL-terminated; of an OPTION_TEXT: what a shell may suggest */
    unsigned flags;
    /* Says why a text cannot be used (NULL: any can), and never repeats a secret of it. */
    bool (*check)(const char *text, struct error *error);
};

/* Options that belong together: the tool's own, or a library's for its client. */
struct option_set {
    const char *title;
    const struct option *options;
    size_t count;
    void *target; /* the struct that `offset` counts in */
};

struct option_value {
    const struct option *option;
    void *member;     /* where the value goes */
    char *text;       /* owned; NULL when unset */
    const char *from; /* "preset", "environment", "flag" or "file" */
};

/* What a command line, an environment and the presets came to. Owns the text that the targets'
 * members point to: keep it as long as they are used. */
struct options {
    const struct option_set *sets; /* borrowed */
    size_t set_count;
    struct option_value *values;
    size_t value_count;
    const char **arguments; /* those that are not flags, in order; the strings are argv's */
    size_t argument_count;
};

/* Fills every set's target. Errors name the flag or variable: ERROR_USAGE for the command line,
 * ERROR_CONFIG for the environment or a file. Free with options_free in either case. */
bool options_parse(struct options *options, const struct option_set *sets, size_t set_count,
                   int argc, char **argv, struct error *error) __attribute__((warn_unused_result));
void options_free(struct options *options);

/* Overwrites the secrets that flags have on the command line, so that `ps` does not show them; what
 * the options keep are copies. Arguments that are no flags' stay as they are. */
void options_hide_secrets(const struct options *options, int argc, char **argv);

/* True when the value did not come from the preset. */
bool options_given(const struct options *options, const char *name);

enum { OPTION_NAME_SIZE = 64 };

/* "kafka-brokers" -> "VOTE_KAFKA_BROKERS" */
void option_environment_name(const struct option *option, char name[OPTION_NAME_SIZE]);

/* The option lists of --help, of at most `line_max` lines of 80 columns where that is possible:
 * sets that do not fit, the last ones first, and then the last options of the first set, are only
 * named. 0: no limit. Returns whether all is told. */
bool options_print_help(const struct option_set *sets, size_t set_count, int line_max,
                        struct buf *out);

/* The option lists of the man page (roff), and `name=value` lines with their origin. */
void options_print_man(const struct option_set *sets, size_t set_count, struct buf *out);
void options_print_config(const struct options *options, struct buf *out);

/* A bash function of that name that completes flags, choices and files, and `words` (NULL: none)
 * where no flag is. */
void options_print_completion(const struct option_set *sets, size_t set_count, const char *function,
                              const char *words, struct buf *out);

#endif
