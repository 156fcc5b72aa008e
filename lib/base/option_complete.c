/* option_complete.c - what the table says for bash. SPDX-License-Identifier: Apache-2.0 */
#include "base/option.h"

#include <string.h>

static void flag_put(const struct option *option, struct buf *out)
{
    buf_format(out, "--%s%s", option->name, option->flags & OPTION_SECRET ? "-file" : "");
}

/* The pattern of a `case` that the flag is. */
static void pattern_put(const struct option *option, struct buf *out)
{
    if (option->letter)
        buf_format(out, "-%c | ", option->letter);
    flag_put(option, out);
}

static bool takes_file(const struct option *option)
{
    return option->flags & OPTION_SECRET ||
           (option->argument &&
            (!strcmp(option->argument, "FILE") || !strcmp(option->argument, "DIR")));
}

static void choices_put(const struct option *option, struct buf *out)
{
    buf_text(out, "    ");
    pattern_put(option, out);
    buf_text(out, ") COMPREPLY=($(compgen -W '");
    for (int i = 0; option->choices[i]; i++)
        buf_format(out, "%s%s", i ? " " : "", option->choices[i]);
    buf_text(out, "' -- \"$cur\")); return ;;\n");
}

/* What may follow a flag: one of its choices, a file (bash's own completion, when we have none), or
 * what nobody can guess. */
static void value_put(const struct option *option, struct buf *out)
{
    if (option->type == OPTION_SWITCH)
        return;
    if (option->choices) {
        choices_put(option, out);
        return;
    }
    buf_text(out, "    ");
    pattern_put(option, out);
    if (option->flags & OPTION_FILE)
        buf_format(out, ") COMPREPLY=(\"$cur\"); return ;;\n    --%s-file", option->name);
    buf_text(out, takes_file(option) || option->flags & OPTION_FILE
                      ? ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
                      : ") COMPREPLY=(\"$cur\"); return ;;\n");
}

/* Bash takes `--flag=value` for three words. */
static const char words_sh[] =
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    if [[ $cur == = ]]; then cur=; "
    "elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
    "    COMPREPLY=()\n";

void options_print_completion(const struct option_set *sets, size_t set_count, const char *function,
                              const char *words, struct buf *out)
{
    buf_format(out, "%s() {\n%s    case $prev in\n", function, words_sh);
    for (size_t s = 0; s < set_count; s++) {
        for (size_t i = 0; i < sets[s].count; i++)
            value_put(&sets[s].options[i], out);
    }
    buf_text(out, "    esac\n    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '");
    for (size_t s = 0; s < set_count; s++) {
        for (size_t i = 0; i < sets[s].count; i++) {
            flag_put(&sets[s].options[i], out);
            buf_char(out, ' ');
            if (sets[s].options[i].flags & OPTION_FILE)
                buf_format(out, "--%s-file ", sets[s].options[i].name);
        }
    }
    buf_text(out, "--help --version --print-config' -- \"$cur\"))\n");
    if (words)
        buf_format(out, "    else\n        COMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n", words);
    buf_text(out, "    fi\n}\n");
}
