/* uri.c - see uri.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/uri.h"

#include <ctype.h>
#include <string.h>

static int digit_value(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool is_encoded(const char *text, size_t size)
{
    return size >= 3 && *text == '%' && isxdigit((unsigned char)text[1]) &&
           isxdigit((unsigned char)text[2]) && strncmp(text, "%00", 3) != 0;
}

size_t uri_decode(char *text, size_t size, bool plus_is_blank)
{
    size_t to = 0;
    for (size_t from = 0; from < size; from++) {
        char c = text[from];
        if (is_encoded(text + from, size - from)) {
            c = (char)(digit_value(text[from + 1]) * 16 + digit_value(text[from + 2]));
            from += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        text[to++] = c;
    }
    return to;
}

bool uri_query(const char *query, const char *name, char *value, size_t size)
{
    size_t name_size = strlen(name);
    while (query) {
        size_t length = strcspn(query, "&#");
        bool is_it =
            length > name_size && query[name_size] == '=' && !strncmp(query, name, name_size);
        if (is_it && length - name_size - 1 >= size)
            return false;
        if (is_it) {
            memcpy(value, query + name_size + 1, length - name_size - 1);
            value[uri_decode(value, length - name_size - 1, true)] = '\0';
            return true;
        }
        query = query[length] == '&' ? query + length + 1 : NULL;
    }
    return false;
}
