/* collector.c - OTLP/HTTP as JSON, by libcurl. SPDX-License-Identifier: Apache-2.0 */
#include "trace/collector.h"

#include "base/clock.h"
#include "base/tool.h"
#include "trace/tracer.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_AFTER_MAX_S = 3600, SECOND_US = 1000 * 1000, ANSWER_MAX_BYTES = 64 * 1024 };

struct collector {
    char *url;
    CURL *curl;
    struct curl_slist *headers;
    const _Atomic int64_t *stop_us;
    struct buf answer;
    char why[CURL_ERROR_SIZE];
};

/* Nothing but scheme, host and path: it is shown, and `/v1/traces` goes behind it. */
static bool endpoint_is_url(const char *endpoint)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *other = NULL;
    bool fits = url && !strpbrk(endpoint, " \"\\") &&
                !curl_url_set(url, CURLUPART_URL, endpoint, 0) &&
                !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(url, CURLUPART_HOST, &host, 0) && *host &&
                (!strcmp(scheme, "http") || !strcmp(scheme, "https")) &&
                curl_url_get(url, CURLUPART_QUERY, &other, 0) &&
                curl_url_get(url, CURLUPART_FRAGMENT, &other, 0) &&
                curl_url_get(url, CURLUPART_USER, &other, 0);
    curl_free(scheme);
    curl_free(host);
    curl_free(other);
    curl_url_cleanup(url);
    return fits;
}

static char *url_make(const char *endpoint)
{
    struct buf url = {0};
    buf_text(&url, endpoint);
    while (url.data[url.size - 1] == '/')
        url.size--;
    buf_text(&url, "/v1/traces");
    return url.data;
}

static size_t answer_keep(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *answer = context;
    if (answer->size + size * count <= ANSWER_MAX_BYTES)
        buf_put(answer, bytes, size * count);
    return size * count;
}

/* curl asks at least once a second. */
static int call_is_over(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                        curl_off_t up)
{
    (void)down_total, (void)down, (void)up_total, (void)up;
    const struct collector *collector = context;
    int64_t stop_us = atomic_load(collector->stop_us);
    return stop_us && clock_mono_us() >= stop_us;
}

static void header_add(struct collector *collector, const char *line)
{
    collector->headers = curl_slist_append(collector->headers, line);
    if (!collector->headers)
        abort();
}

static void call_prepare(struct collector *collector)
{
    CURL *curl = collector->curl = curl_easy_init();
    if (!curl)
        abort();
    header_add(collector, "Content-Type: application/json");
    header_add(collector, "User-Agent: votepipe/" VOTEPIPE_VERSION);
    header_add(collector, "Expect:"); /* a collector need not be asked first */
    curl_easy_setopt(curl, CURLOPT_URL, collector->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, collector->headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &collector->answer);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, call_is_over);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, collector);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, collector->why);
}

bool collector_open(struct collector **collector, const char *endpoint,
                    const _Atomic int64_t *stop_us, struct error *error)
{
    *collector = NULL;
    if (!endpoint_is_url(endpoint))
        return error_set(error, ERROR_CONFIG,
                         "--otlp-endpoint is http://HOST[:PORT][/PATH] or https://..., without "
                         "user, query or blanks");
    struct collector *opened = calloc(1, sizeof *opened);
    if (!opened || curl_global_init(CURL_GLOBAL_DEFAULT))
        abort();
    opened->stop_us = stop_us;
    opened->url = url_make(endpoint);
    call_prepare(opened);
    *collector = opened;
    return true;
}

void collector_close(struct collector *collector)
{
    curl_easy_cleanup(collector->curl);
    curl_slist_free_all(collector->headers);
    curl_global_cleanup();
    buf_free(&collector->answer);
    free(collector->url);
    free(collector);
}

static enum answer answer_of(const struct collector *collector, CURLcode code, struct error *error)
{
    long status = 0;
    if (code) {
        error_set(error, ERROR_UNAVAILABLE, "%s: %s", collector->url,
                  *collector->why ? collector->why : curl_easy_strerror(code));
        return ANSWER_LATER;
    }
    curl_easy_getinfo(collector->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return ANSWER_TAKEN;
    error_set(error, ERROR_UNAVAILABLE, "%s answered %ld", collector->url, status);
    return status == 429 || (status >= 502 && status <= 504) ? ANSWER_LATER : ANSWER_REFUSED;
}

enum answer collector_post(struct collector *collector, const struct buf *json, int64_t timeout_us,
                           struct error *error)
{
    CURL *curl = collector->curl;
    collector->why[0] = '\0';
    buf_clear(&collector->answer);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json->data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)json->size);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_us / 1000));
    return answer_of(collector, curl_easy_perform(curl), error);
}

int64_t collector_rejected(const struct collector *collector)
{
    return otlp_rejected(collector->answer.data ? collector->answer.data : "",
                         collector->answer.size);
}

int64_t collector_retry_after_us(const struct collector *collector)
{
    curl_off_t asked_s = 0;
    curl_easy_getinfo(collector->curl, CURLINFO_RETRY_AFTER, &asked_s);
    return (asked_s < RETRY_AFTER_MAX_S ? asked_s : RETRY_AFTER_MAX_S) * SECOND_US;
}
