/* option.c - reads flags, environment and presets into a tool's struct.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/option.h"

#include "base/secret.h"
#include "base/units.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_FILE_BYTES = 64 * 1024 };

static char *text_copy(const char *text, size_t size)
{
    char *copy = strndup(text, size);
    if (!copy)
        abort();
    return copy;
}

void option_environment_name(const struct option *option, char name[OPTION_NAME_SIZE])
{
    snprintf(name, OPTION_NAME_SIZE, "VOTE_%s", option->name);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static void value_set(struct option_value *value, const char *text, size_t size, const char *from)
{
    free(value->text);
    value->text = text_copy(text, size);
    value->from = from;
}

static bool option_repeats(const struct option *option)
{
    return option->type == OPTION_PAIRS || option->type == OPTION_LINES;
}

/* A repeatable option keeps what it has, one value a line: flags and files add up, and take the
 * place of a variable. */
static void value_append(struct option_value *value, const char *text, const char *from)
{
    bool adds_up = value->from && (!strcmp(value->from, "flag") || !strcmp(value->from, "file"));
    if (!option_repeats(value->option) || !value->text || !adds_up) {
        value_set(value, text, strlen(text), from);
        return;
    }
    struct buf joined = {0};
    buf_format(&joined, "%s\n%s", value->text, text);
    free(value->text);
    value->text = joined.data;
    value->from = from;
}

static void options_collect(struct options *options, const struct option_set *sets,
                            size_t set_count)
{
    for (size_t s = 0; s < set_count; s++)
        options->value_count += sets[s].count;
    options->sets = sets;
    options->set_count = set_count;
    options->values = calloc(options->value_count + 1, sizeof *options->values);
    if (!options->values)
        abort();
    struct option_value *value = options->values;
    for (size_t s = 0; s < set_count; s++) {
        for (size_t i = 0; i < sets[s].count; i++, value++) {
            value->option = &sets[s].options[i];
            value->member = (char *)sets[s].target + value->option->offset;
            if (value->option->preset)
                value_set(value, value->option->preset, strlen(value->option->preset), "preset");
        }
    }
}

/* Whether there is a --NAME-file for it. */
static bool option_takes_file(const struct option *option)
{
    return option->flags & (OPTION_SECRET | OPTION_FILE);
}

static bool secret_read_file(struct option_value *value, const char *path, struct error *error)
{
    char content[SECRET_FILE_BYTES];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, ERROR_CONFIG, "%s-file: unable to open %s: %s", value->option->name,
                         path, strerror(errno));
    size_t size = fread(content, 1, sizeof content, file);
    bool failed = ferror(file) || !feof(file);
    fclose(file);
    if (failed)
        return error_set(error, ERROR_CONFIG, "%s-file: unable to read %s, or it is over 64KiB",
                         value->option->name, path);
    while (size && (content[size - 1] == '\n' || content[size - 1] == '\r'))
        size--;
    if (memchr(content, '\0', size))
        return error_set(error, ERROR_CONFIG, "%s-file: %s is no text", value->option->name, path);
    char *text = text_copy(content, size);
    value_append(value, text, "file");
    free(text);
    return true;
}

static bool options_read_environment(struct options *options, struct error *error)
{
    for (size_t i = 0; i < options->value_count; i++) {
        struct option_value *value = &options->values[i];
        char name[OPTION_NAME_SIZE + 8];
        assert(value->option); /* options_collect has set each */
        if (value->option->flags & OPTION_FLAG_ONLY)
            continue;
        option_environment_name(value->option, name);
        const char *text = getenv(name);
        if (text && *text)
            value_set(value, text, strlen(text), "environment");
        if (!option_takes_file(value->option))
            continue;
        strncat(name, "_FILE", sizeof name - strlen(name) - 1);
        const char *path = getenv(name);
        if (path && *path && !secret_read_file(value, path, error))
            return false;
    }
    return true;
}

static bool name_is(const char *name, const char *text, size_t size)
{
    return strlen(name) == size && !strncmp(name, text, size);
}

/* Finds `--name`; where there is a file for it, `--name-file`, with *is_file set. */
static struct option_value *options_find(struct options *options, const char *name, size_t size,
                                         bool *is_file)
{
    *is_file = false;
    for (size_t i = 0; i < options->value_count; i++) {
        if (name_is(options->values[i].option->name, name, size))
            return &options->values[i];
    }
    if (size > 5 && !strncmp(name + size - 5, "-file", 5)) {
        struct option_value *value = options_find(options, name, size - 5, is_file);
        *is_file = true;
        if (value && option_takes_file(value->option))
            return value;
    }
    return NULL;
}

