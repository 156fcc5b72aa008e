/* sender.c - posts a plan over keep-alive connections, one user's votes on one project in order.
 *
 * A vote that is not answered is sent again with the same Idempotency-Key; as it sets the vote, and
 * the next of its chain waits, sending it twice changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-load/load.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/meter.h"
#include "base/secret.h"
#include "vote/event.h"
#include "vote/token.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIX_CHUNK = 10000,
    BACKOFF_MIN_US = 100000,
    BACKOFF_MAX_US = 2000000,
    RETRY_AFTER_MAX_S = 30,
    ANSWER_MAX_BYTES = 64 * 1024
};

/* One connection with the vote it carries. */
struct slot {
    CURL *curl;
    struct curl_slist *headers;
    struct buf body, answer;
    char key[REQUEST_ID_SIZE];
    uint32_t vote; /* NO_VOTE: free */
    int attempts;
    int64_t first_us;  /* when the vote was first sent */
    int64_t resend_us; /* 0: under way; otherwise when to send again */
};

struct sender {
    const struct load_config *config;
    struct plan *plan;
    struct tokens *tokens;
    struct outcome *outcome;
    CURLM *multi;
    struct slot *slots;
    uint32_t *ready; /* votes whose predecessor was just answered */
    size_t ready_count, ready_capacity;
    size_t cursor;  /* the first vote of the plan not looked at */
    size_t blocked; /* votes before it that wait for their predecessor */
    size_t active, started;
    int64_t start_us;
    struct meter meter;
    bool ending, reached;
    struct buf url;
};

const char *tokens_get(struct tokens *tokens, const struct load_config *config,
                       const struct plan *plan, uint32_t user)
{
    struct error error;
    if (user >= tokens->count) {
        size_t count = plan->users.count;
        tokens->by_user = realloc(tokens->by_user, count * sizeof *tokens->by_user);
        if (!tokens->by_user)
            abort();
        memset(tokens->by_user + tokens->count, 0,
               (count - tokens->count) * sizeof *tokens->by_user);
        tokens->count = count;
    }
    if (!tokens->by_user[user])
        tokens->by_user[user] =
            token_mint(config->jwt_secret, plan->users.text[user], NULL, 86400, &error);
    if (!tokens->by_user[user])
        abort();
    return tokens->by_user[user];
}

void tokens_free(struct tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->by_user[i]);
    free(tokens->by_user);
}

static size_t slot_on_data(char *data, size_t size, size_t count, void *context)
{
    struct slot *slot = context;
    if (slot->answer.size < ANSWER_MAX_BYTES)
        buf_put(&slot->answer, data, size * count);
    return size * count;
}

static void slot_send(struct sender *sender, struct slot *slot)
{
    buf_clear(&slot->answer);
    slot->resend_us = 0;
    slot->attempts++;
    curl_multi_add_handle(sender->multi, slot->curl);
}

static void slot_start(struct sender *sender, struct slot *slot, uint32_t at)
{
    struct planned_vote *vote = &sender->plan->votes[at];
    struct buf header = {0};
    slot->vote = at;
    slot->attempts = 0;
    slot->first_us = clock_mono_us();
    request_id_make(slot->key);
    buf_clear(&slot->body);
    buf_char(&slot->body, '{');
    buf_member_text(&slot->body, "project_id", sender->plan->projects.text[vote->project]);
    buf_member_text(&slot->body, "vote_type", vote_type_name((enum vote_type)vote->value));
    buf_text(&slot->body, ",\"toggle\":false}");
    curl_slist_free_all(slot->headers);
    slot->headers = curl_slist_append(NULL, "Content-Type: application/json");
    buf_format(&header, "Authorization: Bearer %s",
               tokens_get(sender->tokens, sender->config, sender->plan, vote->user));
    slot->headers = curl_slist_append(slot->headers, header.data);
    buf_clear(&header);
    buf_format(&header, "Idempotency-Key: %s", slot->key);
    slot->headers = curl_slist_append(slot->headers, header.data);
    buf_free(&header);
    curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER, slot->headers);
    curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDSIZE, (long)slot->body.size);
    curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDS, slot->body.data);
    vote->state = SENT;
    sender->active++;
    sender->started++;
    slot_send(sender, slot);
}

/* The next vote that may be sent now, or NO_VOTE. The mix is not planned further while a chunk of
 * it waits: of few users and projects, all may have a vote under way. */
