/* load.c - vote-load's options, and what it does: plan, send, report, verify.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-load/run.h"

#include "base/buf.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const format_choices[] = {"text", "json", NULL};

#define AT(member) .offset = offsetof(struct load_config, member)
/* clang-format off */
const struct option load_options[] = {
    {.name = "url", .type = OPTION_TEXT, AT(url), .preset = "http://127.0.0.1:8080",
     .argument = "URL", .flags = OPTION_URL,
     .summary = "where vote-ingest listens"},
    {.name = "jwt-secret", .type = OPTION_TEXT, AT(jwt_secret),
     .flags = OPTION_SECRET | OPTION_REQUIRED, .summary = "what HS256 tokens are signed with"},
    {.name = "file", .type = OPTION_TEXT, AT(file), .argument = "votes.csv",
     .flags = OPTION_FLAG_ONLY,
     .summary = "send these votes, in order of time"},
    {.name = "users", .type = OPTION_INT, AT(users), .preset = "1000", .argument = "N", .min = 1,
     .max = 10000000, .flags = OPTION_FLAG_ONLY, .summary = "users of the synthetic mix"},
    {.name = "projects", .type = OPTION_INT, AT(projects), .preset = "20", .argument = "N",
     .min = 1,
     .max = 10000000, .flags = OPTION_FLAG_ONLY, .summary = "projects of the mix: p1, p2, ..."},
    {.name = "hot", .type = OPTION_TEXT, AT(hot_text), .preset = "0", .argument = "FRACTION",
     .flags = OPTION_FLAG_ONLY, .summary = "share of the mix that goes to p1"},
    {.name = "seed", .type = OPTION_INT, AT(seed), .preset = "1", .argument = "N", .max = 1 << 30,
     .flags = OPTION_FLAG_ONLY, .summary = "repeats a mix"},
    {.name = "rate", .type = OPTION_RATE, AT(rate_per_s), .preset = "0", .argument = "N/s",
     .flags = OPTION_FLAG_ONLY, .summary = "votes started a second; 0: as fast as answered"},
    {.name = "connections", .type = OPTION_INT, AT(connections), .preset = "64", .argument = "N",
     .min = 1,
     .max = 4096, .flags = OPTION_FLAG_ONLY, .summary = "keep-alive connections"},
    {.name = "duration", .type = OPTION_DURATION, AT(duration_us), .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY, .summary = "stop after this (30s for a mix)"},
    {.name = "retry-for", .type = OPTION_DURATION, AT(retry_for_us), .preset = "60s",
     .argument = "DURATION", .flags = OPTION_FLAG_ONLY, .summary = "then a vote counts as refused"},
    {.name = "verify", .type = OPTION_SWITCH, AT(verify), .flags = OPTION_FLAG_ONLY,
     .summary = "wait for the commits, compare what stands"},
    {.name = "verify-timeout", .type = OPTION_DURATION, AT(verify_timeout_us), .preset = "60s",
     .argument = "DURATION", .flags = OPTION_FLAG_ONLY, .summary = "longest wait for the commits"},
    {.name = "format", .type = OPTION_CHOICE, AT(format), .preset = "text", .argument = "FORMAT",
     .choices = format_choices, .flags = OPTION_FLAG_ONLY, .summary = "text or json"},
};
/* clang-format on */
const size_t load_option_count = sizeof load_options / sizeof *load_options;

enum { MIX_DURATION_US = 30 * 1000 * 1000 };

static void report_refusals(const struct outcome *outcome)
{
    for (int status = 0; status < STATUS_MAX; status++) {
        if (outcome->refused_by_status[status])
            printf("refused with %03d  %llu (first: %s)\n", status,
                   (unsigned long long)outcome->refused_by_status[status],
                   outcome->first_detail[status]);
    }
}

/* Ends the object of figures. */
static void report_refusals_json(const struct outcome *outcome)
{
    struct buf json = {0};
    char name[12];
    buf_text(&json, ",\"refused_by_status\":{");
    for (int status = 0; status < STATUS_MAX; status++) {
        if (!outcome->refused_by_status[status])
            continue;
        snprintf(name, sizeof name, "%d", status);
        buf_member_int(&json, name, (int64_t)outcome->refused_by_status[status]);
    }
    buf_text(&json, "}}");
    puts(json.data);
    buf_free(&json);
}

void report_print(const struct load_config *config, const struct outcome *outcome)
{
    const struct histogram *latency = &outcome->latency_us;
    double rate = outcome->seconds > 0 ? (double)outcome->accepted / outcome->seconds : 0;
    const struct {
        const char *name;
        double value;
        int digits;
    } figures[] = {
        {"accepted", (double)outcome->accepted, 0},
        {"refused", (double)outcome->refused, 0},
        {"retries", (double)outcome->retries, 0},
        {"seconds", outcome->seconds, 2},
        {"votes_per_second", rate, 0},
        {"p50_ms", (double)histogram_quantile(latency, 0.50) / 1e3, 2},
        {"p95_ms", (double)histogram_quantile(latency, 0.95) / 1e3, 2},
        {"p99_ms", (double)histogram_quantile(latency, 0.99) / 1e3, 2},
        {"max_ms", (double)histogram_max(latency) / 1e3, 2},
    };
    size_t count = sizeof figures / sizeof *figures;
    for (size_t i = 0; i < count; i++) {
        if (config->format)
            printf("%s\"%s\":%.*f", i ? "," : "{", figures[i].name, figures[i].digits,
                   figures[i].value);
        else
            printf("%-17s %.*f\n", figures[i].name, figures[i].digits, figures[i].value);
    }
    if (config->format)
        report_refusals_json(outcome);
    else
        report_refusals(outcome);
}

static bool load_settle_config(struct load_config *config, struct error *error)
{
    char *end;
    size_t size = strlen(config->url);
    while (size && config->url[size - 1] == '/')
        size--;
    config->url = config->url_kept = strndup(config->url, size);
    config->hot = strtod(config->hot_text, &end);
    if (end == config->hot_text || *end || config->hot < 0 || config->hot > 1)
        return error_set(error, ERROR_USAGE, "--hot: \"%s\" is not a fraction from 0 to 1",
                         config->hot_text);
    if (!config->file && !config->duration_us)
        config->duration_us = MIX_DURATION_US;
    return true;
}

static bool load_execute(const struct load_config *config, struct plan *plan, struct stop *stop,
                         struct outcome *outcome, struct error *error)
{
    struct tokens tokens = {0};
    bool sent = sender_run(config, plan, &tokens, stop, outcome, error);
    if (sent)
        report_print(config, outcome);
    bool fine =
        sent && (!config->verify || verify_run(config, plan, &tokens, outcome, stop, error));
    if (fine && outcome->refused)
        fine = error_set(error, ERROR_FOUND, "%llu votes were refused",
                         (unsigned long long)outcome->refused);
    tokens_free(&tokens);
    return fine;
}

bool load_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    struct load_config *config = context;
    struct plan plan = {0};
    struct stop stop;
    struct outcome *outcome = calloc(1, sizeof *outcome);
    if (!outcome)
        abort();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    bool fine = load_settle_config(config, error) &&
                (!config->file || plan_read_file(&plan, config->file, error)) &&
                stop_open(&stop, error);
    if (fine) {
        fine = load_execute(config, &plan, &stop, outcome, error);
        stop_close(&stop);
    }
    free(config->url_kept);
    free(outcome->last_request);
    free(outcome->last_user);
    free(outcome);
    plan_free(&plan);
    curl_global_cleanup();
    return fine;
}
