/* commit.c - the loop of vote-commit: read a batch, one transaction, announce, settle.
 *
 * A crash before the transaction: the batch is read again. Between transaction and announcement:
 * the next owner announces it again. Between announcement and settling: the sweep finds what is on
 * its way too long. SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "base/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKOFF_MIN_US = 100 * 1000, BACKOFF_MAX_US = 5 * 1000 * 1000, FIRST_WAIT_MS = 100 };

#define AT(member) .offset = offsetof(struct commit_config, member)
/* clang-format off */
const struct option commit_options[] = {
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9102",
     .argument = "HOST:PORT", .check = listen_check, .summary = "metrics and health"},
    {.name = "group", .type = OPTION_TEXT, AT(group), .preset = "vote-commit", .argument = "NAME",
     .summary = "consumer group"},
    {.name = "group-instance-id", .type = OPTION_TEXT, AT(group_instance_id), .argument = "NAME",
     .summary = "static member: a restart is no rebalance"},
    {.name = "batch-size", .type = OPTION_INT, AT(batch_size), .preset = "1000", .argument = "N",
     .min = 1, .max = 10000, .summary = "most votes in one transaction"},
    {.name = "retry-delays", .type = OPTION_TEXT, AT(retry_delays), .preset = "5s,10s,20s",
     .argument = "TIME,...", .summary = "when a refused vote is tried again"},
    {.name = "accept-loss", .type = OPTION_SWITCH, AT(accept_loss),
     .summary = "go on behind votes that the log has lost"},
    {.name = "database-timeout", .type = OPTION_DURATION, AT(database_timeout_us), .preset = "10s",
     .argument = "DURATION", .min = 10000, .max = 300000000,
     .summary = "longest wait for Postgres"},
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

const char *const retry_class_names[RETRY_CLASSES] = {"connection", "operator", "conflict",
                                                      "resources",  "schema",   "internal"};

static void commit_register_troubles(struct commit_metrics *metrics, struct metrics *all)
{
    static const char *const retries[RETRY_CLASSES] = {
        "class=\"connection\"", "class=\"operator\"", "class=\"conflict\"",
        "class=\"resources\"",  "class=\"schema\"",   "class=\"internal\""};
    static const char *const reasons[DEAD_REASONS] = {"reason=\"undecodable\"",
                                                      "reason=\"refused\""};
    for (int i = 0; i < RETRY_CLASSES; i++)
        metrics->retries[i] = metrics_counter(all, "vote_commit_retries_total",
                                              "Statements to be tried again.", retries[i]);
    for (int i = 0; i < DEAD_REASONS; i++)
        metrics->dead[i] =
            metrics_counter(all, "vote_dead_total", "Records sent to vote.dead.", reasons[i]);
    metrics->parked = metrics_counter(all, "vote_parked_total",
                                      "Records put aside because Postgres refused them.", NULL);
    metrics->lost = metrics_counter(all, "vote_lost_records_total",
                                    "Records that the log lost before they were applied.", NULL);
}

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
    metrics->fenced = metrics_counter(all, "vote_fenced_total",
                                      "Batches refused because another process was further.", NULL);
    metrics->forgotten =
        metrics_counter(all, "vote_forgotten_total", "Wishes of users to be forgotten.", NULL);
    metrics->rows = metrics_counter(all, "vote_rows_written_total",
                                    "Rows of vote.votes that were written.", NULL);
    metrics->fold = metrics_gauge(
        all, "vote_fold_ratio", "Votes applied for each row written, since the start.", NULL, 1e-3);
    commit_register_troubles(metrics, all);
    metrics->lag_us =
        metrics_gauge(all, "vote_commit_lag_seconds",
                      "Age of the oldest record that is not applied, at most.", NULL, 1e-6);
    metrics->lag_records =
        metrics_gauge(all, "vote_commit_lag_records", "Records that are not applied.", NULL, 1);
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

static int64_t backoff_us(int attempt)
{
    int64_t ceiling = BACKOFF_MIN_US << (attempt > 6 ? 6 : attempt);
    if (ceiling > BACKOFF_MAX_US)
        ceiling = BACKOFF_MAX_US;
    return ceiling / 2 + random() % (ceiling / 2);
}

