/* states.h - what more than one tool does to a project's optimistic state.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_STATES_H
#define VOTE_STATES_H

#include "redis/redis.h"

/* Adds drop.lua: the state goes, to be loaded again by the next click; what is on its way is still
 * known, to be settled or taken back elsewhere. `version` is what Postgres
 * has of the project now; a load that read an older one is refused. */
void state_add_drop(struct redis_batch *batch, const char *project_id, const char *version);

/* Adds undo.lua: takes back what a request has done that will never be in the log. Its reply is 0
 * when the request is not on its way any more. */
void state_add_undo(struct redis_batch *batch, const char *project_id, const char *request_id);

/* The same, but for a note that it is on its way, which the sweep finds until state_add_forget
 * takes it away. */
void state_add_give_up(struct redis_batch *batch, const char *project_id, const char *request_id);
void state_add_forget(struct redis_batch *batch, const char *project_id, const char *request_id);

#endif
