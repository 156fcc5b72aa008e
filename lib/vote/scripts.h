/* scripts.h - the Lua scripts of lib/vote/lua, embedded by the build.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_SCRIPTS_H
#define VOTE_SCRIPTS_H

#include "redis/redis.h"

extern const struct redis_script script_vote;
extern const struct redis_script script_undo;
extern const struct redis_script script_voters;
extern const struct redis_script script_load;
extern const struct redis_script script_settle;
extern const struct redis_script script_guard;
extern const struct redis_script script_answered;
extern const struct redis_script script_sweep;
extern const struct redis_script script_forget;
extern const struct redis_script script_drop;
extern const struct redis_script script_recent;

#endif
