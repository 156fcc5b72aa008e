/* pending.c - what vote.lua notes of a request on its way. SPDX-License-Identifier: Apache-2.0 */
#include "vote/pending.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pending_parse(struct request *request, const char *project_id, const char *request_id,
                   const char *entry)
{
    int previous, value, at = 0;
    int64_t time_ms;
    if (sscanf(entry, "%*d,%*d,%" SCNd64 ",%" SCNd64 ",%d,%d,%n", &time_ms, &request->seq,
               &previous, &value, &at) < 4 ||
        !at || !id_is_valid(entry + at, strlen(entry + at)) ||
        !request_id_is_valid(request_id, strlen(request_id)) || abs(previous) > 1 || abs(value) > 1)
        return false;
    snprintf(request->user_id, sizeof request->user_id, "%s", entry + at);
    snprintf(request->project_id, sizeof request->project_id, "%s", project_id);
    snprintf(request->request_id, sizeof request->request_id, "%s", request_id);
    request->previous = (enum vote_type)previous;
    request->vote_type = (enum vote_type)value;
    request->action = vote_action_between(request->previous, request->vote_type);
    request->accepted_at_ms = time_ms;
    request->variant[0] = '\0';
    return true;
}
