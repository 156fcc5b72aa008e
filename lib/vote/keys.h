/* keys.h - the names of what is kept in Redis. Ids are checked before they get here (ids.h), so
 * that none can reach another's key. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_KEYS_H
#define VOTE_KEYS_H

#include "vote/ids.h"

#define KEY_EVENTS  "vote:events"
#define KEY_METRICS "vote:metrics"
#define KEY_TOUCHED                                                                                \
    "vote:touched" /* projects with votes on their way, by when they last got one                  \
                    */

/* Raised by vote-invalidate before it purges the leaderboard: who fills that cache looks at it. */
#define KEY_LEADERBOARD_MARK "cache:mark:leaderboard"

enum { KEY_SIZE = 32 + VOTE_ID_SIZE };

/* A project's keys carry it in braces: Redis Cluster keeps them on one node, where a script can
 * reach them all. */
struct project_keys {
    char state[KEY_SIZE], voters[KEY_SIZE], pending[KEY_SIZE], settled[KEY_SIZE];
};

void project_keys_make(struct project_keys *keys, const char *project_id);

void key_of_request(char key[KEY_SIZE], const char *request_id); /* vote:request:<id> */
void key_of_rate(char key[KEY_SIZE], const char *user_id);       /* vote:rate:{<user>} */
void key_of_recent(char key[KEY_SIZE], const char *user_id);     /* vote:recent:{<user>} */
void key_of_upvotes(char key[KEY_SIZE], const char *user_id);    /* user:<id>:upvotes */
void key_of_user_cache(char key[KEY_SIZE], const char *user_id); /* cache:user:<id>:votes */

enum { REQUEST_KEPT_S = 24 * 3600 }; /* a request's hash, a user's recent votes */
#define REQUEST_KEPT_S_TEXT "86400"
_Static_assert(REQUEST_KEPT_S == 86400, "REQUEST_KEPT_S_TEXT is its text");

#endif
