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

/* The value as it stands in the query, with its size; NULL when the parameter is absent. */
static const char *query_find(const char *query, const char *name, size_t *size)
{
    size_t name_size = strlen(name);
    while (query) {
        size_t length = strcspn(query, "&#");
        if (length > name_size && query[name_size] == '=' && !strncmp(query, name, name_size)) {
            *size = length - name_size - 1;
            return query + name_size + 1;
        }
        query = query[length] == '&' ? query + length + 1 : NULL;
    }
    return NULL;
}

bool uri_query(const char *query, const char *name, char *value, size_t size)
{
    size_t length;
    const char *found = query_find(query, name, &length);
    if (!found || length >= size)
        return false;
    memcpy(value, found, length);
    value[uri_decode(value, length, true)] = '\0';
    return true;
}

bool uri_query_has(const char *query, const char *name)
{
    size_t length;
    return query_find(query, name, &length) != NULL;
}
