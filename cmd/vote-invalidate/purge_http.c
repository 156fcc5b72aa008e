/* purge_http.c - PURGE to HTTP caches: a call for each path, and one with many surrogate keys in a
 * header. A cache answers 200 or 204; 404 says that it has nothing of it, which is as good.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

/* Of a call: caches bound the count, and Varnish a header's size (http_req_hdr_len, 8 KiB). */
enum { SURROGATES_MAX = 256, SURROGATE_BYTES_MAX = 7 * 1024 };

struct endpoint {
    char *url; /* without a slash at its end */
    CURL *curl;
    struct backoff backoff;
    char why[CURL_ERROR_SIZE];
};

static uint32_t bit_of(const struct invalidate *invalidate, const struct endpoint *endpoint)
{
    return UINT32_C(2) << (endpoint - invalidate->endpoints);
}

static size_t ignore_body(char *data, size_t size, size_t count, void *context)
{
    (void)data, (void)context;
    return size * count;
}

static bool call(struct invalidate *invalidate, struct endpoint *endpoint, const char *path,
                 const char *surrogates)
{
    long status = 0;
    struct buf url = {0};
    struct curl_slist *headers = NULL;
    buf_format(&url, "%s%s", endpoint->url, path);
    if (surrogates)
        headers = curl_slist_append(headers, surrogates);
    if (invalidate->config->soft_purge)
        headers = curl_slist_append(headers, "Soft-Purge: 1");
    curl_easy_setopt(endpoint->curl, CURLOPT_URL, url.data);
    curl_easy_setopt(endpoint->curl, CURLOPT_HTTPHEADER, headers);
    endpoint->why[0] = 0;
    CURLcode code = curl_easy_perform(endpoint->curl);
    curl_easy_getinfo(endpoint->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    buf_free(&url);
    bool fine = code == CURLE_OK && ((status >= 200 && status < 300) || status == 404);
    if (!fine)
        LOG_EVENT(invalidate->log, LOG_WARN, "http cache not purged, held",
                  LOG_STR("endpoint", endpoint->url), LOG_INT("status", status),
                  LOG_STR("error", code == CURLE_OK   ? ""
                                   : endpoint->why[0] ? endpoint->why
                                                      : curl_easy_strerror(code)));
    return fine;
}

/* Surrogate keys on their way into one header. */
struct surrogates {
    struct buf header;
    size_t count;
};

static bool surrogates_send(struct invalidate *invalidate, struct endpoint *endpoint,
                            struct surrogates *surrogates)
{
    if (surrogates->count == 0)
        return true;
    bool fine = call(invalidate, endpoint, "/", surrogates->header.data);
    if (fine)
        metric_add(invalidate->metrics.purged[TARGET_SURROGATE], (int64_t)surrogates->count);
    buf_clear(&surrogates->header);
    surrogates->count = 0;
    return fine;
}

static bool surrogates_add(struct invalidate *invalidate, struct endpoint *endpoint,
                           struct surrogates *surrogates, const struct buf *key)
{
    bool fine = true;
    if (surrogates->count == SURROGATES_MAX ||
        surrogates->header.size + key->size > SURROGATE_BYTES_MAX)
        fine = surrogates_send(invalidate, endpoint, surrogates);
    if (surrogates->count++ == 0)
        buf_text(&surrogates->header, "Surrogate-Key:");
    buf_char(&surrogates->header, ' ');
    buf_put(&surrogates->header, key->data, key->size);
    return fine;
}

static bool purge_one(struct invalidate *invalidate, struct endpoint *endpoint,
                      struct surrogates *surrogates, const struct template *template,
                      const struct entry *entry)
{
    struct buf text = {0};
    bool fine = true;
    template_expand(template, entry->id, &text);
    if (template->target == TARGET_SURROGATE) {
        fine = surrogates_add(invalidate, endpoint, surrogates, &text);
    } else {
        fine = call(invalidate, endpoint, text.data, NULL);
        metric_add(invalidate->metrics.purged[TARGET_URL], fine);
    }
    buf_free(&text);
    return fine;
}

static bool purge_endpoint(struct invalidate *invalidate, struct endpoint *endpoint,
                           const struct entries *entries)
{
    const struct templates *templates = &invalidate->templates;
    struct surrogates surrogates = {0};
    const struct entry *entry;
    bool fine = true;
    TAILQ_FOREACH (entry, entries, by_first)
        for (size_t i = 0; fine && i < templates->count; i++)
            if (templates->list[i].target >= TARGET_URL &&
                templates->list[i].subject == entry->subject &&
                !(entry->done & bit_of(invalidate, endpoint)))
                fine = purge_one(invalidate, endpoint, &surrogates, &templates->list[i], entry);
    fine = fine && surrogates_send(invalidate, endpoint, &surrogates);
    buf_free(&surrogates.header);
    return fine;
}

bool purge_http(struct invalidate *invalidate, const struct entries *entries)
{
    struct entry *entry;
    bool all = true;
    int64_t open = 0;
    for (size_t i = 0; i < invalidate->endpoint_count; i++) {
        struct endpoint *endpoint = &invalidate->endpoints[i];
        bool is_tried = backoff_is_over(&endpoint->backoff);
        bool fine = is_tried && purge_endpoint(invalidate, endpoint, entries);
        if (is_tried)
            backoff_tell(&endpoint->backoff, fine);
        if (is_tried && !fine)
            metric_add(invalidate->metrics.http_failures, 1);
        TAILQ_FOREACH (entry, entries, by_first)
            entry->done |= fine ? bit_of(invalidate, endpoint) : 0;
        open += backoff_is_open(&endpoint->backoff);
        all = all && fine;
    }
    metric_set(invalidate->metrics.breakers, open);
    if (invalidate->http_check)
        atomic_store(&invalidate->http_check->ready, all);
    return all;
}

/* --- Start and end --------------------------------------------------------------------------- */

static bool endpoint_open(struct endpoint *endpoint, const char *url, size_t size,
                          const struct invalidate_config *config, struct error *error)
{
    while (size > 0 && url[size - 1] == '/')
        size--;
    endpoint->url = strndup(url, size);
    endpoint->curl = curl_easy_init();
    if (!endpoint->url || !endpoint->curl)
        abort();
    if (strncmp(endpoint->url, "http://", 7) != 0 && strncmp(endpoint->url, "https://", 8) != 0)
        return error_set(error, ERROR_CONFIG, "--purge-url: \"%s\" is no http or https URL",
                         endpoint->url);
    curl_easy_setopt(endpoint->curl, CURLOPT_CUSTOMREQUEST, "PURGE");
    curl_easy_setopt(endpoint->curl, CURLOPT_TIMEOUT_MS, (long)(config->purge_timeout_us / 1000));
    curl_easy_setopt(endpoint->curl, CURLOPT_WRITEFUNCTION, ignore_body);
    curl_easy_setopt(endpoint->curl, CURLOPT_ERRORBUFFER, endpoint->why);
    curl_easy_setopt(endpoint->curl, CURLOPT_NOSIGNAL, 1L);
    return true;
}

bool http_open(struct invalidate *invalidate, struct error *error)
{
    static const char SEPARATORS[] = "\n, ";
    const char *at = invalidate->config->purge_urls;
    if (!at)
        return true;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    invalidate->endpoints = calloc(ENDPOINTS_MAX, sizeof *invalidate->endpoints);
    if (!invalidate->endpoints)
        abort();
    for (at += strspn(at, SEPARATORS); *at; at += strspn(at, SEPARATORS)) {
        size_t size = strcspn(at, SEPARATORS);
        if (invalidate->endpoint_count == ENDPOINTS_MAX)
            return error_set(error, ERROR_CONFIG, "--purge-url: more than %d", ENDPOINTS_MAX);
        if (!endpoint_open(&invalidate->endpoints[invalidate->endpoint_count++], at, size,
                           invalidate->config, error))
            return false;
        at += size;
    }
    return true;
}

void http_close(struct invalidate *invalidate)
{
    for (size_t i = 0; i < invalidate->endpoint_count; i++) {
        curl_easy_cleanup(invalidate->endpoints[i].curl);
        free(invalidate->endpoints[i].url);
    }
    free(invalidate->endpoints);
}
