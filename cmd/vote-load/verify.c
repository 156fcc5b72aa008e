/* verify.c - waits for the commits and compares what stands with the plan: of a file every
 * project's counts, of a mix each user's own votes, as others may vote on its projects.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-load/load.h"

#include "base/buf.h"
#include "base/clock.h"
#include "vote/event.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_US = 50 * 1000, VERIFY_ANSWER_MAX = 1024 * 1024, PROJECTS_AT_ONCE = 100 };

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
    const struct plan *plan;
    struct tokens *tokens;
    size_t checked, differing;
};

static const char *token_of(const struct verify *verify, uint32_t user)
{
    return tokens_get(verify->tokens, verify->config, verify->plan, user);
}

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

/* Whether it was accepted, and no later one of the same chain: then it counts. */
static bool is_final(const struct plan *plan, const struct planned_vote *vote)
{
    uint32_t at = vote->after;
    while (at != NO_VOTE && plan->votes[at].state != ACCEPTED)
        at = plan->votes[at].after;
    return vote->state == ACCEPTED && at == NO_VOTE;
}

/* What the plan's votes that were accepted add up to: the last of each chain counts. */
static struct counts *plan_count(const struct plan *plan)
{
    struct counts *expected = calloc(plan->projects.count + 1, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_vote *vote = &plan->votes[i];
        if (!is_final(plan, vote))
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

static void file_verify(struct verify *verify, const struct outcome *outcome)
{
    const struct plan *plan = verify->plan;
    struct counts *expected = plan_count(plan);
    for (uint32_t p = 0; p < plan->projects.count; p++) {
        if (!outcome->last_request[p][0])
            continue;
        const char *token = token_of(verify, outcome->last_user[p]);
        verify->checked++;
        verify->differing += !project_verify(verify, plan->projects.text[p], token,
                                             outcome->last_request[p], expected[p]);
    }
    printf("verified %zu projects, %zu differ\n", verify->checked, verify->differing);
    free(expected);
}

/* The last accepted vote of each chain, one user's together; the caller frees the array. */
static const struct planned_vote **plan_finals(const struct plan *plan, size_t *count)
{
    const struct planned_vote **finals = calloc(plan->count + 1, sizeof *finals);
    size_t *first = calloc(plan->users.count + 1, sizeof *first);
    if (!finals || !first)
        abort();
    for (size_t i = 0; i < plan->count; i++)
        first[plan->votes[i].user + 1] += is_final(plan, &plan->votes[i]);
    for (size_t user = 0; user < plan->users.count; user++)
        first[user + 1] += first[user];
    *count = first[plan->users.count];
    for (size_t i = 0; i < plan->count; i++) {
        if (is_final(plan, &plan->votes[i]))
            finals[first[plan->votes[i].user]++] = &plan->votes[i];
    }
    free(first);
    return finals;
}

/* What an answer of GET /api/votes/user says the vote on a project is; "?" when there was none. */
static const char *vote_in(const json_t *data, const char *project_id)
{
    const char *found = data ? vote_type_name(VOTE_NONE) : "?";
    size_t i;
    json_t *vote;
    json_array_foreach(json_object_get(data, "votes"), i, vote)
    {
        const char *id = json_string_value(json_object_get(vote, "project_id"));
        const char *type = json_string_value(json_object_get(vote, "vote_type"));
        if (id && type && !strcmp(id, project_id))
            found = type;
    }
    return found;
}

/* How many of these votes of one user do not stand; prints them when `told`. */
static size_t votes_differ(const struct verify *verify, const struct planned_vote *const *votes,
                           size_t count, bool told)
{
    const struct plan *plan = verify->plan;
    const char *token = token_of(verify, votes[0]->user);
    size_t differing = 0;
    struct buf path = {0};
    buf_text(&path, "/api/votes/user");
    for (size_t i = 0; i < count; i++)
        buf_format(&path, "%s%s",
                   i ? "," : "?project_ids=", plan->projects.text[votes[i]->project]);
    json_t *data = api_get(verify, token, path.data);
    for (size_t i = 0; i < count; i++) {
        const char *project_id = plan->projects.text[votes[i]->project];
        const char *found = vote_in(data, project_id);
        const char *expected = vote_type_name((enum vote_type)votes[i]->value);
        bool differs = strcmp(found, expected) != 0;
        differing += differs;
        if (differs && told)
            printf("differs: %s on %s expected %s got %s\n", plan->users.text[votes[0]->user],
                   project_id, expected, found);
    }
    json_decref(data);
    buf_free(&path);
    return differing;
}

/* Until the last vote of each project is committed. */
static void mix_wait(struct verify *verify, const struct outcome *outcome)
{
    const struct plan *plan = verify->plan;
    for (uint32_t p = 0; p < plan->projects.count; p++) {
        const char *request = outcome->last_request[p];
        if (!request[0] ||
            wait_for_commit(verify, token_of(verify, outcome->last_user[p]), request))
            continue;
        printf("differs: %s (not committed in time)\n", plan->projects.text[p]);
        verify->differing++;
    }
}

static void mix_verify(struct verify *verify, const struct outcome *outcome)
{
    size_t size;
    const struct planned_vote **finals = plan_finals(verify->plan, &verify->checked);
    mix_wait(verify, outcome);
    for (size_t from = 0; from < verify->checked; from += size) {
        for (size = 1; size < PROJECTS_AT_ONCE && from + size < verify->checked; size++) {
            if (finals[from + size]->user != finals[from]->user)
                break;
        }
        size_t differing;
        do
            differing = votes_differ(verify, &finals[from], size, false);
        while (differing && verify_pause(verify));
        if (differing)
            verify->differing += votes_differ(verify, &finals[from], size, true);
    }
    printf("verified %zu votes, %zu differ\n", verify->checked, verify->differing);
    free(finals);
}

bool verify_run(const struct load_config *config, const struct plan *plan, struct tokens *tokens,
                const struct outcome *outcome, struct stop *stop, struct error *error)
{
    struct verify verify = {.curl = curl_easy_init(),
                            .config = config,
                            .stop = stop,
                            .stops = stop_asked(stop),
                            .deadline_us = clock_mono_us() + config->verify_timeout_us,
                            .plan = plan,
                            .tokens = tokens};
    if (!verify.curl)
        abort();
    if (config->file)
        file_verify(&verify, outcome);
    else
        mix_verify(&verify, outcome);
    curl_easy_cleanup(verify.curl);
    return verify.differing == 0 || error_set(error, ERROR_FOUND, "%zu %s differ", verify.differing,
                                              config->file ? "projects" : "votes");
}
