/* token_config.c - the settings of those who check tokens. SPDX-License-Identifier: Apache-2.0 */
#include "vote/token_config.h"

#define AT(member) .offset = offsetof(struct token_config, member)
/* clang-format off */
const struct option token_check_options[] = {
    {.name = "jwt-algorithm", .type = OPTION_CHOICE, AT(keys.algorithm), .preset = "HS256",
     .argument = "NAME", .choices = token_algorithm_names, .summary = "HS256, RS256 or ES256"},
    {.name = "jwt-secret", .type = OPTION_TEXT, AT(secret), .flags = OPTION_SECRET,
     .summary = "what HS256 tokens are signed with"},
    {.name = "jwt-public-key", .type = OPTION_TEXT, AT(public_key), .flags = OPTION_SECRET,
     .summary = "PEM, for RS256 and ES256"},
    {.name = "jwt-issuer", .type = OPTION_TEXT, AT(keys.issuer), .argument = "TEXT",
     .summary = "what iss must be"},
    {.name = "jwt-audience", .type = OPTION_TEXT, AT(keys.audience), .argument = "TEXT",
     .summary = "what aud must be or hold"},
};
/* clang-format on */

bool token_config_settle(struct token_config *config, struct error *error)
{
    bool symmetric = config->keys.algorithm == TOKEN_HS256;
    config->keys.key = symmetric ? config->secret : config->public_key;
    if (config->keys.key && *config->keys.key)
        return true;
    return error_set(error, ERROR_CONFIG, "%s is not set: give --%s-file",
                     symmetric ? "VOTE_JWT_SECRET" : "VOTE_JWT_PUBLIC_KEY",
                     symmetric ? "jwt-secret" : "jwt-public-key");
}
