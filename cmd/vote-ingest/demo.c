/* demo.c - the demo page, where it finds the other parts, and tokens for whoever it says it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_TTL_S = 3600, USER_DEPTH_MAX = 4 };

#define PAGE_HEADERS "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"

/* --- Settings -------------------------------------------------------------------------------- */

/* It becomes a part of a header: RFC 3986's characters only, and none that a policy reads. */
static bool url_is_fine(const char *url)
{
    static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~:/[]@%";
    const char *host = !strncmp(url, "http://", 7)    ? url + 7
                       : !strncmp(url, "https://", 8) ? url + 8
                                                      : "";
    return *host && url[strspn(url, taken)] == 0;
}

bool demo_open(struct ingest *ingest, struct error *error)
{
    const struct ingest_config *config = ingest->config;
    if (config->notify_url && !url_is_fine(config->notify_url))
        return error_set(error, ERROR_CONFIG, "--notify-url: \"%s\" is no http or https URL",
                         config->notify_url);
    if (config->dev_tokens && config->tokens.keys.algorithm != TOKEN_HS256)
        return error_set(error, ERROR_CONFIG,
                         "--dev-tokens needs the secret of HS256: a public key signs nothing");
    if (config->dev_tokens)
        LOG_EVENT(ingest->log, LOG_WARN, "--dev-tokens: anybody gets a token for any user");
    if (!config->web_root)
        return true;
    return files_load(&ingest->page, config->web_root, error) || error_wrap(error, "--web-root");
}

/* --- The page -------------------------------------------------------------------------------- */

static void no_page(struct http_request *request)
{
    problem_reply(request, 404, "not-found", "the page is not installed here: see --web-root", NULL,
                  NULL);
}

/* Content Security Policy Level 3: the page talks to this server and to vote-notify alone. */
static void put_policy(const struct ingest_config *config, struct buf *headers)
{
    const char *notify = config->notify_url;
    buf_text(headers, "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                      "style-src 'self'; img-src 'self' data:; font-src 'self'; "
                      "connect-src 'self'");
    if (notify)
        buf_format(headers, " %s ws%s", notify, notify + 4);
    buf_text(headers, "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
}

void demo_get_page(struct http_request *request)
{
    const struct ingest *ingest = request->context;
    struct buf headers = {0};
    buf_text(&headers, PAGE_HEADERS "Cache-Control: no-cache\r\n");
    put_policy(ingest->config, &headers);
    if (!ingest->page || !files_reply(ingest->page, request, "/index.html", headers.data))
        no_page(request);
    buf_free(&headers);
}

/* Their names change with their content. */
void demo_get_asset(struct http_request *request)
{
    const struct ingest *ingest = request->context;
    if (!ingest->page ||
        !files_reply(ingest->page, request, request->path,
                     PAGE_HEADERS "Cache-Control: public, max-age=31536000, immutable\r\n"))
        problem_refuse(request, 404, NULL);
}

void demo_get_config(struct http_request *request)
{
    const struct ingest *ingest = request->context;
    struct buf body = {0};
    if (!ingest->page) {
        no_page(request);
        return;
    }
    buf_char(&body, '{');
    buf_member_text(&body, "notify_url", ingest->config->notify_url);
    buf_member(&body, "dev_tokens");
    buf_text(&body, ingest->config->dev_tokens ? "true}" : "false}");
    http_reply(request, 200, "application/json", "Cache-Control: no-store\r\n", body.data,
               body.size);
    buf_free(&body);
}

/* --- Tokens ---------------------------------------------------------------------------------- */

static bool user_parse(const char *json, size_t size, char user_id[VOTE_ID_SIZE])
{
    if (!json_depth_is_within(json, size, USER_DEPTH_MAX))
        return false;
    json_t *object = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *user = json_object_get(object, "user");
    const char *text = json_string_value(user);
    bool is_fine = text && id_is_valid(text, json_string_length(user));
    if (is_fine)
        memcpy(user_id, text, strlen(text) + 1);
    json_decref(object);
    return is_fine;
}

static void token_reply(struct http_request *request, const char *user_id)
{
    const struct ingest *ingest = request->context;
    struct buf body = {0};
    struct error error;
    char expires_at[CLOCK_TEXT_SIZE];
    char *token = token_mint(ingest->config->tokens.keys.key, user_id, NULL, TOKEN_TTL_S, &error);
    if (!token) {
        problem_unavailable(request, &error);
        return;
    }
    clock_format_ms(clock_wall_ms() + TOKEN_TTL_S * INT64_C(1000), expires_at);
    buf_char(&body, '{');
    buf_member_text(&body, "token", token);
    buf_member_text(&body, "expires_at", expires_at);
    buf_char(&body, '}');
    http_reply(request, 200, "application/json", "Cache-Control: no-store\r\n", body.data,
               body.size);
    buf_free(&body);
    free(token);
}

void demo_post_token(struct http_request *request)
{
    const struct ingest *ingest = request->context;
    const char *json;
    size_t size;
    struct buf problems = {0};
    char user_id[VOTE_ID_SIZE];
    if (!ingest->config->dev_tokens) {
        problem_reply(request, 404, "not-found", "there are no tokens here: see --dev-tokens", NULL,
                      NULL);
        return;
    }
    if (!body_receive(request, &json, &size))
        return;
    if (user_parse(json, size, user_id)) {
        token_reply(request, user_id);
    } else {
        problem_add(&problems, "user", "is not 1 to 64 characters out of A-Z a-z 0-9 . _ : -");
        problem_reply(request, 400, "malformed", "the body is malformed: see errors", problems.data,
                      NULL);
    }
    buf_free(&problems);
}
