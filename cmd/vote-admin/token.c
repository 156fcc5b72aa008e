/* token.c - vote-admin token: a token for a user, on stdout and nowhere else.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote/token.h"
#include "vote-admin/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) .offset = offsetof(struct admin_config, member)
const struct option token_options[TOKEN_OPTION_COUNT] = {
    {.name = "user",
     .type = OPTION_TEXT,
     AT(user),
     .argument = "ID",
     .flags = OPTION_FLAG_ONLY,
     .summary = "whose token it is"},
    {.name = "scope",
     .type = OPTION_TEXT,
     AT(scope),
     .argument = "SCOPE",
     .flags = OPTION_FLAG_ONLY,
     .summary = "vote:admin sees every user's requests"},
    {.name = "ttl",
     .type = OPTION_DURATION,
     AT(ttl_us),
     .preset = "1h",
     .argument = "DURATION",
     .min = 1000000,
     .max = INT64_C(315360000000000),
     .flags = OPTION_FLAG_ONLY,
     .summary = "how long it is good"},
    {.name = "jwt-secret",
     .type = OPTION_TEXT,
     AT(jwt_secret),
     .flags = OPTION_SECRET | OPTION_REQUIRED,
     .summary = "what HS256 tokens are signed with"},
};

bool token_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    const struct admin_config *config = context;
    if (!config->user)
        return error_set(error, ERROR_USAGE, "--user is missing: whose token is it?");
    if (!id_is_valid(config->user, strlen(config->user)))
        return error_set(error, ERROR_USAGE,
                         "--user: \"%s\" is not 1 to 64 characters out of "
                         "A-Z a-z 0-9 . _ : -",
                         config->user);
    char *text = token_mint(config->jwt_secret, config->user, config->scope,
                            config->ttl_us / 1000000, error);
    if (!text)
        return false;
    puts(text);
    free(text);
    return true;
}
