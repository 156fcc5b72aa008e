/* token_cache.c - verified tokens by their text. SPDX-License-Identifier: Apache-2.0 */
#include "vote/token_cache.h"

#include "base/clock.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 1024, WAYS = 8, STRIPES = 64 };

struct known_token {
    char *text; /* NULL: empty. The whole of it is compared: a hash alone would let strangers in */
    struct token token;
};

struct token_set {
    struct known_token ways[WAYS];
    unsigned next; /* the way to forget */
};

struct token_cache {
    const struct token_keys *keys;
    pthread_mutex_t locks[STRIPES];
    struct token_set sets[SETS];
};

struct token_cache *token_cache_new(const struct token_keys *keys)
{
    struct token_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        abort();
    cache->keys = keys;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->locks[i], NULL);
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    for (size_t s = 0; s < SETS; s++) {
        for (size_t w = 0; w < WAYS; w++)
            free(cache->sets[s].ways[w].text);
    }
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->locks[i]);
    free(cache);
}

/* Its `nbf` was past when it was put in; only `exp` can turn against it. */
static bool set_find(const struct token_set *set, const char *text, struct token *token)
{
    for (size_t w = 0; w < WAYS; w++) {
        const struct known_token *known = &set->ways[w];
        if (!known->text || strcmp(known->text, text) != 0)
            continue;
        *token = known->token;
        return !token->expires_at_s || token->expires_at_s > clock_wall_ms() / 1000;
    }
    return false;
}

static void set_put(struct token_set *set, const char *text, const struct token *token)
{
    size_t way = set->next++ % WAYS;
    for (size_t w = 0; w < WAYS; w++) {
        if (set->ways[w].text && !strcmp(set->ways[w].text, text))
            return; /* another thread was faster */
    }
    free(set->ways[way].text);
    set->ways[way] = (struct known_token){strdup(text), *token};
}

bool token_cache_verify(struct token_cache *cache, struct token *token, const char *text,
                        struct error *error)
{
    uint64_t hash = hash_text(text);
    struct token_set *set = &cache->sets[hash % SETS];
    pthread_mutex_t *lock = &cache->locks[hash % STRIPES];
    pthread_mutex_lock(lock);
    bool known = set_find(set, text, token);
    pthread_mutex_unlock(lock);
    if (known)
        return true;
    if (!token_verify(token, cache->keys, text, error))
        return false;
    pthread_mutex_lock(lock);
    set_put(set, text, token);
    pthread_mutex_unlock(lock);
    return true;
}
