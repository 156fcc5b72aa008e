/* test_slot.c - slots of keys, against what CLUSTER KEYSLOT of a Redis server says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "redis/client.h"

static void slots_are_those_of_redis(void **state)
{
    (void)state;
    assert_int_equal(slot_of_key("123456789"), 0x31C3);
    assert_int_equal(slot_of_key("vote:state:{p1}"), slot_of_key("p1"));
    assert_int_equal(slot_of_key("vote:request:018f3c1e-0000-7000-8000-000000000000"), 15120);
    assert_int_equal(slot_of_key("\xff\xfe\x80"), 11813);
    assert_int_equal(slot_of_key(""), 0);
}

static void only_the_first_tag_counts_and_an_empty_one_does_not(void **state)
{
    (void)state;
    assert_int_equal(slot_of_key("a{b}{c}"), slot_of_key("b"));
    assert_int_equal(slot_of_key("a{{b}}c"), slot_of_key("{b"));
    assert_int_equal(slot_of_key("{}abc"), 5980);
    assert_int_not_equal(slot_of_key("{}abc"), slot_of_key("abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_those_of_redis),
        cmocka_unit_test(only_the_first_tag_counts_and_an_empty_one_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
