/* token.h - JSON Web Tokens (RFC 7519) that name a user. The only place that knows libjwt.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_TOKEN_H
#define VOTE_TOKEN_H

#include "base/error.h"
#include "vote/ids.h"

#include <stdbool.h>
#include <stdint.h>

struct token {
    char user_id[VOTE_ID_SIZE];
    bool admin;           /* the scope holds vote:admin */
    int64_t expires_at_s; /* Unix seconds; 0: never */
};

/* Makes an HS256 token for `user_id` that lives `ttl_s` seconds; `scope` may be NULL. Returns text
 * that the caller frees with free(), or NULL with the error filled. */
char *token_mint(const char *secret, const char *user_id, const char *scope, int64_t ttl_s,
                 struct error *error) __attribute__((warn_unused_result));

enum token_algorithm { TOKEN_HS256, TOKEN_RS256, TOKEN_ES256 };

/* What tokens are checked against. All strings are borrowed. */
struct token_keys {
    int algorithm;        /* enum token_algorithm: the only one that is taken */
    const char *key;      /* HS256: the secret; RS256, ES256: the public key as PEM */
    const char *issuer;   /* what `iss` must be; NULL: anything */
    const char *audience; /* what `aud` must be or hold; NULL: anything */
};

/* The names of the algorithms in their order, ending with NULL. */
extern const char *const token_algorithm_names[];

/* Checks signature, `alg`, `exp`, `nbf`, `iss`, `aud` (RFC 7519 section 4.1) and the form of `sub`.
 * The error's text says what is wrong with the token and never repeats it. */
bool token_verify(struct token *token, const struct token_keys *keys, const char *text,
                  struct error *error) __attribute__((warn_unused_result));

#endif
