/* states.c - see states.h. SPDX-License-Identifier: Apache-2.0 */
#include "vote/states.h"

#include "vote/keys.h"
#include "vote/scripts.h"

void state_add_drop(struct redis_batch *batch, const char *project_id, const char *version)
{
    struct project_keys keys;
    project_keys_make(&keys, project_id);
    redis_add_script(batch, &script_drop, 3, 4,
                     (const char *[]){keys.state, keys.voters, keys.settled, version});
}

static void undo_add(struct redis_batch *batch, const char *project_id, const char *request_id,
                     const char *is_noted)
{
    struct project_keys keys;
    project_keys_make(&keys, project_id);
    redis_add_script(batch, &script_undo, 3, 5,
                     (const char *[]){keys.state, keys.voters, keys.pending, request_id, is_noted});
}

void state_add_undo(struct redis_batch *batch, const char *project_id, const char *request_id)
{
    undo_add(batch, project_id, request_id, "0");
}

void state_add_give_up(struct redis_batch *batch, const char *project_id, const char *request_id)
{
    undo_add(batch, project_id, request_id, "1");
}

void state_add_forget(struct redis_batch *batch, const char *project_id, const char *request_id)
{
    struct project_keys keys;
    project_keys_make(&keys, project_id);
    redis_add(batch, keys.pending, "HDEL %s d:%s", keys.pending, request_id);
}
