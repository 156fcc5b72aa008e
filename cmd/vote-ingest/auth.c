/* auth.c - who is asking: the bearer token of a call. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool auth_refuse(struct http_request *request, const char *detail, const char *challenge)
{
    char header[128];
    snprintf(header, sizeof header, "WWW-Authenticate: Bearer realm=\"votes\"%s\r\n", challenge);
    problem_reply(request, 401, "unauthorized", detail, NULL, header);
    return false;
}

bool auth_check(struct http_request *request, struct token *token)
{
    const struct ingest *ingest = request->context;
    const char *header = http_header(request, "Authorization");
    struct error error;
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return auth_refuse(request, "the call has no bearer token", "");
    const char *text = header + 7 + strspn(header + 7, " ");
    if (!token_cache_verify(ingest->tokens, token, text, &error))
        return auth_refuse(request, error.text, ", error=\"invalid_token\"");
    return true;
}
