/* commit.c - the loop of vote-commit: read a batch, one transaction, announce, settle.
 *
 * A crash before the transaction: the batch is read again. Between transaction and announcement:
 * the next owner announces it again. Between announcement and settling: Redis drops what is pending
 * too long. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKOFF_MIN_US = 100 * 1000, BACKOFF_MAX_US = 5 * 1000 * 1000 };

#define AT(member) .offset = offsetof(struct commit_config, member)
/* clang-format off */
const struct option commit_options[] = {
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9102",
     .argument = "HOST:PORT", .summary = "metrics and health"},
    {.name = "group", .type = OPTION_TEXT, AT(group), .preset = "vote-commit", .argument = "NAME",
     .summary = "consumer group"},
    {.name = "batch-size", .type = OPTION_INT, AT(batch_size), .preset = "1000", .argument = "N",
     .min = 1, .max = 10000, .summary = "most votes in one transaction"},
    {.name = "redis-timeout", .type = OPTION_DURATION, AT(redis.timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 1000, .max = 60000000, .summary = "longest wait for Redis"},
    {.name = "optimism-grace", .type = OPTION_DURATION, AT(optimism_grace_us), .preset = "30s",
     .argument = "DURATION", .min = 1000000, .max = 86400000000,
     .summary = "votes shown, but in no log, are gone by then"},
    {.name = "ledger-retention", .type = OPTION_DURATION, AT(ledger_retention_us), .preset = "400d",
     .argument = "DURATION", .min = 86400000000, .max = INT64_C(3153600000000000),
     .summary = "months of the ledger that ended before are dropped"},
    {.name = "drain-timeout", .type = OPTION_DURATION, AT(drain_timeout_us), .preset = "10s",
     .argument = "DURATION", .summary = "longest wait for announcements at the stop"},
};
/* clang-format on */
const size_t commit_option_count = sizeof commit_options / sizeof *commit_options;

static void commit_register_metrics(struct commit *commit)
{
    static const char *const labels[] = {"outcome=\"committed\"", "outcome=\"reconciled\"",
                                         "outcome=\"superseded\"", "outcome=\"failed\""};
    struct commit_metrics *metrics = &commit->metrics;
    struct metrics *all = commit->admin.metrics = metrics_new();
    for (int i = 0; i < 4; i++)
        metrics->outcomes[i] = metrics_counter(all, "vote_committed_total",
                                               "Requests by what became of them.", labels[i]);
    metrics->replayed =
        metrics_counter(all, "vote_replayed_total", "Requests that the ledger had already.", NULL);
    metrics->dead = metrics_counter(all, "vote_dead_total", "Records sent to vote.dead.", NULL);
    metrics->fenced = metrics_counter(all, "vote_fenced_total",
                                      "Batches refused because another process was further.", NULL);
    metrics->retries =
        metrics_counter(all, "vote_commit_retries_total", "Transactions tried again.", NULL);
    metrics->lag_us =
        metrics_gauge(all, "vote_commit_lag_seconds",
                      "Age of the last record read where more wait, at most.", NULL, 1e-6);
    metrics->lag_records =
        metrics_gauge(all, "vote_commit_lag_records", "Records that wait to be read.", NULL, 1);
    metrics->ghosts = metrics_counter(all, "vote_ghosts_total",
                                      "Votes shown that never reached the log, taken back.", NULL);
    metrics->ledger_ahead =
        metrics_gauge(all, "vote_ledger_partitions_ahead",
                      "Months after this one that the ledger has a partition for.", NULL, 1);
    metrics->batch_votes = metrics_sizes(all, "vote_batch_votes", "Votes in a transaction.", NULL);
    metrics->transaction_us =
        metrics_latency(all, "vote_transaction_duration_seconds", "One batch in Postgres.", NULL);
    metrics->latency_us = metrics_latency(all, "vote_commit_latency_seconds",
                                          "From accepted_at to committed_at.", NULL);
}

static void batch_clear(struct commit *commit)
{
    for (size_t i = 0; i < commit->batch.count; i++)
        rd_kafka_message_destroy(commit->batch.entries[i].message);
    commit->batch.count = 0;
}

/* Drops what is no longer ours, and sends what cannot be decoded to vote.dead; keeps the order. */
static bool batch_decode(struct commit *commit)
{
    size_t kept = 0;
    bool went_on = true;
    struct error error;
    for (size_t i = 0; i < commit->batch.count; i++) {
        struct entry *entry = &commit->batch.entries[i];
        const rd_kafka_message_t *message = entry->message;
        bool ours = commit->positions[message->partition].assigned;
        bool decoded =
            ours && request_decode(&entry->request, message->payload, message->len, &error);
        if (ours && !decoded && went_on)
            went_on = dead_letter(commit, message, error.text, NULL);
        if (decoded && kept != i) {
            struct entry moved = *entry;
            *entry = commit->batch.entries[kept];
            commit->batch.entries[kept] = moved;
        }
        kept += decoded;
    }
    for (size_t i = kept; i < commit->batch.count; i++)
        rd_kafka_message_destroy(commit->batch.entries[i].message);
    commit->batch.count = kept;
    return went_on;
}

