/* option_text.c - what the table says for people: --help, the man page, --print-config.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/option.h"

#include "base/secret.h"

#include <string.h>

static void option_put_flag(const struct option *option, struct buf *out)
{
    bool secret = option->flags & OPTION_SECRET;
    if (option->letter)
        buf_format(out, "-%c, ", option->letter);
    buf_format(out, "--%s%s", option->name, secret ? "-file" : "");
    if (option->type != OPTION_SWITCH)
        buf_format(out, " %s", secret ? "FILE" : option->argument ? option->argument : "VALUE");
}

enum { COLUMNS = 80, FLAG_MAX = 32 };

static int lines_of(const struct buf *text)
{
    int lines = 0;
    for (size_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    return lines;
}

/* Puts words from column `at` on, going on below it where a line is full. */
static void words_put(struct buf *out, const char *words, int at)
{
    int column = at;
    while (*words) {
        int size = (int)strcspn(words, " ");
        if (column > at && column + 1 + size > COLUMNS) {
            buf_format(out, "\n%*s", at, "");
            column = at;
        }
        buf_format(out, "%s%.*s", column > at ? " " : "", size, words);
        column += size + (column > at);
        words += size + strspn(words + size, " ");
    }
    buf_char(out, '\n');
}

/* A flag and what it is; its preset where there is room for it. */
static void option_put_line(const struct option *option, int width, struct buf *out)
{
    struct buf flag = {0}, text = {0};
    bool preset = option->preset && *option->preset && option->type != OPTION_SWITCH;
    option_put_flag(option, &flag);
    buf_text(&text, option->summary);
    if (preset && 3 + (size_t)width + text.size + strlen(option->preset) + 3 <= COLUMNS)
        buf_format(&text, " (%s)", option->preset);
    buf_format(out, "  %-*s ", width, flag.data);
    words_put(out, text.data, 3 + ((int)flag.size > width ? (int)flag.size : width));
    buf_free(&flag);
    buf_free(&text);
}

static int flags_width(const struct option_set *sets, size_t set_count)
{
    int width = 0;
    struct buf flag = {0};
    for (size_t s = 0; s < set_count; s++) {
        for (size_t i = 0; i < sets[s].count; i++) {
            buf_clear(&flag);
            option_put_flag(&sets[s].options[i], &flag);
            width = (int)flag.size > width ? (int)flag.size : width;
        }
    }
    buf_free(&flag);
    return width < FLAG_MAX ? width : FLAG_MAX;
}

/* The flags alone of what there is no room for: of the first set those from `first` on. */
static void sets_put_names(const struct option_set *sets, size_t set_count, size_t first,
                           struct buf *out)
{
    struct buf names = {0};
    for (size_t s = 0; s < set_count; s++) {
        for (size_t i = s ? 0 : first; i < sets[s].count; i++)
            buf_format(&names, "--%s%s ", sets[s].options[i].name,
                       sets[s].options[i].flags & OPTION_SECRET ? "-file" : "");
    }
    buf_text(out, "Also: ");
    words_put(out, names.data, 6);
    buf_free(&names);
}

/* The first `full` sets with all their options but the last `cut` ones, the others by name. */
static void sets_put(const struct option_set *sets, size_t set_count, size_t full, size_t cut,
                     bool airy, struct buf *out)
{
    int width = flags_width(sets, full);
    const struct option_set *last = &sets[full - 1];
    buf_clear(out);
    for (size_t s = 0; s < full; s++) {
        buf_format(out, "%s%s:\n", airy ? "\n" : "", sets[s].title);
        for (size_t i = 0; i < sets[s].count - (&sets[s] == last ? cut : 0); i++)
            option_put_line(&sets[s].options[i], width, out);
    }
    if (full < set_count || cut) {
        buf_text(out, airy ? "\n" : "");
        sets_put_names(last, set_count - full + 1, last->count - cut, out);
    }
}

bool options_print_help(const struct option_set *sets, size_t set_count, int line_max,
                        struct buf *out)
{
    struct buf text = {0};
    size_t full = set_count, cut = 0;
    bool airy = true;
    sets_put(sets, set_count, full, cut, airy, &text);
    while (line_max && lines_of(&text) > line_max && cut < sets[0].count) {
        bool is_least = full == 1 && !airy;
        full -= !airy && !is_least;
        airy = !airy && !is_least;
        cut += is_least;
        sets_put(sets, set_count, full, cut, airy, &text);
    }
    buf_put(out, text.data ? text.data : "", text.size);
    buf_free(&text);
    return full == set_count && !cut;
}

/* Roff takes a leading dash for a hyphen and a leading dot for a request. */
static void roff_put(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '-' || *c == '\\')
            buf_char(out, '\\');
        buf_char(out, *c);
    }
}

void options_print_man(const struct option_set *sets, size_t set_count, struct buf *out)
{
    struct buf flag = {0};
    for (size_t s = 0; s < set_count; s++) {
        buf_format(out, ".SS %s\n", sets[s].title);
        for (size_t i = 0; i < sets[s].count; i++) {
            const struct option *option = &sets[s].options[i];
            char name[OPTION_NAME_SIZE];
            buf_clear(&flag);
            option_put_flag(option, &flag);
            buf_text(out, ".TP\n.B ");
            roff_put(out, flag.data);
            buf_text(out, "\n");
            roff_put(out, option->summary);
            buf_text(out, ".\n");
            if (option->preset && *option->preset && option->type != OPTION_SWITCH) {
                buf_text(out, "Default: ");
                roff_put(out, option->preset);
                buf_text(out, ".\n");
            }
            option_environment_name(option, name);
            if (!(option->flags & OPTION_FLAG_ONLY))
                buf_format(out, "Environment: %s.\n", name);
            if (option->flags & OPTION_FILE) {
                buf_text(out, "Out of a file: ");
                roff_put(out, "--");
                roff_put(out, option->name);
                buf_format(out, "\\-file FILE, %s_FILE.\n", name);
            }
        }
    }
    buf_free(&flag);
}

void options_print_config(const struct options *options, struct buf *out)
{
    for (size_t i = 0; i < options->value_count; i++) {
        const struct option_value *value = &options->values[i];
        buf_format(out, "%s=", value->option->name);
        if (value->option->type == OPTION_PAIRS && value->text) {
            const struct option_pairs *pairs = value->member;
            for (size_t k = 0; k < pairs->count; k++) {
                bool secret = secret_is_name(pairs->keys[k], strlen(pairs->keys[k]));
                buf_format(out, "%s%s=%s", k ? ";" : "", pairs->keys[k],
                           secret ? "***" : pairs->values[k]);
            }
        } else if (value->text && value->option->flags & OPTION_SECRET) {
            buf_text(out, "***");
        } else if (value->text && value->option->flags & OPTION_URL) {
            secret_put(out, value->text);
        } else if (value->text) {
            buf_text(out, value->text);
        }
        buf_format(out, "  # %s\n", value->from ? value->from : "unset");
    }
}