/* Postgres cannot do it now: holds everything for a while. False when a stop was asked for. */
static bool hold(struct commit *commit, int attempt, const struct error *error)
{
    atomic_store(&commit->postgres_check->ready, 0);
    log_error(commit->log, LOG_WARN, "holding the batch", error);
    consume_hold(commit, backoff_us(attempt));
    return !stop_asked(&commit->stop);
}

static enum apply apply_once(struct commit *commit, struct batch *batch, size_t from, size_t to,
                             struct error *error)
{
    enum apply sent = apply_send(commit, batch, from, to, error);
    return sent == APPLY_DONE ? apply_receive(commit, batch, from, to, error) : sent;
}

/* Tries until Postgres answers one way or the other. */
static enum apply apply_patiently(struct commit *commit, struct batch *batch, size_t from,
                                  size_t to, struct error *error)
{
    enum apply outcome;
    for (int attempt = 0; (outcome = apply_once(commit, batch, from, to, error)) == APPLY_RETRY;
         attempt++) {
        if (!hold(commit, attempt, error))
            return outcome;
        batch_leave_out(commit, batch);
    }
    atomic_store(&commit->postgres_check->ready, 1);
    return outcome;
}

/* Not even parking may be refused: then somebody must mend the database first. */
static enum apply park_patiently(struct commit *commit, const struct entry *entry)
{
    struct error error;
    enum apply outcome;
    for (int attempt = 0;
         (outcome = park_entry(commit, entry, &error)) == APPLY_RETRY || outcome == APPLY_REFUSED;
         attempt++) {
        if (!hold(commit, attempt, &error))
            return APPLY_RETRY;
    }
    return outcome;
}

static bool fall_back(struct commit *commit)
{
    metric_add(commit->metrics.fenced, 1);
    LOG_EVENT(commit->log, LOG_WARN, "another process was further; going where it stands");
    commit->must_rewind = true;
    return false;
}

static void commit_publish(struct commit *commit, const struct batch *batch, size_t from, size_t to)
{
    announce_entries(commit, batch, from, to);
    settle_entries(commit, batch, from, to);
}

/* Applies [from, to); what Postgres refuses for good is narrowed down to the record by halves, and
 * parked. False when the rest of the batch is not to be applied now. */
static bool commit_range(struct commit *commit, struct batch *batch, size_t from, size_t to)
{
    struct error error;
    size_t middle = from + (to - from) / 2;
    switch (apply_patiently(commit, batch, from, to, &error)) {
    case APPLY_DONE: commit_publish(commit, batch, from, to); return true;
    case APPLY_FENCED: return fall_back(commit);
    case APPLY_RETRY: return false;
    case APPLY_REFUSED: break;
    }
    if (to - from > 1)
        return commit_range(commit, batch, from, middle) && commit_range(commit, batch, middle, to);
    enum apply parked = park_patiently(commit, &batch->entries[from]);
    return parked == APPLY_DONE || (parked == APPLY_FENCED && fall_back(commit));
}

/* Vote.dead must have what the batch's offsets move past. */
static bool batch_await_dead(struct commit *commit, const struct batch *batch)
{
    while (batch->dead.waiting) {
        announce_serve(commit, 10);
        admin_beat(&commit->admin);
        if (stop_asked(&commit->stop))
            return false;
    }
    return true;
}

/* Gives the batch to Postgres, and does not wait. */
static enum apply flight_send(struct commit *commit, struct batch *batch, struct error *error)
{
    if (!batch->count)
        return APPLY_DONE;
    if (!batch_await_dead(commit, batch)) {
        error_set(error, ERROR_RETRY, "a stop was asked for");
        return APPLY_RETRY;
    }
    enum apply sent = apply_send(commit, batch, 0, batch->count, error);
    if (sent == APPLY_DONE)
        commit->in_flight = batch;
    return sent;
}

