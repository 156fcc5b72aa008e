/* test_line.c - lines of bounded length. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/line.h"

static FILE *file_of(const char *content, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, size, file), size);
    rewind(file);
    return file;
}

static void lines_come_one_by_one_with_their_newline(void **state)
{
    (void)state;
    static const char content[] = "one\n\ntw\0o\nend";
    static const ssize_t lengths[] = {4, 1, 5, 3, 0, 0};
    char *line = NULL;
    size_t size = 0;
    FILE *file = file_of(content, sizeof content - 1);
    for (size_t i = 0, at = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ssize_t length = line_get(&line, &size, 100, file);
        assert_int_equal(length, lengths[i]);
        if (length)
            assert_memory_equal(line, content + at, (size_t)length);
        at += (size_t)length;
    }
    free(line);
    fclose(file);
}

static void a_line_over_the_bound_is_told_and_not_kept(void **state)
{
    (void)state;
    static char content[100000];
    char *line = NULL;
    size_t size = 0;
    memset(content, 'x', sizeof content);
    content[999] = '\n';
    FILE *file = file_of(content, sizeof content);
    assert_int_equal(line_get(&line, &size, 1000, file), 1000); /* the newline is a part of it */
    assert_int_equal(line_get(&line, &size, 1000, file), -1);
    assert_true(size <= 2048);
    free(line);
    fclose(file);
}

static void the_last_line_may_be_as_long_as_the_bound(void **state)
{
    (void)state;
    char *line = NULL;
    size_t size = 0;
    FILE *file = file_of("four", 4);
    assert_int_equal(line_get(&line, &size, 5, file), 4);
    assert_string_equal(line, "four");
    free(line);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_one_by_one_with_their_newline),
        cmocka_unit_test(a_line_over_the_bound_is_told_and_not_kept),
        cmocka_unit_test(the_last_line_may_be_as_long_as_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