static int64_t backoff_us(int attempt)
{
    int64_t ceiling = BACKOFF_MIN_US << (attempt > 6 ? 6 : attempt);
    if (ceiling > BACKOFF_MAX_US)
        ceiling = BACKOFF_MAX_US;
    return ceiling / 2 + random() % (ceiling / 2);
}

/* Tries until Postgres answers one way or the other; holds everything meanwhile. */
static enum apply apply_patiently(struct commit *commit, size_t from, size_t to,
                                  struct error *error)
{
    enum apply outcome;
    for (int attempt = 0; (outcome = apply_entries(commit, from, to, error)) == APPLY_RETRY;
         attempt++) {
        atomic_store(&commit->postgres_check->ready, 0);
        metric_add(commit->metrics.retries, 1);
        log_error(commit->log, LOG_WARN, "holding the batch", error);
        consume_hold(commit, backoff_us(attempt));
        if (stop_asked(&commit->stop))
            break;
    }
    atomic_store(&commit->postgres_check->ready, outcome != APPLY_RETRY);
    return outcome;
}

/* Applies [from, to); what Postgres refuses for good is narrowed down to the record by halves.
 * False when the rest of the batch is not to be applied now. */
static bool commit_range(struct commit *commit, size_t from, size_t to)
{
    struct error error;
    switch (apply_patiently(commit, from, to, &error)) {
    case APPLY_DONE:
        announce_entries(commit, from, to);
        settle_entries(commit, from, to);
        return true;
    case APPLY_FENCED:
        metric_add(commit->metrics.fenced, 1);
        log_error(commit->log, LOG_WARN, "another process was further; going where it stands",
                  &error);
        consume_rewind(commit);
        return false;
    case APPLY_RETRY: return false;
    case APPLY_REFUSED: break;
    }
    if (to - from > 1) {
        size_t middle = from + (to - from) / 2;
        return commit_range(commit, from, middle) && commit_range(commit, middle, to);
    }
    return dead_letter(commit, commit->batch.entries[from].message, error.text,
                       commit->pg.sqlstate);
}

static void commit_turn(struct commit *commit)
{
    struct error error;
    admin_beat(&commit->admin);
    bool up = redis_is_up(commit->redis);
    atomic_store(&commit->redis_check->ready, up && settle_drop_stale(commit, &error));
    consume_batch(commit);
    bool went_on = batch_decode(commit);
    if (went_on && commit->batch.count)
        went_on = commit_range(commit, 0, commit->batch.count);
    batch_clear(commit);
    announce_serve(commit, 0);
    if (!went_on)
        return;
    relay_turn(commit);
    lag_turn(commit);
    sweep_turn(commit);
    ledger_turn(commit);
}

static bool commit_serve(struct commit *commit, struct error *error)
{
    if (!announce_open(commit, error) ||
        !admin_start(&commit->admin, commit->config->admin_listen, error) ||
        !redis_open(&commit->redis, &commit->config->redis, error) ||
        !pg_connect(&commit->pg, error) || !consume_open(commit, error))
        return false;
    atomic_store(&commit->postgres_check->ready, 1);
    LOG_EVENT(commit->log, LOG_INFO, "reading", LOG_STR("topic", TOPIC_REQUESTS),
              LOG_STR("group", commit->config->group),
              LOG_STR("admin", commit->config->admin_listen));
    while (!stop_asked(&commit->stop))
        commit_turn(commit);
    atomic_store(&commit->admin.draining, 1);
    LOG_EVENT(commit->log, LOG_INFO, "stopping");
    announce_serve(commit, (int)(commit->config->drain_timeout_us / 1000));
    return true;
}

static struct commit *commit_new(const struct commit_config *config, struct log *log)
{
    char host[64] = "";
    struct commit *commit = calloc(1, sizeof *commit);
    if (!commit)
        abort();
    commit->batch.entries = calloc((size_t)config->batch_size, sizeof *commit->batch.entries);
    if (!commit->batch.entries)
        abort();
    gethostname(host, sizeof host - 1);
    snprintf(commit->owner, sizeof commit->owner, "%s:%d", host, (int)getpid());
    commit->config = config;
    commit->log = log;
    commit->pg = (struct pg){.url = config->pg.url, .name = "vote-commit"};
    commit->kafka_check = admin_add_check(&commit->admin, "kafka");
    commit->postgres_check = admin_add_check(&commit->admin, "postgres");
    commit->redis_check = admin_add_check(&commit->admin, "redis");
    commit_register_metrics(commit);
    return commit;
}

bool commit_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct commit *commit = commit_new(config, log);
    bool served = stop_open(&commit->stop, error) && commit_serve(commit, error);
    consume_close(commit);
    announce_close(commit);
    admin_stop(&commit->admin);
    pg_close(&commit->pg);
    redis_close(commit->redis);
    redis_batch_free(&commit->settling);
    buf_free(&commit->relay.ids);
    metrics_free(commit->admin.metrics);
    buf_free(&commit->stale_projects);
    free(commit->batch.entries);
    stop_close(&commit->stop);
    free(commit);
    return served;
}
