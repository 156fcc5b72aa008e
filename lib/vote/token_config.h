/* token_config.h - the settings of those who check tokens. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_TOKEN_CONFIG_H
#define VOTE_TOKEN_CONFIG_H

#include "base/option.h"
#include "vote/token.h"

struct token_config {
    struct token_keys keys;
    const char *secret, *public_key; /* one of them becomes keys.key */
};

/* --jwt-algorithm, the keys, --jwt-issuer and --jwt-audience, for a struct token_config. */
extern const struct option token_check_options[];
enum { TOKEN_CHECK_OPTION_COUNT = 5 };

/* Picks the key that the algorithm needs. ERROR_CONFIG: it is not set. */
bool token_config_settle(struct token_config *config, struct error *error)
    __attribute__((warn_unused_result));

#endif
