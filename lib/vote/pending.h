/* pending.h - what vote.lua notes of a request on its way. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_PENDING_H
#define VOTE_PENDING_H

#include "vote/event.h"

/* Reads a field `r:<request>` of vote:pending:{project}: up,down,time_ms,seq,previous,value,user.
 * Fills the request but for its variant; false when the text is no such entry. */
bool pending_parse(struct request *request, const char *project_id, const char *request_id,
                   const char *entry) __attribute__((warn_unused_result));

#endif
