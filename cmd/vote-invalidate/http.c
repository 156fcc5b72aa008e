/* http.c - PURGE calls to HTTP caches by libcurl, many at a time. A call is for one URL, or for up
 * to SURROGATES_MAX surrogate keys in one header. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 8, POLL_MS = 1000 };

struct call {
    STAILQ_ENTRY(call) next;
    CURL *curl;
    struct curl_slist *headers;
    int target;
    struct entry_list entries;
    CURLcode code;
    char why[CURL_ERROR_SIZE];
};

struct http {
    const struct invalidate_config *config;
    CURLM *multi;
    STAILQ_HEAD(, call) calls;
};

struct http *http_new(const struct invalidate_config *config)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) || !(http->multi = curl_multi_init()))
        abort();
    http->config = config;
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_MAX);
    STAILQ_INIT(&http->calls);
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    curl_multi_cleanup(http->multi);
    curl_global_cleanup();
    free(http);
}

static size_t body_drop(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes, (void)context;
    return size * count;
}

static void call_header(struct call *call, const char *line)
{
    call->headers = curl_slist_append(call->headers, line);
    if (!call->headers)
        abort();
}

static struct call *call_new(struct http *http, int target)
{
    const struct invalidate_config *config = http->config;
    struct buf line = {0};
    struct call *call = calloc(1, sizeof *call);
    if (!call || !(call->curl = curl_easy_init()))
        abort();
    call->target = target;
    TAILQ_INIT(&call->entries);
    if (config->http_host) {
        buf_format(&line, "Host: %s", config->http_host);
        call_header(call, line.data);
    }
    if (config->http_soft)
        call_header(call, "Soft-Purge: 1");
    buf_free(&line);
    STAILQ_INSERT_TAIL(&http->calls, call, next);
    return call;
}

static void call_prepare(struct http *http, struct call *call, const char *url)
{
    CURL *curl = call->curl;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PURGE");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a cache is purged itself, not what is before it */
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(http->config->http_timeout_us / 1000));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_drop);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->why);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, call);
    if (curl_multi_add_handle(http->multi, curl))
        abort();
}

static void add_url(struct http *http, int target, const char *url, struct entry *entry)
{
    struct call *call = call_new(http, target);
    struct buf whole = {0};
    buf_format(&whole, "%s%s", url, entry->text);
    TAILQ_INSERT_TAIL(&call->entries, entry, order);
    call_prepare(http, call, whole.data);
    buf_free(&whole);
}

/* Takes as many of the entries as one header may have: servers have limits of 8 KiB a header. */
static void add_surrogates(struct http *http, int target, const char *url,
                           struct entry_list *entries)
{
    struct call *call = call_new(http, target);
    struct buf line = {0}, whole = {0};
    struct entry *entry;
    buf_text(&line, "Surrogate-Key:");
    for (int i = 0; i < SURROGATES_MAX && (entry = TAILQ_FIRST(entries)); i++) {
        if (i && line.size + 1 + strlen(entry->text) > SURROGATES_BYTES_MAX)
            break;
        buf_format(&line, " %s", entry->text);
        TAILQ_REMOVE(entries, entry, order);
        TAILQ_INSERT_TAIL(&call->entries, entry, order);
    }
    call_header(call, line.data);
    buf_format(&whole, "%s/", url);
    call_prepare(http, call, whole.data);
    buf_free(&line);
    buf_free(&whole);
}

void http_add(struct http *http, int target, const char *url, struct entry_list *entries)
{
    struct entry_list surrogates = TAILQ_HEAD_INITIALIZER(surrogates);
    struct entry *entry;
    while ((entry = TAILQ_FIRST(entries))) {
        TAILQ_REMOVE(entries, entry, order);
        if (entry->kind == KIND_URL)
            add_url(http, target, url, entry);
        else
            TAILQ_INSERT_TAIL(&surrogates, entry, order);
    }
    while (!TAILQ_EMPTY(&surrogates))
        add_surrogates(http, target, url, &surrogates);
}

/* 404 says that the cache does not have it, which is what was asked for. */
static bool call_judge(const struct call *call, struct error *error)
{
    long status = 0;
    curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
    if (call->code)
        return error_set(error, ERROR_UNAVAILABLE, "%s",
                         *call->why ? call->why : curl_easy_strerror(call->code));
    return (status >= 200 && status < 300) || status == 404 ||
           error_set(error, ERROR_UNAVAILABLE, "PURGE was answered with %ld", status);
}

static void calls_wait(struct http *http)
{
    int running = 0;
    do {
        if (curl_multi_perform(http->multi, &running) ||
            (running && curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL)))
            abort(); /* no memory, or a handle that is none: our bug */
    } while (running);
}

static void calls_read(struct http *http)
{
    const CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (message->msg == CURLMSG_DONE)
            call->code = message->data.result;
    }
}

void http_run(struct http *http, void *context,
              void (*on_done)(void *context, int target, struct entry_list *entries,
                              const struct error *error))
{
    struct call *call;
    calls_wait(http);
    calls_read(http);
    while ((call = STAILQ_FIRST(&http->calls))) {
        struct error error;
        bool fine = call_judge(call, &error);
        STAILQ_REMOVE_HEAD(&http->calls, next);
        curl_multi_remove_handle(http->multi, call->curl);
        on_done(context, call->target, &call->entries, fine ? NULL : &error);
        curl_easy_cleanup(call->curl);
        curl_slist_free_all(call->headers);
        free(call);
    }
}
