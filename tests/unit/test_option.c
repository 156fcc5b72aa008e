/* test_option.c - flags, environment and presets. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/option.h"

struct sample {
    const char *text, *secret;
    int64_t wait_us, count;
    bool follow;
    struct option_pairs pairs;
};

#define AT(member) .offset = offsetof(struct sample, member)
/* clang-format off */
static const struct option sample_options[] = {
    {.name = "text", .letter = 't', .type = OPTION_TEXT, AT(text), .preset = "preset"},
    {.name = "secret", .type = OPTION_TEXT, AT(secret), .flags = OPTION_SECRET},
    {.name = "wait", .type = OPTION_DURATION, AT(wait_us), .preset = "50ms", .min = 1000,
     .max = 1000000},
    {.name = "count", .type = OPTION_INT, AT(count), .preset = "3", .min = 1, .max = 9},
    {.name = "follow", .letter = 'f', .type = OPTION_SWITCH, AT(follow)},
    {.name = "pair", .letter = 'X', .type = OPTION_PAIRS, AT(pairs)},
};
/* clang-format on */

static bool parse(struct sample *sample, struct options *options, struct error *error, char **argv)
{
    static struct option_set set;
    int argc = 0;
    *sample = (struct sample){0};
    set = (struct option_set){"Sample", sample_options, 6, sample};
    while (argv[argc])
        argc++;
    return options_parse(options, &set, 1, argc, argv, error);
}

static void a_flag_wins_over_the_environment_and_that_over_the_preset(void **state)
{
    (void)state;
    struct sample sample;
    struct options options;
    struct error error;
    assert_true(parse(&sample, &options, &error, (char *[]){"x", NULL}));
    assert_string_equal(sample.text, "preset");
    options_free(&options);
    setenv("VOTE_TEXT", "environment", 1);
    assert_true(parse(&sample, &options, &error, (char *[]){"x", NULL}));
    assert_string_equal(sample.text, "environment");
    options_free(&options);
    assert_true(parse(&sample, &options, &error, (char *[]){"x", "--text=flag", NULL}));
    assert_string_equal(sample.text, "flag");
    options_free(&options);
    unsetenv("VOTE_TEXT");
}

static void a_wrong_command_line_is_a_usage_error_that_names_it(void **state)
{
    (void)state;
    static char *const wrong[][3] = {{"--nope", NULL, "--nope"},
                                     {"--wait", "5", "--wait"},
                                     {"--wait", "2s", "out of range: 1ms to 1s"},
                                     {"--count", "x", "--count"},
                                     {"--text", NULL, "--text"},
                                     {"-z", NULL, "-z"},
                                     {"--secret", "s", "--secret"},
                                     {"-X", "novalue", "--pair"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sample sample;
        struct options options;
        struct error error;
        assert_false(
            parse(&sample, &options, &error, (char *[]){"x", wrong[i][0], wrong[i][1], NULL}));
        assert_non_null(strstr(error.text, wrong[i][2]));
        assert_int_equal(error.code, ERROR_USAGE);
        options_free(&options);
    }
}

static void a_bad_variable_is_a_config_error(void **state)
{
    (void)state;
    struct sample sample;
    struct options options;
    struct error error;
    setenv("VOTE_COUNT", "77", 1);
    assert_false(parse(&sample, &options, &error, (char *[]){"x", NULL}));
    assert_int_equal(error.code, ERROR_CONFIG);
    assert_non_null(strstr(error.text, "VOTE_COUNT"));
    options_free(&options);
    unsetenv("VOTE_COUNT");
}

static void flags_may_stand_among_arguments(void **state)
{
    (void)state;
    struct sample sample;
    struct options options;
    struct error error;
    assert_true(
        parse(&sample, &options, &error,
              (char *[]){"x", "one", "-ft", "v", "-X", "a=1", "-Xb=2", "--", "-two", NULL}));
    assert_true(sample.follow);
    assert_string_equal(sample.text, "v");
    assert_int_equal(sample.pairs.count, 2);
    assert_string_equal(sample.pairs.values[1], "2");
    assert_int_equal(options.argument_count, 2);
    assert_string_equal(options.arguments[1], "-two");
    options_free(&options);
}

static const char *const colours[] = {"red", "green", NULL};
static const struct option told_options[] = {
    {.name = "colour",
     .letter = 'c',
     .type = OPTION_TEXT,
     .choices = colours,
     .argument = "NAME",
     .summary = "one of those that there are, or another one that is not among them at all"},
    {.name = "file", .type = OPTION_TEXT, .argument = "FILE", .summary = "where it is"},
    {.name = "secret", .type = OPTION_TEXT, .flags = OPTION_SECRET, .summary = "what it is"},
};
static const struct option_set told_sets[] = {{"First", told_options, 2, NULL},
                                              {"Second", told_options + 2, 1, NULL}};

static void help_that_does_not_fit_names_the_last_sets_only(void **state)
{
    (void)state;
    struct buf all = {0}, some = {0};
    assert_true(options_print_help(told_sets, 2, 0, &all));
    assert_non_null(strstr(all.data, "what it is"));
    assert_false(options_print_help(told_sets, 2, 5, &some));
    assert_null(strstr(some.data, "what it is"));
    assert_non_null(strstr(some.data, "Also: --secret-file\n"));
    assert_non_null(strstr(some.data, "where it is"));
    buf_free(&all);
    buf_free(&some);
}

static void help_that_is_too_long_for_its_first_set_names_the_last_of_it(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_false(options_print_help(told_sets, 2, 4, &text));
    assert_non_null(strstr(text.data, "--colour NAME"));
    assert_null(strstr(text.data, "where it is"));
    assert_non_null(strstr(text.data, "Also: --file --secret-file\n"));
    buf_free(&text);
}

static void help_is_eighty_columns_wide(void **state)
{
    (void)state;
    struct buf text = {0};
    assert_true(options_print_help(told_sets, 2, 0, &text));
    for (const char *line = text.data; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    buf_free(&text);
}

static void the_completion_offers_choices_files_and_words(void **state)
{
    (void)state;
    struct buf text = {0};
    options_print_completion(told_sets, 2, "_x", "one two", &text);
    assert_non_null(strstr(text.data, "-c | --colour) COMPREPLY=($(compgen -W 'red green'"));
    assert_non_null(strstr(text.data, "--file) COMPREPLY=($(compgen -f"));
    assert_non_null(strstr(text.data, "--secret-file) COMPREPLY=($(compgen -f"));
    assert_non_null(strstr(text.data, "compgen -W 'one two'"));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flag_wins_over_the_environment_and_that_over_the_preset),
        cmocka_unit_test(a_wrong_command_line_is_a_usage_error_that_names_it),
        cmocka_unit_test(a_bad_variable_is_a_config_error),
        cmocka_unit_test(flags_may_stand_among_arguments),
        cmocka_unit_test(help_that_does_not_fit_names_the_last_sets_only),
        cmocka_unit_test(help_that_is_too_long_for_its_first_set_names_the_last_of_it),
        cmocka_unit_test(help_is_eighty_columns_wide),
        cmocka_unit_test(the_completion_offers_choices_files_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