static uint32_t sender_next(struct sender *sender)
{
    struct plan *plan = sender->plan;
    if (sender->ready_count)
        return sender->ready[--sender->ready_count];
    for (;;) {
        if (sender->cursor == plan->count && !sender->config->file && sender->blocked < MIX_CHUNK)
            plan_add_mix(plan, sender->config, MIX_CHUNK);
        if (sender->cursor == plan->count)
            return NO_VOTE;
        struct planned_vote *vote = &plan->votes[sender->cursor++];
        if (vote->before == NO_VOTE || plan->votes[vote->before].state >= ACCEPTED)
            return (uint32_t)(sender->cursor - 1);
        vote->state = BLOCKED;
        sender->blocked++;
    }
}

static void slot_finish(struct sender *sender, struct slot *slot, enum vote_state state)
{
    struct planned_vote *vote = &sender->plan->votes[slot->vote];
    vote->state = (unsigned char)state;
    slot->vote = NO_VOTE;
    sender->active--;
    if (vote->after == NO_VOTE || sender->plan->votes[vote->after].state != BLOCKED)
        return;
    if (sender->ready_count == sender->ready_capacity) {
        sender->ready_capacity = sender->ready_capacity ? sender->ready_capacity * 2 : 64;
        sender->ready = realloc(sender->ready, sender->ready_capacity * sizeof *sender->ready);
        if (!sender->ready)
            abort();
    }
    sender->ready[sender->ready_count++] = vote->after;
    sender->blocked--;
}

static void slot_accepted(struct sender *sender, struct slot *slot)
{
    struct outcome *outcome = sender->outcome;
    const struct planned_vote *vote = &sender->plan->votes[slot->vote];
    json_t *answer = json_loadb(slot->answer.data, slot->answer.size, 0, NULL);
    const char *id =
        json_string_value(json_object_get(json_object_get(answer, "data"), "request_id"));
    if (sender->config->verify && id && request_id_is_valid(id, strlen(id))) {
        snprintf(outcome->last_request[vote->project], REQUEST_ID_SIZE, "%s", id);
        outcome->last_user[vote->project] = vote->user;
    }
    json_decref(answer);
    outcome->accepted++;
    histogram_record(&outcome->latency_us, clock_mono_us() - slot->first_us);
    slot_finish(sender, slot, ACCEPTED);
}

static void slot_refused(struct sender *sender, struct slot *slot, long status)
{
    struct outcome *outcome = sender->outcome;
    json_t *answer =
        json_loadb(slot->answer.data ? slot->answer.data : "", slot->answer.size, 0, NULL);
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    int slot_status = status > 0 && status < STATUS_MAX ? (int)status : 0;
    if (!outcome->first_detail[slot_status][0])
        snprintf(outcome->first_detail[slot_status], DETAIL_SIZE, "%s",
                 detail ? detail : "no answer");
    json_decref(answer);
    outcome->refused++;
    outcome->refused_by_status[slot_status]++;
    slot_finish(sender, slot, REFUSED);
}

static int64_t slot_retry_after_us(struct slot *slot, long status)
{
    curl_off_t seconds = 0;
    int64_t backoff_us = BACKOFF_MIN_US << (slot->attempts > 5 ? 5 : slot->attempts - 1);
    if (status)
        curl_easy_getinfo(slot->curl, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds > 0)
        return (seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds) * 1000000;
    if (backoff_us > BACKOFF_MAX_US)
        backoff_us = BACKOFF_MAX_US;
    return backoff_us / 2 + random() % (backoff_us / 2);
}

static void slot_answered(struct sender *sender, struct slot *slot, CURLcode code)
{
    long status = 0;
    int64_t now_us = clock_mono_us();
    curl_multi_remove_handle(sender->multi, slot->curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);
    sender->reached = sender->reached || status;
    if (status == 202) {
        slot_accepted(sender, slot);
        return;
    }
    bool never_there = sender->ending && !sender->reached;
    bool again = status == 0 || status == 429 || status == 503 || status == 409;
    if (!again || never_there || now_us - slot->first_us > sender->config->retry_for_us) {
        slot_refused(sender, slot, status);
        /* A server that was never there is not waited for once more by each vote. */
        sender->ending = sender->ending || !sender->reached;
        return;
    }
    sender->outcome->retries++;
    slot->resend_us = now_us + slot_retry_after_us(slot, status);
}

/* True when the rate allows one more vote now. */
static bool sender_may_start(const struct sender *sender)
{
    double seconds = (double)(clock_mono_us() - sender->start_us) / 1e6;
    return sender->config->rate_per_s <= 0 ||
           (double)sender->started < seconds * sender->config->rate_per_s;
}

