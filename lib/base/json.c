/* json.c - bounds on JSON from outside. SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

bool json_depth_is_within(const char *text, size_t size, int max)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max)
                return false;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}