/* --name VALUE or --name=VALUE; moves *at over a value that is an argument of its own. */
static bool options_read_long(struct options *options, int argc, char **argv, int *at,
                              struct error *error)
{
    const char *flag = argv[*at] + 2;
    size_t size = strcspn(flag, "=");
    bool is_file;
    struct option_value *value = options_find(options, flag, size, &is_file);
    if (!value)
        return error_set(error, ERROR_USAGE, "unknown flag --%.*s (see --help)", (int)size, flag);
    if (value->option->flags & OPTION_SECRET && !is_file)
        return error_set(error, ERROR_USAGE,
                         "--%s: a secret does not belong on a command line; use --%s-file or the "
                         "environment",
                         value->option->name, value->option->name);
    const char *text = flag[size] == '=' ? flag + size + 1 : NULL;
    if (!text && value->option->type == OPTION_SWITCH && !is_file)
        text = "true";
    if (!text && *at + 1 < argc)
        text = argv[++*at];
    if (!text)
        return error_set(error, ERROR_USAGE, "--%.*s needs a value: %s", (int)size, flag,
                         value->option->argument);
    if (is_file)
        return secret_read_file(value, text, error);
    value_append(value, text, "flag");
    return true;
}

/* -f, -fVALUE or -f VALUE, and switches bundled as in -fq. */
static bool options_read_short(struct options *options, int argc, char **argv, int *at,
                               struct error *error)
{
    for (const char *letter = argv[*at] + 1; *letter; letter++) {
        struct option_value *value = NULL;
        for (size_t i = 0; i < options->value_count && !value; i++) {
            if (options->values[i].option->letter == *letter)
                value = &options->values[i];
        }
        if (!value)
            return error_set(error, ERROR_USAGE, "unknown flag -%c (see --help)", *letter);
        if (value->option->type == OPTION_SWITCH) {
            value_append(value, "true", "flag");
            continue;
        }
        const char *text = letter[1] ? letter + 1 : *at + 1 < argc ? argv[++*at] : NULL;
        if (!text)
            return error_set(error, ERROR_USAGE, "-%c needs a value: %s", *letter,
                             value->option->argument);
        value_append(value, text, "flag");
        return true;
    }
    return true;
}

static bool options_read_flags(struct options *options, int argc, char **argv, struct error *error)
{
    options->arguments = calloc((size_t)argc + 1, sizeof *options->arguments);
    if (!options->arguments)
        abort();
    bool flags_end = false;
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (flags_end || word[0] != '-' || word[1] == '\0') {
            options->arguments[options->argument_count++] = word;
        } else if (!strcmp(word, "--")) {
            flags_end = true;
        } else if (word[1] == '-') {
            if (!options_read_long(options, argc, argv, &at, error))
                return false;
        } else if (!options_read_short(options, argc, argv, &at, error)) {
            return false;
        }
    }
    return true;
}

static bool value_refuse(const struct option_value *value, struct error *error, const char *why)
{
    char name[OPTION_NAME_SIZE];
    bool from_flag = !strcmp(value->from, "flag");
    option_environment_name(value->option, name);
    enum error_code code = from_flag ? ERROR_USAGE : ERROR_CONFIG;
    const char *dashes = from_flag ? "--" : "", *shown = from_flag ? value->option->name : name;
    if (!value->text || value->option->flags & (OPTION_SECRET | OPTION_URL))
        return error_set(error, code, "%s%s: %s", dashes, shown, why);
    return error_set(error, code, "%s%s: \"%s\" is %s", dashes, shown, value->text, why);
}

static bool value_refuse_range(const struct option_value *value, int64_t min, int64_t max,
                               struct error *error)
{
    char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE], why[96];
    if (value->option->type == OPTION_DURATION) {
        units_format_duration_us(min, low);
        units_format_duration_us(max, high);
    } else if (value->option->type == OPTION_SIZE) {
        units_format_size_bytes(min, low);
        units_format_size_bytes(max, high);
    } else {
        snprintf(low, sizeof low, "%lld", (long long)min);
        snprintf(high, sizeof high, "%lld", (long long)max);
    }
    snprintf(why, sizeof why, "out of range: %s to %s", low, high);
    return value_refuse(value, error, why);
}

static bool value_convert_number(struct option_value *value, struct error *error)
{
    const struct option *option = value->option;
    int64_t *number = value->member;
    if (option->type == OPTION_INT && !units_parse_int(value->text, number))
        return value_refuse(value, error, "not a whole number");
    if (option->type == OPTION_DURATION && !units_parse_duration_us(value->text, number))
        return value_refuse(value, error, "not a duration with its unit, like 250ms or 2s");
    if (option->type == OPTION_SIZE && !units_parse_size_bytes(value->text, number))
        return value_refuse(value, error, "not a size with its unit, like 16KiB or 1MiB");
    int64_t max = option->min == 0 && option->max == 0 ? INT64_MAX : option->max;
    if (*number < option->min || *number > max)
        return value_refuse_range(value, option->min, max, error);
    return true;
}

static bool value_convert_switch(struct option_value *value, struct error *error)
{
    static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no",
                                                                                "off"};
    for (size_t i = 0; i < 4; i++) {
        bool on = !strcmp(value->text, yes[i]);
        if (on || !strcmp(value->text, no[i])) {
            *(bool *)value->member = on;
            return true;
        }
    }
    return value_refuse(value, error, "neither true nor false");
}