/* The same, with patience. False when the batch is not to be applied now. */
static bool flight_start(struct commit *commit, struct batch *batch)
{
    struct error error;
    if (flight_send(commit, batch, &error) == APPLY_DONE)
        return true;
    bool went_on = hold(commit, 0, &error) && commit_range(commit, batch, 0, batch->count);
    batch_clear(batch);
    return went_on;
}

/* Waits for the batch in flight; `next` is sent before its results are told, so that Postgres does
 * not wait. False when `next` is not to be applied now. */
static bool flight_turn(struct commit *commit, struct batch *next)
{
    struct error error;
    struct batch *done = commit->in_flight;
    bool went_on = true;
    if (!done)
        return flight_start(commit, next);
    enum apply outcome = apply_receive(commit, done, 0, done->count, &error);
    commit->in_flight = NULL;
    if (outcome == APPLY_DONE) {
        enum apply sent = flight_send(commit, next, &error);
        commit_publish(commit, done, 0, done->count);
        went_on = sent == APPLY_DONE || flight_start(commit, next);
    } else if (outcome == APPLY_FENCED) {
        went_on = fall_back(commit);
    } else {
        went_on = (outcome == APPLY_REFUSED || hold(commit, 0, &error)) &&
                  commit_range(commit, done, 0, done->count) && flight_start(commit, next);
    }
    batch_clear(done);
    return went_on;
}

void commit_finish_in_flight(struct commit *commit)
{
    struct error error;
    struct batch *done = commit->in_flight;
    if (!done)
        return;
    commit->in_flight = NULL;
    if (apply_receive(commit, done, 0, done->count, &error) == APPLY_DONE) {
        commit_publish(commit, done, 0, done->count);
    } else {
        log_error(commit->log, LOG_WARN, "a batch is left to be read again", &error);
        commit->must_rewind = true;
    }
    batch_clear(done);
    settle_wait(commit);
}

static void commit_rewind(struct commit *commit)
{
    commit_finish_in_flight(commit);
    batch_clear(commit->reading);
    consume_rewind(commit);
}

/* What is done beside the batches, each when its time has come. */
static void commit_beside(struct commit *commit)
{
    struct error error;
    bool up = redis_is_up(commit->redis);
    announce_serve(commit, 0);
    if (!commit->is_settling)
        atomic_store(&commit->redis_check->ready,
                     up && settle_drop_stale(commit, &error) && resettle_turn(commit, &error));
    park_turn(commit);
    relay_turn(commit);
    lag_turn(commit);
    sweep_turn(commit);
    ledger_turn(commit);
}

/* What has to be done in transactions of its own before a batch is applied. */
static bool batch_has_errands(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].is_forget || batch->entries[i].is_redriven)
            return true;
    }
    return false;
}

static bool errands_run(struct commit *commit, const struct batch *batch, struct error *error)
{
    return forget_entries(commit, batch, error) && reopen_entries(commit, batch, error);
}

/* However long they take; false when a stop came first. What is in flight is finished before, since
 * nobody may apply votes while somebody is forgotten. */
static bool errands_run_patiently(struct commit *commit, const struct batch *batch)
{
    struct error error;
    if (!batch_has_errands(batch))
        return true;
    commit_finish_in_flight(commit);
    for (int attempt = 0; !commit->must_rewind && !errands_run(commit, batch, &error); attempt++) {
        if (!hold(commit, attempt, &error))
            return false;
    }
    return !commit->must_rewind;
}

/* A full batch is decoded while Postgres has the one before. One that is not full cannot be sent
 * until Postgres answers: what comes meanwhile goes with it, rather than with the next. */
static void commit_read(struct commit *commit, struct batch *batch)
{
    consume_batch(commit, batch, commit->in_flight ? 0 : FIRST_WAIT_MS);
    if (!commit->in_flight || batch->count == (size_t)commit->config->batch_size)
        return;
    apply_await(commit);
    consume_batch(commit, batch, 0);
}

