/* check_http.c - what an HTTP cache has of a project. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/check.h"

#include "base/secret.h"

#include <curl/curl.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 5000, BODY_MAX = 64 * 1024 };

struct check_http {
    const char *url;
    CURL *curl;
    struct curl_slist *headers;
    CURLcode failure; /* the last */
};

static size_t body_keep(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *body = context;
    if (body->size + size * count > BODY_MAX)
        return 0;
    buf_put(body, bytes, size * count);
    return size * count;
}

struct check_http *check_http_new(const char *url)
{
    struct check_http *http = calloc(1, sizeof *http);
    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) || !(http->curl = curl_easy_init()) ||
        !(http->headers = curl_slist_append(NULL, "Cache-Control: only-if-cached")))
        abort();
    http->url = url;
    curl_easy_setopt(http->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, body_keep);
    return http;
}

void check_http_free(struct check_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->headers);
    curl_global_cleanup();
    free(http);
}

bool check_http_fetch(void *context, const char *project_id, struct buf *json)
{
    struct check_http *http = context;
    struct buf url = {0};
    long status = 0;
    buf_format(&url, "%s/api/projects/%s", http->url, project_id);
    curl_easy_setopt(http->curl, CURLOPT_URL, url.data);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, json);
    http->failure = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    buf_free(&url);
    return !http->failure && status == 200;
}

bool check_http_failed(const struct check_http *http, struct error *error)
{
    char shown[SECRET_SHOWN_SIZE];
    if (http->failure)
        error_set(error, ERROR_UNAVAILABLE, "unable to ask %s: %s", secret_show(http->url, shown),
                  curl_easy_strerror(http->failure));
    return http->failure != CURLE_OK;
}
