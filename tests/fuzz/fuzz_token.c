/* fuzz_token.c - a token is accepted only with our signature, and only when its claims say so.
 *
 * The input is tried three times: as a token; as claims that are signed here, so that the code
 * behind the signature is reached (a first line, when there is one, is the token's header); as a
 * user id to mint a token for. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "vote/token.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET "a secret that only the fuzzer knows"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static const struct token_keys keys = {.algorithm = TOKEN_HS256, .key = SECRET};
static const struct token_keys strict_keys = {
    .algorithm = TOKEN_HS256, .key = SECRET, .issuer = "i", .audience = "a"};
/* What a server of RS256 holds is public: whoever signs HS256 with it must not get in. */
static const struct token_keys public_keys = {.algorithm = TOKEN_RS256, .key = SECRET};

enum { TOKEN_BYTES_MAX = 4096, TOKEN_DEPTH_MAX = 8 };

/* Base64url without padding (RFC 7515 section 2). */
static void put_base64url(struct buf *out, const void *bytes, size_t size)
{
    size_t from = out->size;
    buf_reserve(out, (size + 2) / 3 * 4);
    EVP_EncodeBlock((unsigned char *)out->data + from, bytes, (int)size);
    out->size += (size * 4 + 2) / 3;
    out->data[out->size] = '\0';
    for (char *at = out->data + from; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
}

/* Puts the signature of the first `size` bytes, which are header and claims. */
static void put_signature(struct buf *out, const char *text, size_t size)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_size = 0;
    assert(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const unsigned char *)text, size, mac,
                &mac_size));
    put_base64url(out, mac, mac_size);
}

/* A token that is accepted as it came must end with our signature. */
static void check_raw(const char *text)
{
    struct token token = {0};
    struct buf signature = {0};
    struct error error = {0};
    if (!token_verify(&token, &keys, text, &error)) {
        assert(error.code == ERROR_DATA && error.text[0]);
        return;
    }
    const char *dot = strrchr(text, '.');
    assert(dot && strlen(text) <= TOKEN_BYTES_MAX);
    put_signature(&signature, text, (size_t)(dot - text));
    assert(!strcmp(dot + 1, signature.data));
    assert(id_is_valid(token.user_id, strlen(token.user_id)));
    buf_free(&signature);
}

/* The list with a space at both ends holds the word with a space at both ends. */
static bool list_holds_admin(const char *list)
{
    struct buf text = {0};
    buf_format(&text, " %s ", list ? list : "");
    bool holds = strstr(text.data, " vote:admin ") != NULL;
    buf_free(&text);
    return holds;
}

/* A NumericDate in whole seconds; 0 for what is none. */
static int64_t time_of(const json_t *claim)
{
    return json_is_real(claim) ? (int64_t)json_real_value(claim) : json_integer_value(claim);
}

static void check_claims(const struct token *token, const json_t *claims, int64_t before_s)
{
    const json_t *exp = json_object_get(claims, "exp");
    const json_t *nbf = json_object_get(claims, "nbf");
    const char *user_id = json_string_value(json_object_get(claims, "sub"));
    assert(user_id && !strcmp(token->user_id, user_id) && id_is_valid(user_id, strlen(user_id)));
    assert(!exp || (json_is_number(exp) && time_of(exp) > before_s));
    assert(token->expires_at_s == (exp ? time_of(exp) : 0));
    assert(!nbf || json_is_number(nbf));
    assert(time_of(nbf) <= clock_wall_ms() / 1000);
    assert(token->admin == list_holds_admin(json_string_value(json_object_get(claims, "scope"))));
}

/* True when nothing is left that could be held against the claims. */
static bool claims_are_good(const json_t *claims, int64_t before_s)
{
    const json_t *sub = json_object_get(claims, "sub");
    const json_t *exp = json_object_get(claims, "exp");
    const char *user_id = json_string_value(sub);
    return user_id && id_is_valid(user_id, json_string_length(sub)) &&
           !json_object_get(claims, "nbf") &&
           (!exp || (json_is_integer(exp) && json_integer_value(exp) > before_s + 60));
}

static bool audience_holds(const json_t *aud, const char *audience)
{
    size_t index;
    json_t *one;
    if (json_is_string(aud))
        return !strcmp(json_string_value(aud), audience);
    json_array_foreach(aud, index, one)
    {
        if (json_is_string(one) && !strcmp(json_string_value(one), audience))
            return true;
    }
    return false;
}

/* The same good token where issuer and audience matter, and where HS256 is not taken. */
static void check_elsewhere(const char *text, const json_t *claims)
{
    struct token token;
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    bool meant = issuer && !strcmp(issuer, strict_keys.issuer) &&
                 audience_holds(json_object_get(claims, "aud"), strict_keys.audience);
    assert(token_verify(&token, &strict_keys, text, NULL) == meant);
    assert(!token_verify(&token, &public_keys, text, NULL));
}

static void check_accepted(const struct token *token, const char *header, const char *claims,
                           const json_t *object, int64_t before_s)
{
    json_t *head = json_loads(header, 0, NULL);
    const char *alg = json_string_value(json_object_get(head, "alg"));
    assert(alg && !strcasecmp(alg, "HS256"));
    assert(json_depth_is_within(header, strlen(header), TOKEN_DEPTH_MAX));
    assert(json_depth_is_within(claims, strlen(claims), TOKEN_DEPTH_MAX));
    assert(json_is_object(object));
    check_claims(token, object, before_s);
    json_decref(head);
}

static void check_signed(const char *header, const char *claims)
{
    struct token token = {0};
    struct buf text = {0};
    struct error error = {0};
    put_base64url(&text, header, strlen(header));
    buf_char(&text, '.');
    put_base64url(&text, claims, strlen(claims));
    size_t size = text.size;
    buf_char(&text, '.');
    put_signature(&text, text.data, size);
    int64_t before_s = clock_wall_ms() / 1000;
    bool shallow = json_depth_is_within(claims, strlen(claims), TOKEN_DEPTH_MAX);
    json_t *object = shallow ? json_loads(claims, 0, NULL) : NULL;
    if (token_verify(&token, &keys, text.data, &error)) {
        check_accepted(&token, header, claims, object, before_s);
        check_elsewhere(text.data, object);
    } else {
        assert(strcmp(header, HEADER) != 0 || text.size > TOKEN_BYTES_MAX ||
               !claims_are_good(object, before_s));
    }
    json_decref(object);
    buf_free(&text);
}

static void check_lines(char *text)
{
    char *end = strchr(text, '\n');
    if (!end) {
        check_signed(HEADER, text);
        return;
    }
    *end = '\0';
    check_signed(text, end + 1);
}

static void check_minted(const char *user_id)
{
    struct token token;
    struct error error;
    if (!id_is_valid(user_id, strlen(user_id)))
        return;
    char *text = token_mint(SECRET, user_id, "vote:admin", 3600, &error);
    assert(text && token_verify(&token, &keys, text, &error));
    assert(!strcmp(token.user_id, user_id) && token.admin);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    check_raw(text);
    check_minted(text);
    check_lines(text);
    free(text);
    return 0;
}