static bool value_convert_choice(struct option_value *value, struct error *error)
{
    struct buf why = {0};
    buf_text(&why, "none of");
    for (int i = 0; value->option->choices[i]; i++) {
        if (!strcmp(value->option->choices[i], value->text)) {
            *(int *)value->member = i;
            buf_free(&why);
            return true;
        }
        buf_format(&why, "%s %s", i ? "," : "", value->option->choices[i]);
    }
    value_refuse(value, error, why.data);
    buf_free(&why);
    return false;
}

/* What is no pair may be a secret all the same: it is counted, not shown. */
static bool pair_refuse(const struct option_value *value, int number, struct error *error)
{
    char why[48];
    struct option_value unnamed = *value;
    unnamed.text = NULL;
    snprintf(why, sizeof why, "number %d is not of the form KEY=VALUE", number);
    return value_refuse(&unnamed, error, why);
}

/* Splits KEY=VALUE lines; a variable may also separate them by `;`. */
static bool value_convert_pairs(struct option_value *value, struct error *error)
{
    int number = 0;
    struct option_pairs *pairs = value->member;
    const char *separators = !strcmp(value->from, "environment") ? "\n;" : "\n";
    for (const char *at = value->text; *at;) {
        size_t size = strcspn(at, separators);
        const char *equals = memchr(at, '=', size);
        number += size > 0;
        if (size && (!equals || equals == at))
            return pair_refuse(value, number, error);
        if (size) {
            size_t room = (pairs->count + 1) * sizeof *pairs->keys;
            pairs->keys = realloc(pairs->keys, room);
            pairs->values = realloc(pairs->values, room);
            if (!pairs->keys || !pairs->values)
                abort();
            pairs->keys[pairs->count] = text_copy(at, (size_t)(equals - at));
            pairs->values[pairs->count++] = text_copy(equals + 1, (size_t)(at + size - equals - 1));
        }
        at += size + (at[size] != '\0');
    }
    return true;
}

static bool value_convert_quota(struct option_value *value, struct error *error)
{
    struct option_quota *quota = value->member;
    return units_parse_quota(value->text, &quota->count, &quota->window_us) ||
           value_refuse(value, error, "not a count in a time, like 30/10s, nor 0");
}

static bool value_convert(struct option_value *value, struct error *error)
{
    struct error why;
    switch (value->option->type) {
    case OPTION_LINES:
    case OPTION_TEXT:
        *(const char **)value->member = value->text;
        return !value->option->check || value->option->check(value->text, &why) ||
               value_refuse(value, error, why.text);
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE: return value_convert_number(value, error);
    case OPTION_RATE:
        return units_parse_rate_per_s(value->text, value->member) ||
               value_refuse(value, error, "not a rate with its unit, like 500/s");
    case OPTION_RATIO:
        return units_parse_ratio(value->text, value->member) ||
               value_refuse(value, error, "not a ratio from 0 to 1, like 0.25");
    case OPTION_QUOTA: return value_convert_quota(value, error);
    case OPTION_SWITCH: return value_convert_switch(value, error);
    case OPTION_CHOICE: return value_convert_choice(value, error);
    case OPTION_PAIRS: return value_convert_pairs(value, error);
    }
    abort();
}

static bool options_convert(struct options *options, struct error *error)
{
    for (size_t i = 0; i < options->value_count; i++) {
        struct option_value *value = &options->values[i];
        const struct option *option = value->option;
        char name[OPTION_NAME_SIZE];
        option_environment_name(option, name);
        if (!value->text && option->flags & OPTION_REQUIRED)
            return error_set(error, ERROR_CONFIG, "%s is not set: give --%s%s", name, option->name,
                             option->flags & OPTION_SECRET ? "-file" : "");
        if (value->text && !value_convert(value, error))
            return false;
    }
    return true;
}

bool options_parse(struct options *options, const struct option_set *sets, size_t set_count,
                   int argc, char **argv, struct error *error)
{
    *options = (struct options){0};
    options_collect(options, sets, set_count);
    return options_read_environment(options, error) &&
           options_read_flags(options, argc, argv, error) && options_convert(options, error);
}

static bool options_has_argument(const struct options *options, const char *word)
{
    for (size_t i = 0; i < options->argument_count; i++) {
        if (options->arguments[i] == word)
            return true;
    }
    return false;
}

void options_hide_secrets(const struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!options_has_argument(options, argv[i]))
            secret_blank(argv[i]);
    }
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->value_count; i++) {
        struct option_value *value = &options->values[i];
        if (value->option->type == OPTION_PAIRS) {
            struct option_pairs *pairs = value->member;
            for (size_t k = 0; k < pairs->count; k++) {
                free(pairs->keys[k]);
                free(pairs->values[k]);
            }
            free(pairs->keys);
            free(pairs->values);
            *pairs = (struct option_pairs){0};
        }
        free(value->text);
    }
    free(options->values);
    free(options->arguments);
    *options = (struct options){0};
}

bool options_given(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->value_count; i++) {
        const struct option_value *value = &options->values[i];
        if (!strcmp(value->option->name, name))
            return value->from && strcmp(value->from, "preset") != 0;
    }
    return false;
}
