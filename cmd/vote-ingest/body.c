/* body.c - the JSON body of a POST. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include <string.h>
#include <strings.h>

static bool content_type_is_json(const char *type)
{
    static const char json[] = "application/json";
    if (!type || strncasecmp(type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

bool body_receive(struct http_request *request, const char **json, size_t *size)
{
    enum http_body body = http_body(request, json, size);
    if (body == HTTP_BODY_TOO_LARGE)
        problem_reply(request, 413, "too-large", "the body is over 16 KiB", NULL, NULL);
    else if (body == HTTP_BODY_BROKEN)
        problem_reply(request, 400, "malformed", "the body ended early", NULL, NULL);
    else if (*size && !content_type_is_json(http_header(request, "Content-Type")))
        problem_reply(request, 415, "unsupported-media-type", "the body is not application/json",
                      NULL, "Accept: application/json\r\n");
    else
        return true;
    return false;
}
