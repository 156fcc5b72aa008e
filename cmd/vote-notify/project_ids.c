/* project_ids.c - reads what a client asks for: the ids of a subscribe or unsubscribe.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include <string.h>

bool subscribe_parse(const json_t *args, char (*ids)[VOTE_ID_SIZE], int max, int *count,
                     struct error *error)
{
    const json_t *list = json_object_get(json_array_get(args, 0), "project_ids");
    size_t size = json_array_size(list);
    if (!json_is_array(list))
        return error_set(error, ERROR_DATA, "project_ids is no list of ids");
    if (size > (size_t)max)
        return error_set(error, ERROR_DATA, "project_ids has over %d ids", max);
    for (size_t i = 0; i < size; i++) {
        const json_t *id = json_array_get(list, i);
        const char *text = json_string_value(id);
        if (!text || !id_is_valid(text, json_string_length(id)))
            return error_set(error, ERROR_DATA, "project_ids[%zu] is no project id", i);
        memcpy(ids[i], text, strlen(text) + 1);
    }
    *count = (int)size;
    return true;
}
