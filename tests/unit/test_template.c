/* test_template.c - the rules of vote-invalidate. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vote-invalidate/template.h"

static void expect(const char *rule, enum target target, enum subject subject, const char *expanded)
{
    struct templates templates = {0};
    struct buf text = {0};
    struct error error;
    assert_true(templates_add(&templates, rule, &error));
    assert_int_equal(templates.list[0].target, target);
    assert_int_equal(templates.list[0].subject, subject);
    template_expand(&templates.list[0], "p.1", &text);
    assert_string_equal(text.data, expanded);
    buf_free(&text);
    templates_free(&templates);
}

static void a_rule_says_what_and_whose(void **state)
{
    (void)state;
    expect("key cache:{project_id}:x", TARGET_KEY, SUBJECT_PROJECT, "cache:p.1:x");
    expect("  tag \t {user_id} ", TARGET_TAG, SUBJECT_USER, "p.1");
    expect("pattern a:*", TARGET_PATTERN, SUBJECT_ALL, "a:*");
    expect("url /a/{project_id}?x=1", TARGET_URL, SUBJECT_PROJECT, "/a/p.1?x=1");
    expect("surrogate project-{project_id}", TARGET_SURROGATE, SUBJECT_PROJECT, "project-p.1");
}

static void braces_of_its_own_stay(void **state)
{
    (void)state;
    expect("key a:{{project_id}}", TARGET_KEY, SUBJECT_PROJECT, "a:{p.1}");
    expect("key {}{1}", TARGET_KEY, SUBJECT_ALL, "{}{1}");
}

static void what_is_no_rule_is_refused(void **state)
{
    static const char *const bad[] = {
        "",      "key",      "keys a",      "key a b",           "key {project}",
        "url a", "key \x01", "key {id}{id", "{project_id}{user}", "key {user_id}{project_id}"};
    struct templates templates = {0};
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error.text[0] = 0;
        assert_false(templates_add(&templates, bad[i], &error));
        assert_int_equal(error.code, ERROR_CONFIG);
        assert_true(error.text[0]);
    }
    assert_int_equal(templates.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_says_what_and_whose),
        cmocka_unit_test(braces_of_its_own_stay),
        cmocka_unit_test(what_is_no_rule_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