static void sender_fill(struct sender *sender)
{
    int64_t now_us = clock_mono_us();
    for (int64_t i = 0; i < sender->config->connections; i++) {
        struct slot *slot = &sender->slots[i];
        if (slot->vote != NO_VOTE && slot->resend_us && slot->resend_us <= now_us)
            slot_send(sender, slot);
        if (slot->vote != NO_VOTE || sender->ending || !sender_may_start(sender))
            continue;
        uint32_t vote = sender_next(sender);
        if (vote != NO_VOTE)
            slot_start(sender, slot, vote);
    }
}

static void sender_collect(struct sender *sender)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(sender->multi, &left))) {
        struct slot *slot;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
        slot_answered(sender, slot, message->data.result);
    }
}

static void sender_loop(struct sender *sender, struct stop *stop)
{
    int running;
    sender->start_us = clock_mono_us();
    meter_start(&sender->meter, "vote-load", "votes",
                sender->config->file ? (int64_t)sender->plan->count : 0);
    for (;;) {
        int64_t duration_us = sender->config->duration_us;
        int asked = stop_asked(stop);
        if (asked || (duration_us && clock_mono_us() - sender->start_us >= duration_us))
            sender->ending = true;
        sender_fill(sender);
        bool all_sent = sender->config->file && sender->cursor == sender->plan->count &&
                        sender->ready_count == 0;
        if (asked > 1 || (sender->active == 0 && (sender->ending || all_sent)))
            break;
        curl_multi_perform(sender->multi, &running);
        sender_collect(sender);
        meter_turn(&sender->meter, (int64_t)(sender->outcome->accepted + sender->outcome->refused));
        curl_multi_poll(sender->multi, NULL, 0, sender->config->rate_per_s > 0 ? 1 : 10, NULL);
    }
    sender->outcome->seconds = (double)(clock_mono_us() - sender->start_us) / 1e6;
    meter_clear(&sender->meter);
}

static void slots_open(struct sender *sender)
{
    sender->slots = calloc((size_t)sender->config->connections, sizeof *sender->slots);
    if (!sender->slots)
        abort();
    for (int64_t i = 0; i < sender->config->connections; i++) {
        struct slot *slot = &sender->slots[i];
        slot->vote = NO_VOTE;
        slot->curl = curl_easy_init();
        if (!slot->curl)
            abort();
        curl_easy_setopt(slot->curl, CURLOPT_URL, sender->url.data);
        curl_easy_setopt(slot->curl, CURLOPT_PRIVATE, slot);
        curl_easy_setopt(slot->curl, CURLOPT_WRITEFUNCTION, slot_on_data);
        curl_easy_setopt(slot->curl, CURLOPT_WRITEDATA, slot);
        curl_easy_setopt(slot->curl, CURLOPT_TIMEOUT_MS, 30000L);
        curl_easy_setopt(slot->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(slot->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(slot->curl, CURLOPT_PROXY, "");
    }
}

static void slots_close(struct sender *sender)
{
    for (int64_t i = 0; i < sender->config->connections; i++) {
        struct slot *slot = &sender->slots[i];
        if (slot->vote != NO_VOTE && !slot->resend_us)
            curl_multi_remove_handle(sender->multi, slot->curl);
        curl_easy_cleanup(slot->curl);
        curl_slist_free_all(slot->headers);
        buf_free(&slot->body);
        buf_free(&slot->answer);
    }
    free(sender->slots);
    free(sender->ready);
}

bool sender_run(const struct load_config *config, struct plan *plan, struct tokens *tokens,
                struct stop *stop, struct outcome *outcome, struct error *error)
{
    char shown[SECRET_SHOWN_SIZE];
    struct sender sender = {.config = config, .plan = plan, .tokens = tokens, .outcome = outcome};
    buf_format(&sender.url, "%s/api/votes", config->url);
    size_t projects = config->file ? plan->projects.count : (size_t)config->projects;
    outcome->last_request = calloc(projects + 1, sizeof *outcome->last_request);
    outcome->last_user = calloc(projects + 1, sizeof *outcome->last_user);
    if (!outcome->last_request || !outcome->last_user)
        abort();
    sender.multi = curl_multi_init();
    curl_multi_setopt(sender.multi, CURLMOPT_MAXCONNECTS, (long)config->connections);
    slots_open(&sender);
    sender_loop(&sender, stop);
    slots_close(&sender);
    curl_multi_cleanup(sender.multi);
    buf_free(&sender.url);
    return sender.reached || sender.started == 0 ||
           error_set(error, ERROR_UNAVAILABLE, "unable to connect to %s",
                     secret_show(config->url, shown));
}
