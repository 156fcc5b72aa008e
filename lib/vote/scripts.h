/* scripts.h - the Lua scripts of lib/vote/lua, embedded by the build. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef VOTE_SCRIPTS_H
#define VOTE_SCRIPTS_H

extern const char lua_vote[];
extern const char lua_undo[];
extern const char lua_load[];
extern const char lua_settle[];

#endif
