/* keys.c - the names of what is kept in Redis. SPDX-License-Identifier: Apache-2.0 */
#include "vote/keys.h"

#include <stdio.h>

void project_keys_make(struct project_keys *keys, const char *project_id)
{
    snprintf(keys->state, KEY_SIZE, "vote:state:{%s}", project_id);
    snprintf(keys->voters, KEY_SIZE, "vote:voters:{%s}", project_id);
    snprintf(keys->pending, KEY_SIZE, "vote:pending:{%s}", project_id);
    snprintf(keys->settled, KEY_SIZE, "vote:settled:{%s}", project_id);
}

void key_of_request(char key[KEY_SIZE], const char *request_id)
{
    snprintf(key, KEY_SIZE, "vote:request:%s", request_id);
}

void key_of_rate(char key[KEY_SIZE], const char *user_id)
{
    snprintf(key, KEY_SIZE, "vote:rate:{%s}", user_id);
}

void key_of_recent(char key[KEY_SIZE], const char *user_id)
{
    snprintf(key, KEY_SIZE, "vote:recent:{%s}", user_id);
}

void key_of_user_cache(char key[KEY_SIZE], const char *user_id)
{
    snprintf(key, KEY_SIZE, "cache:user:%s:votes", user_id);
}

void key_of_upvotes(char key[KEY_SIZE], const char *user_id)
{
    snprintf(key, KEY_SIZE, "user:%s:upvotes", user_id);
}
