/* token.c - JSON Web Tokens by libjwt 1.x. SPDX-License-Identifier: Apache-2.0 */
#include "vote/token.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_S 1e15 /* of a time with a fraction: every second below fits a double */

enum { TOKEN_BYTES_MAX = 4096, TOKEN_DEPTH_MAX = 8 };

const char *const token_algorithm_names[] = {"HS256", "RS256", "ES256", NULL};

static bool token_fill(jwt_t *jwt, const char *secret, const char *user_id, const char *scope,
                       int64_t ttl_s)
{
    int64_t now_s = clock_wall_ms() / 1000;
    return jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret, (int)strlen(secret)) ==
               0 &&
           jwt_add_grant(jwt, "sub", user_id) == 0 &&
           (!scope || jwt_add_grant(jwt, "scope", scope) == 0) &&
           jwt_add_grant_int(jwt, "iat", now_s) == 0 &&
           jwt_add_grant_int(jwt, "exp", now_s + ttl_s) == 0;
}

char *token_mint(const char *secret, const char *user_id, const char *scope, int64_t ttl_s,
                 struct error *error)
{
    jwt_t *jwt = NULL;
    char *text = NULL;
    if (jwt_new(&jwt) == 0 && token_fill(jwt, secret, user_id, scope, ttl_s))
        text = jwt_encode_str(jwt);
    if (!text)
        error_set(error, ERROR_SOFTWARE, "unable to sign a token: %s", strerror(errno));
    jwt_free(jwt);
    return text;
}

/* True when the space-separated list holds the word (RFC 8693 section 4.2). */
static bool scope_holds(const char *scope, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = scope; at && *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        if (length == size && !strncmp(at, word, size))
            return true;
        at += length;
    }
    return false;
}

/* A NumericDate claim (RFC 7519 section 2), which may have a fraction; false when it is there and
 * no number. */
static bool token_read_time(jwt_t *jwt, const char *claim, bool *given, int64_t *value)
{
    char *text = jwt_get_grants_json(jwt, claim);
    json_t *number = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    double seconds = json_real_value(number);
    *given = text != NULL;
    bool valid = !*given || json_is_integer(number) ||
                 (json_is_real(number) && seconds > -TIME_MAX_S && seconds < TIME_MAX_S);
    *value = json_is_real(number) && valid ? (int64_t)seconds : json_integer_value(number);
    json_decref(number);
    free(text);
    return valid;
}

static bool token_check_times(struct token *token, jwt_t *jwt, struct error *error)
{
    int64_t now_s = clock_wall_ms() / 1000, starts_at_s;
    bool has_exp, has_nbf;
    if (!token_read_time(jwt, "exp", &has_exp, &token->expires_at_s) ||
        !token_read_time(jwt, "nbf", &has_nbf, &starts_at_s))
        return error_set(error, ERROR_DATA, "the token's exp or nbf is no time");
    if (has_exp && token->expires_at_s <= now_s)
        return error_set(error, ERROR_DATA, "the token has expired");
    if (has_nbf && starts_at_s > now_s)
        return error_set(error, ERROR_DATA, "the token is not valid yet");
    if (!has_exp)
        token->expires_at_s = 0;
    return true;
}

/* `aud` is one text or an array of them. */
static bool audience_holds(jwt_t *jwt, const char *audience)
{
    char *text = jwt_get_grants_json(jwt, "aud");
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    bool holds = json_is_string(value) && !strcmp(json_string_value(value), audience);
    for (size_t i = 0; i < json_array_size(value) && !holds; i++) {
        const char *one = json_string_value(json_array_get(value, i));
        holds = one && !strcmp(one, audience);
    }
    json_decref(value);
    free(text);
    return holds;
}

static bool token_check_parties(const struct token_keys *keys, jwt_t *jwt, struct error *error)
{
    const char *issuer = keys->issuer ? jwt_get_grant(jwt, "iss") : NULL;
    if (keys->issuer && (!issuer || strcmp(issuer, keys->issuer) != 0))
        return error_set(error, ERROR_DATA, "the token's iss is not the configured one");
    if (keys->audience && !audience_holds(jwt, keys->audience))
        return error_set(error, ERROR_DATA, "the token's aud is not the configured one");
    return true;
}

static bool token_read(struct token *token, const struct token_keys *keys, jwt_t *jwt,
                       struct error *error)
{
    static const jwt_alg_t algorithms[] = {JWT_ALG_HS256, JWT_ALG_RS256, JWT_ALG_ES256};
    if (jwt_get_alg(jwt) != algorithms[keys->algorithm])
        return error_set(error, ERROR_DATA, "the token's algorithm is not the configured one");
    if (!token_check_times(token, jwt, error) || !token_check_parties(keys, jwt, error))
        return false;
    const char *user_id = jwt_get_grant(jwt, "sub");
    if (!user_id || !id_is_valid(user_id, strlen(user_id)))
        return error_set(error, ERROR_DATA, "the token's sub is not a user id");
    memcpy(token->user_id, user_id, strlen(user_id) + 1);
    token->admin = scope_holds(jwt_get_grant(jwt, "scope"), "vote:admin");
    return true;
}

/* The value of a base64url digit (RFC 4648 section 5; `+` and `/` as libjwt takes them), or -1. */
static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *found = c ? strchr(digits, c) : NULL;
    if (found)
        return (int)(found - digits);
    return c == '-' || c == '+' ? 62 : c == '_' || c == '/' ? 63 : -1;
}

/* libjwt parses header and claims before it checks the signature: what a stranger sends must not
 * nest deeper than the stack. */
static bool token_is_shallow(const char *text)
{
    char part[TOKEN_BYTES_MAX];
    while (*text) {
        size_t size = 0;
        unsigned bits = 0, held = 0;
        for (; *text && *text != '.'; text++) {
            int digit = base64_digit(*text);
            if (digit < 0)
                continue;
            bits = (bits << 6 | (unsigned)digit) & 0xFFFF;
            held += 6;
            if (held >= 8)
                part[size++] = (char)(bits >> (held -= 8));
        }
        if (!json_depth_is_within(part, size, TOKEN_DEPTH_MAX))
            return false;
        text += *text == '.';
        if (!strchr(text, '.'))
            return true; /* what is left is the signature */
    }
    return true;
}

bool token_verify(struct token *token, const struct token_keys *keys, const char *text,
                  struct error *error)
{
    jwt_t *jwt = NULL;
    if (strlen(text) > TOKEN_BYTES_MAX)
        return error_set(error, ERROR_DATA, "the token is over 4096 bytes");
    if (!token_is_shallow(text))
        return error_set(error, ERROR_DATA, "the token is nested too deep");
    if (jwt_decode(&jwt, text, (const unsigned char *)keys->key, (int)strlen(keys->key)) != 0)
        return error_set(error, ERROR_DATA, "the token is malformed or its signature is wrong");
    bool valid = token_read(token, keys, jwt, error);
    jwt_free(jwt);
    return valid;
}
