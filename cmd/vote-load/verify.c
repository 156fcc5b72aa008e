/* verify.c - waits for the commits and compares every project's counts with the plan's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-load/load.h"

#include "base/buf.h"
#include "base/clock.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_US = 50 * 1000 };

struct counts {
    int64_t up, down;
};

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    buf_put(context, data, size * count);
    return size * count;
}

/* GETs a path with a user's token; returns the answer's `data` (a new reference) or NULL. */
static json_t *api_get(CURL *curl, const struct load_config *config, const char *token, const char *path)
{
    struct buf answer = {0}, text = {0};
    long status = 0;
    buf_format(&text, "Authorization: Bearer %s", token);
    struct curl_slist *headers = curl_slist_append(NULL, text.data);
    buf_clear(&text);
    buf_format(&text, "%s%s", config->url, path);
    curl_easy_setopt(curl, CURLOPT_URL, text.data);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    bool got = curl_easy_perform(curl) == CURLE_OK;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    json_t *whole = got && status == 200 ? json_loadb(answer.data, answer.size, 0, NULL) : NULL;
    json_t *data = json_incref(json_object_get(whole, "data"));
    json_decref(whole);
    curl_slist_free_all(headers);
    buf_free(&answer);
    buf_free(&text);
    return data;
}

/* What the plan's votes that were accepted add up to: the last of each chain counts. */
static struct counts *plan_count(const struct plan *plan)
{
    struct counts *expected = calloc(plan->projects.count + 1, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_vote *vote = &plan->votes[i];
        bool last = vote->after == NO_VOTE || plan->votes[vote->after].state != ACCEPTED;
        if (vote->state != ACCEPTED || !last)
            continue;
        expected[vote->project].up += vote->value == 1;
        expected[vote->project].down += vote->value == -1;
    }
    return expected;
}

/* Waits until the project's last accepted request is no longer pending. */
static bool wait_for_commit(CURL *curl, const struct load_config *config, const char *token,
                            const char *request_id, int64_t deadline_us)
{
    char path[96];
    snprintf(path, sizeof path, "/api/votes/status/%s", request_id);
    for (;;) {
        json_t *data = api_get(curl, config, token, path);
        const char *state = json_string_value(json_object_get(data, "state"));
        bool done = state && strcmp(state, "pending") != 0;
        json_decref(data);
        if (done || clock_mono_us() > deadline_us)
            return done;
        clock_sleep_us(POLL_US);
    }
}

/* Reads a project's counts until they are the expected ones or the time is over. */
static struct counts read_counts(CURL *curl, const struct load_config *config, const char *token,
                                 const char *project_id, struct counts expected, int64_t deadline_us)
{
    char path[32 + VOTE_ID_SIZE];
    snprintf(path, sizeof path, "/api/projects/%s", project_id);
    for (;;) {
        json_t *data = api_get(curl, config, token, path);
        struct counts counts = {json_integer_value(json_object_get(data, "upvotes")),
                                json_integer_value(json_object_get(data, "downvotes"))};
        bool equal = data && counts.up == expected.up && counts.down == expected.down;
        json_decref(data);
        if (equal || clock_mono_us() > deadline_us)
            return counts;
        clock_sleep_us(POLL_US);
    }
}

bool verify_run(const struct load_config *config, const struct plan *plan, struct tokens *tokens,
                const struct outcome *outcome, struct error *error)
{
    CURL *curl = curl_easy_init();
    struct counts *expected = plan_count(plan);
    int64_t deadline_us = clock_mono_us() + config->verify_timeout_us;
    size_t differing = 0, checked = 0;
    for (uint32_t p = 0; p < plan->projects.count; p++) {
        if (!outcome->last_request[p][0])
            continue;
        const char *id = plan->projects.text[p];
        const char *token = tokens_get(tokens, config, plan, outcome->last_user[p]);
        bool committed = wait_for_commit(curl, config, token, outcome->last_request[p], deadline_us);
        struct counts got = read_counts(curl, config, token, id, expected[p], deadline_us);
        checked++;
        if (committed && got.up == expected[p].up && got.down == expected[p].down)
            continue;
        differing++;
        printf("differs: %s expected %lld/%lld got %lld/%lld%s\n", id, (long long)expected[p].up,
               (long long)expected[p].down, (long long)got.up, (long long)got.down,
               committed ? "" : " (not committed in time)");
    }
    printf("verified %zu projects, %zu differ\n", checked, differing);
    free(expected);
    curl_easy_cleanup(curl);
    return differing == 0 || error_set(error, ERROR_FOUND, "%zu projects differ", differing);
}
