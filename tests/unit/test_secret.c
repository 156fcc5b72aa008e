/* test_secret.c - what is not shown of settings. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/option.h"
#include "base/secret.h"

#include <stdio.h>
#include <unistd.h>

static const struct {
    const char *text, *shown;
} samples[] = {
    {"postgresql://u:hunter2@h:5432/d", "postgresql://u:***@h:5432/d"},
    {"postgresql://u@h:5432/d", "postgresql://u@h:5432/d"},
    {"postgresql://u:p@ss/w@h/d", "postgresql://u:***@h/d"},
    {"postgresql://h/d?user=u&password=hunter2&sslmode=require",
     "postgresql://h/d?user=u&password=***"},
    {"postgresql://u:one@h/d?sslpassword=two", "postgresql://u:***@h/d?sslpassword=***"},
    {"host=h password=hunter2", "host=h password=***"},
    {"host=h password = 'hunter 2' user=u", "host=h password =***"},
    {"redis://hunter2@h", "redis://***@h"},
    {"redis://u:hunter2@h:1,h:2/3", "redis://u:***@h:1,h:2/3"},
    {"--database-url=postgresql://u:hunter2@h/d", "--database-url=postgresql://u:***@h/d"},
    {"-Xsasl.password=a=b", "-Xsasl.password=***"},
    {"sasl.oauthbearer.client.secret=x", "sasl.oauthbearer.client.secret=***"},
    {"SSL.KEY.PASSWORD=x", "SSL.KEY.PASSWORD=***"},
    {"ssl.key.pem=x", "ssl.key.pem=***"},
    {"ssl.key.location=/etc/key.pem", "ssl.key.location=/etc/key.pem"},
    {"--jwt-secret-file=/run/secret", "--jwt-secret-file=/run/secret"},
    {"session.timeout.ms=6000", "session.timeout.ms=6000"},
    {"http://cache:6081", "http://cache:6081"},
    {"", ""},
};

static void a_secret_is_shown_as_three_stars(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char shown[SECRET_SHOWN_SIZE];
        assert_string_equal(secret_show(samples[i].text, shown), samples[i].shown);
    }
}

struct target {
    const char *url;
    struct option_pairs pairs;
};

static const struct option options[] = {
    {.name = "url",
     .type = OPTION_TEXT,
     .offset = offsetof(struct target, url),
     .flags = OPTION_URL | OPTION_FILE},
    {.name = "pair",
     .letter = 'X',
     .type = OPTION_PAIRS,
     .offset = offsetof(struct target, pairs),
     .flags = OPTION_FILE},
};

static bool parse(struct target *target, struct options *parsed, struct error *error, char **argv)
{
    static struct option_set set;
    int argc = 0;
    *target = (struct target){0};
    set = (struct option_set){"Sample", options, 2, target};
    while (argv[argc])
        argc++;
    bool done = options_parse(parsed, &set, 1, argc, argv, error);
    if (done)
        options_hide_secrets(parsed, argc, argv);
    return done;
}

static void a_secret_leaves_the_command_line_and_stays_in_the_setting(void **state)
{
    (void)state;
    char url[] = "redis://:hunter2@h", pair[] = "-Xsasl.password=hunter2", word[] = "password=file";
    char *argv[] = {"x", "--url", url, pair, word, NULL};
    struct target target;
    struct options parsed;
    struct error error;
    assert_true(parse(&target, &parsed, &error, argv));
    assert_string_equal(url, "redis://:*******@h");
    assert_string_equal(pair, "-Xsasl.password=*******");
    assert_string_equal(parsed.arguments[0], "password=file"); /* the tool has yet to read it */
    assert_string_equal(target.url, "redis://:hunter2@h");
    assert_string_equal(target.pairs.values[0], "hunter2");
    options_free(&parsed);
}

/* Writes the content to a file of its own, whose name the caller frees. */
static char *file_with(const char *content, size_t size)
{
    char *path = strdup("/tmp/test_secret.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, size), (ssize_t)size);
    close(fd);
    return path;
}

static void a_url_and_properties_may_come_from_files(void **state)
{
    (void)state;
    char *url = file_with("redis://:hunter2@h\n", 19), *pairs = file_with("a=1;2\nb=3\n", 10);
    char *argv[] = {"x", "--url-file", url, "--pair-file", pairs, "-X", "c=4", NULL};
    struct target target;
    struct options parsed;
    struct error error;
    assert_true(parse(&target, &parsed, &error, argv));
    assert_string_equal(target.url, "redis://:hunter2@h");
    assert_int_equal(target.pairs.count, 3);
    assert_string_equal(target.pairs.values[0], "1;2");
    assert_string_equal(target.pairs.values[2], "4");
    options_free(&parsed);
    unlink(url);
    unlink(pairs);
    free(url);
    free(pairs);
}

static void a_secret_file_that_is_no_text_or_too_long_is_refused(void **state)
{
    (void)state;
    static char long_text[64 * 1024];
    memset(long_text, 'x', sizeof long_text);
    char *files[] = {file_with("a\0b", 3), file_with(long_text, sizeof long_text)};
    for (size_t i = 0; i < 2; i++) {
        struct target target;
        struct options parsed;
        struct error error;
        assert_false(
            parse(&target, &parsed, &error, (char *[]){"x", "--url-file", files[i], NULL}));
        assert_int_equal(error.code, ERROR_CONFIG);
        options_free(&parsed);
        unlink(files[i]);
        free(files[i]);
    }
}

static void what_is_no_pair_is_counted_and_not_shown(void **state)
{
    (void)state;
    struct target target;
    struct options parsed;
    struct error error;
    assert_false(parse(&target, &parsed, &error,
                       (char *[]){"x", "-X", "sasl.password=hunter2", "-X", "hunter3", NULL}));
    assert_null(strstr(error.text, "hunter"));
    assert_non_null(strstr(error.text, "--pair: number 2 is not of the form KEY=VALUE"));
    options_free(&parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_shown_as_three_stars),
        cmocka_unit_test(a_secret_leaves_the_command_line_and_stays_in_the_setting),
        cmocka_unit_test(a_url_and_properties_may_come_from_files),
        cmocka_unit_test(a_secret_file_that_is_no_text_or_too_long_is_refused),
        cmocka_unit_test(what_is_no_pair_is_counted_and_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
