/* fuzz_subscribe.c - any arguments of a subscribe are refused with a reason, or are ids that are
 * valid and not too many. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "vote-notify/notify.h"

#include <string.h>

enum { MAX = 5 };

static void check_ids(char (*ids)[VOTE_ID_SIZE], int count, const json_t *args)
{
    const json_t *list = json_object_get(json_array_get(args, 0), "project_ids");
    assert(count >= 0 && count <= MAX && (size_t)count == json_array_size(list));
    for (int i = 0; i < count; i++) {
        assert(id_is_valid(ids[i], strlen(ids[i])));
        assert(!strcmp(ids[i], json_string_value(json_array_get(list, (size_t)i))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char ids[MAX][VOTE_ID_SIZE];
    int count = 0;
    struct error error = {0};
    json_t *args = json_loadb(size ? (const char *)data : "", size, JSON_ALLOW_NUL, NULL);
    if (subscribe_parse(args, ids, MAX, &count, &error))
        check_ids(ids, count, args);
    else
        assert(error.code == ERROR_DATA && error.text[0]);
    json_decref(args);
    return 0;
}