static void commit_turn(struct commit *commit)
{
    struct batch *next = commit->reading;
    admin_beat(&commit->admin);
    commit_read(commit, next);
    if (commit->must_rewind || !batch_decode(commit, next) ||
        !errands_run_patiently(commit, next)) {
        commit_rewind(commit);
        return;
    }
    bool went_on = flight_turn(commit, next);
    if (!went_on)
        batch_clear(next);
    if (commit->in_flight == next)
        commit->reading = next == &commit->batches[0] ? &commit->batches[1] : &commit->batches[0];
    if (commit->must_rewind)
        commit_rewind(commit);
    else if (went_on)
        commit_beside(commit);
    if (!commit->in_flight)
        settle_wait(commit);
}

static bool commit_serve(struct commit *commit, struct error *error)
{
    if (!park_open(commit, error) ||
        !tracer_open(&commit->tracer, &commit->config->trace, commit->admin.metrics, commit->log,
                     error) ||
        !announce_open(commit, error) ||
        !admin_start(&commit->admin, commit->config->admin_listen, error) ||
        !redis_open(&commit->redis, &commit->config->redis, error) ||
        !pg_connect(&commit->pg, error) || !consume_open(commit, error))
        return false;
    atomic_store(&commit->postgres_check->ready, 1);
    LOG_EVENT(commit->log, LOG_INFO, "reading", LOG_STR("topic", TOPIC_REQUESTS),
              LOG_STR("group", commit->config->group),
              LOG_STR("admin", commit->config->admin_listen));
    while (!stop_asked(&commit->stop) && !commit->failure.code)
        commit_turn(commit);
    atomic_store(&commit->admin.draining, 1);
    LOG_EVENT(commit->log, LOG_INFO, "stopping");
    commit_finish_in_flight(commit);
    announce_serve(commit, (int)(commit->config->drain_timeout_us / 1000));
    *error = commit->failure;
    return !commit->failure.code;
}

static struct commit *commit_new(const struct commit_config *config, struct log *log)
{
    char host[64] = "";
    struct commit *commit = calloc(1, sizeof *commit);
    if (!commit)
        abort();
    gethostname(host, sizeof host - 1);
    snprintf(commit->owner, sizeof commit->owner, "%s:%d", host, (int)getpid());
    commit->config = config;
    commit->log = log;
    commit->pg = commit->side_pg = (struct pg){
        .url = config->pg.url, .name = "vote-commit", .timeout_us = config->database_timeout_us};
    commit->reading = &commit->batches[0];
    batch_open(&commit->batches[0], config->batch_size);
    batch_open(&commit->batches[1], config->batch_size);
    commit->kafka_check = admin_add_check(&commit->admin, "kafka");
    commit->postgres_check = admin_add_check(&commit->admin, "postgres");
    commit->redis_check = admin_add_check(&commit->admin, "redis");
    commit_register_metrics(commit);
    return commit;
}

static void commit_free(struct commit *commit)
{
    settle_wait(commit);
    redis_close(commit->redis);
    pg_close(&commit->pg);
    pg_close(&commit->side_pg);
    for (int i = 0; i < 2; i++)
        batch_close(&commit->batches[i]);
    for (int i = 0; i < PARTITIONS_MAX; i++)
        buf_free(&commit->positions[i].known);
    redis_batch_free(&commit->settling);
    redis_batch_free(&commit->ghosts_done);
    buf_free(&commit->settling_projects);
    buf_free(&commit->settling_requests);
    buf_free(&commit->stale_projects);
    buf_free(&commit->unsettled);
    buf_free(&commit->relay.ids);
    buf_free(&commit->parked.partitions);
    buf_free(&commit->parked.offsets);
    metrics_free(commit->admin.metrics);
    stop_close(&commit->stop);
    free(commit);
}

bool commit_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct commit *commit = commit_new(config, log);
    bool served = stop_open_within(&commit->stop, commit->config->drain_timeout_us, log, error) &&
                  commit_serve(commit, error);
    consume_close(commit);
    announce_close(commit);
    acks_end_spans(commit, &commit->parked.acks, false);
    acks_end_spans(commit, &commit->relay.acks, false);
    acks_end_spans(commit, &commit->ghosts_told, false);
    tracer_close(commit->tracer);
    admin_stop(&commit->admin);
    commit_free(commit);
    return served;
}
