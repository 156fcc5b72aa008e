/* origin.c - which pages may read an answer. SPDX-License-Identifier: Apache-2.0 */
#include "base/origin.h"

#include <string.h>

bool origin_is_listed(const char *origins, const char *origin)
{
    size_t size = strlen(origin);
    while (*origins) {
        size_t length = strcspn(origins, ",");
        if ((length == 1 && *origins == '*') || (length == size && !strncmp(origins, origin, size)))
            return true;
        origins += length + strspn(origins + length, ", ");
    }
    return false;
}
