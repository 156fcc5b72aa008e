/* token_cache.h - tokens whose signature was checked are known until they expire.
 *
 * Any number of threads share one. It holds a bounded number of tokens; a full set forgets an older
 * one, which then is checked again. SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_TOKEN_CACHE_H
#define VOTE_TOKEN_CACHE_H

#include "vote/token.h"

struct token_cache;

/* `keys` is borrowed until token_cache_free. */
struct token_cache *token_cache_new(const struct token_keys *keys);
void token_cache_free(struct token_cache *cache);

/* As token_verify. */
bool token_cache_verify(struct token_cache *cache, struct token *token, const char *text,
                        struct error *error) __attribute__((warn_unused_result));

#endif
