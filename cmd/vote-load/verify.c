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

enum { POLL_US = 50 * 1000, VERIFY_ANSWER_MAX = 1024 * 1024 };

struct counts {
    int64_t up, down;
};

/* What the waiting goes by. */
struct verify {
    CURL *curl;
    const struct load_config *config;
    struct stop *stop;
    int stops; /* asked for before: during the sending */
    int64_t deadline_us;
};

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct buf *answer = context;
    if (answer->size + size * count > VERIFY_ANSWER_MAX)
        return 0; /* ends the call: it is no answer of vote-ingest */
    buf_put(answer, data, size * count);
    return size * count;
}

/* GETs a path with a user's token; returns the answer's `data` (a new reference) or NULL. */
static json_t *api_get(const struct verify *verify, const char *token, const char *path)
{
    CURL *curl = verify->curl;
    struct buf answer = {0}, text = {0};
    long status = 0;
    buf_format(&text, "Authorization: Bearer %s", token);
    struct curl_slist *headers = curl_slist_append(NULL, text.data);
    buf_clear(&text);
    buf_format(&text, "%s%s", verify->config->url, path);
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

/* Whether a later vote of the same chain was accepted: then that one counts. */
static bool is_overtaken(const struct plan *plan, const struct planned_vote *vote)
{
    uint32_t at = vote->after;
    while (at != NO_VOTE && plan->votes[at].state != ACCEPTED)
        at = plan->votes[at].after;
    return at != NO_VOTE;
}

/* What the plan's votes that were accepted add up to: the last of each chain counts. */
static struct counts *plan_count(const struct plan *plan)
{
    struct counts *expected = calloc(plan->projects.count + 1, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_vote *vote = &plan->votes[i];
        if (vote->state != ACCEPTED || is_overtaken(plan, vote))
            continue;
        expected[vote->project].up += vote->value == 1;
        expected[vote->project].down += vote->value == -1;
    }
    return expected;
}

/* Pauses between two looks; false when there is to be no other. */
static bool verify_pause(const struct verify *verify)
{
    return clock_mono_us() < verify->deadline_us &&
           stop_wait(verify->stop, -1, clock_mono_us() + POLL_US) == verify->stops;
}

/* Waits until the project's last accepted request is no longer pending. */
static bool wait_for_commit(const struct verify *verify, const char *token, const char *request_id)
{
    char path[96];
    snprintf(path, sizeof path, "/api/votes/status/%s", request_id);
    for (;;) {
        json_t *data = api_get(verify, token, path);
        const char *state = json_string_value(json_object_get(data, "state"));
        bool done = state && strcmp(state, "pending") != 0;
        json_decref(data);
        if (done || !verify_pause(verify))
            return done;
    }
}

/* Reads a project's counts until they are the expected ones or the time is over. */
static struct counts read_counts(const struct verify *verify, const char *token,
                                 const char *project_id, struct counts expected)
{
    char path[32 + VOTE_ID_SIZE];
    snprintf(path, sizeof path, "/api/projects/%s", project_id);
    for (;;) {
        json_t *data = api_get(verify, token, path);
        struct counts counts = {json_integer_value(json_object_get(data, "upvotes")),
                                json_integer_value(json_object_get(data, "downvotes"))};
        bool equal = data && counts.up == expected.up && counts.down == expected.down;
        json_decref(data);
        if (equal || !verify_pause(verify))
            return counts;
    }
}

/* Checks one project; prints how it differs and returns false when it does. */
static bool project_verify(const struct verify *verify, const char *project_id, const char *token,
                           const char *last_request, struct counts expected)
{
    bool committed = wait_for_commit(verify, token, last_request);
    struct counts got = read_counts(verify, token, project_id, expected);
    if (committed && got.up == expected.up && got.down == expected.down)
        return true;
    printf("differs: %s expected %lld/%lld got %lld/%lld%s\n", project_id, (long long)expected.up,
           (long long)expected.down, (long long)got.up, (long long)got.down,
           committed ? "" : " (not committed in time)");
    return false;
}

bool verify_run(const struct load_config *config, const struct plan *plan, struct tokens *tokens,
                const struct outcome *outcome, struct stop *stop, struct error *error)
{
    struct verify verify = {.curl = curl_easy_init(),
                            .config = config,
                            .stop = stop,
                            .stops = stop_asked(stop),
                            .deadline_us = clock_mono_us() + config->verify_timeout_us};
    struct counts *expected = plan_count(plan);
    size_t differing = 0, checked = 0;
    if (!verify.curl)
        abort();
    for (uint32_t p = 0; p < plan->projects.count; p++) {
        if (!outcome->last_request[p][0])
            continue;
        const char *token = tokens_get(tokens, config, plan, outcome->last_user[p]);
        checked++;
        differing += !project_verify(&verify, plan->projects.text[p], token,
                                     outcome->last_request[p], expected[p]);
    }
    printf("verified %zu projects, %zu differ\n", checked, differing);
    free(expected);
    curl_easy_cleanup(verify.curl);
    return differing == 0 || error_set(error, ERROR_FOUND, "%zu projects differ", differing);
}
