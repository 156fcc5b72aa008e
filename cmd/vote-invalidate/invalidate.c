/* invalidate.c - the loop of vote-invalidate: reads what was committed, waits for it to settle,
 * purges, and only then lets Kafka forget it.
 *
 * One thread does all of it, so that nothing changes while a purge is under way. What cannot be
 * purged now is held and tried again; results are read all the same, since all they need is one
 * entry for each project and user. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    TURN_MS = 100,
    FIRST_RETRY_US = 100 * 1000,
    LONGEST_RETRY_US = 5 * 1000 * 1000,
    OPEN_AFTER = 3
};

#define AT(member) .offset = offsetof(struct invalidate_config, member)
/* clang-format off */
const struct option invalidate_options[] = {
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9103",
     .argument = "HOST:PORT", .summary = "metrics and health"},
    {.name = "group", .type = OPTION_TEXT, AT(group), .preset = "vote-invalidate",
     .argument = "NAME", .summary = "consumer group"},
    {.name = "debounce", .type = OPTION_DURATION, AT(times.debounce_us), .preset = "2s",
     .argument = "DURATION", .summary = "purge so long after the last change"},
    {.name = "max-wait", .type = OPTION_DURATION, AT(times.max_wait_us), .preset = "5s",
     .argument = "DURATION", .summary = "and never later after the first"},
    {.name = "double-delete", .type = OPTION_DURATION, AT(times.second_us), .preset = "0s",
     .argument = "DURATION", .summary = "purge again so long after a purge; 0s: not"},
    {.name = "keys-file", .type = OPTION_TEXT, AT(keys_file), .argument = "FILE",
     .summary = "rules instead of the shipped ones"},
    {.name = "key", .type = OPTION_LINES, AT(keys), .argument = "TEMPLATE",
     .summary = "one more key, like cache:x:{project_id}; repeatable"},
    {.name = "scan-max", .type = OPTION_INT, AT(scan_max), .preset = "1000000", .argument = "N",
     .min = 1000, .max = INT64_C(1000000000), .summary = "keys that a pattern may look at"},
    {.name = "purge-url", .type = OPTION_LINES, AT(purge_urls), .argument = "URL",
     .summary = "an HTTP cache that takes PURGE; repeatable"},
    {.name = "purge-timeout", .type = OPTION_DURATION, AT(purge_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 60000000,
     .summary = "longest wait for its answer"},
    {.name = "soft-purge", .type = OPTION_SWITCH, AT(soft_purge), .preset = "false",
     .summary = "with the header Soft-Purge: 1"},
    {.name = "drain-timeout", .type = OPTION_DURATION, AT(drain_timeout_us), .preset = "10s",
     .argument = "DURATION", .summary = "longest time for the last purges at the stop"},
};
/* clang-format on */
const size_t invalidate_option_count = sizeof invalidate_options / sizeof *invalidate_options;

/* --- Backing off ----------------------------------------------------------------------------- */

bool backoff_is_over(const struct backoff *backoff)
{
    return clock_mono_us() >= backoff->retry_us;
}

bool backoff_is_open(const struct backoff *backoff)
{
    return backoff->failures >= OPEN_AFTER;
}

void backoff_tell(struct backoff *backoff, bool fine)
{
    if (fine) {
        *backoff = (struct backoff){0};
        return;
    }
    int64_t wait_us = FIRST_RETRY_US;
    for (int i = 0; i < backoff->failures && wait_us < LONGEST_RETRY_US; i++)
        wait_us *= 2;
    backoff->failures++;
    if (wait_us > LONGEST_RETRY_US)
        wait_us = LONGEST_RETRY_US;
    backoff->retry_us = clock_mono_us() + wait_us / 2 + random() % (wait_us / 2);
}

/* --- Purging --------------------------------------------------------------------------------- */

static void purge(struct invalidate *invalidate, bool all)
{
    struct entries taken = TAILQ_HEAD_INITIALIZER(taken);
    const struct entry *entry;
    while (dirty_take(invalidate->dirty, clock_mono_us(), all, PURGE_MAX, &taken) > 0) {
        bool redis = purge_redis(invalidate, &taken), http = purge_http(invalidate, &taken);
        metric_add(invalidate->metrics.rounds, 1);
        if (!redis || !http) {
            dirty_again(invalidate->dirty, &taken);
            return;
        }
        TAILQ_FOREACH (entry, &taken, by_first)
            histogram_record(invalidate->metrics.latency_us,
                          (clock_wall_ms() - entry->committed_at_ms) * 1000);
        dirty_done(invalidate->dirty, &taken, clock_mono_us());
    }
}

/* Everything that waits at once, as long as the stop leaves time for it. */
static void drain(struct invalidate *invalidate)
{
    int64_t until_us = clock_mono_us() + invalidate->config->drain_timeout_us;
    atomic_store(&invalidate->admin.draining, 1);
    LOG_EVENT(invalidate->log, LOG_INFO, "stopping",
              LOG_INT("waiting", (int64_t)dirty_count(invalidate->dirty)));
    while (dirty_count(invalidate->dirty) > 0 && clock_mono_us() < until_us &&
           stop_asked(&invalidate->stop) < 2) {
        purge(invalidate, true);
        clock_sleep_us(TURN_MS * 100);
    }
}

static void serve(struct invalidate *invalidate)
{
    LOG_EVENT(invalidate->log, LOG_INFO, "started",
              LOG_STR("admin", invalidate->config->admin_listen),
              LOG_INT("rules", (int64_t)invalidate->templates.count));
    while (!stop_asked(&invalidate->stop)) {
        int64_t due_us = dirty_due(invalidate->dirty);
        int wait_ms = due_us == INT64_MAX ? TURN_MS : clock_until_ms(due_us);
        consume_read(invalidate, wait_ms < TURN_MS ? wait_ms : TURN_MS);
        purge(invalidate, false);
        consume_commit(invalidate, false);
        metric_set(invalidate->metrics.pending, (int64_t)dirty_count(invalidate->dirty));
        atomic_store(&invalidate->kafka_check->ready,
                     invalidate->kafka_check->ready && !invalidate->kafka_health.down);
        if (backoff_is_over(&invalidate->redis_backoff) && !invalidate->redis_backoff.failures)
            atomic_store(&invalidate->redis_check->ready, redis_is_up(invalidate->redis));
        admin_beat(&invalidate->admin);
    }
    drain(invalidate);
}

/* --- Start and end --------------------------------------------------------------------------- */

static bool open_templates(struct invalidate *invalidate, struct error *error)
{
    const struct invalidate_config *config = invalidate->config;
    char rule[512];
    if (!templates_add_file(&invalidate->templates, config->keys_file, error))
        return false;
    for (const char *at = config->keys; at && *at; at += strcspn(at, "\n"), at += *at == '\n') {
        snprintf(rule, sizeof rule, "key %.*s", (int)strcspn(at, "\n"), at);
        if (!templates_add(&invalidate->templates, rule, error))
            return error_wrap(error, "--key");
    }
    return true;
}

static void register_metrics(struct invalidate *invalidate)
{
    static const char *const labels[TARGETS] = {"kind=\"key\"", "kind=\"tag\"", "kind=\"pattern\"",
                                                "kind=\"url\"", "kind=\"surrogate\""};
    struct invalidate_metrics *metrics = &invalidate->metrics;
    struct metrics *all = invalidate->admin.metrics = metrics_new();
    for (int i = 0; i < TARGETS; i++)
        metrics->purged[i] =
            metrics_counter(all, "vote_invalidate_purged_total", "Keys purged.", labels[i]);
    metrics->redis_failures = metrics_counter(all, "vote_invalidate_failures_total",
                                              "Purges that were held.", "target=\"redis\"");
    metrics->http_failures = metrics_counter(all, "vote_invalidate_failures_total",
                                             "Purges that were held.", "target=\"http\"");
    metrics->pending = metrics_gauge(all, "vote_invalidate_pending",
                                     "Projects and users that wait for a purge.", NULL, 1);
    metrics->rounds = metrics_counter(all, "vote_invalidate_rounds_total", "Purges.", NULL);
    metrics->breakers = metrics_gauge(all, "vote_invalidate_open_breakers",
                                      "HTTP caches that failed several times in a row.", NULL, 1);
    metrics->lag = metrics_gauge(all, "vote_invalidate_lag_records",
                                 "Results whose caches are not purged.", NULL, 1);
    metrics->latency_us = metrics_latency(all, "vote_invalidate_latency_seconds",
                                          "From the first commit to the purge.", NULL);
}

static bool invalidate_open(struct invalidate *invalidate, struct error *error)
{
    const struct invalidate_config *config = invalidate->config;
    invalidate->kafka_check = admin_add_check(&invalidate->admin, "kafka");
    invalidate->redis_check = admin_add_check(&invalidate->admin, "redis");
    if (config->purge_urls) {
        invalidate->http_check = admin_add_check(&invalidate->admin, "http");
        atomic_store(&invalidate->http_check->ready, 1); /* until it says otherwise */
    }
    register_metrics(invalidate);
    if (config->times.max_wait_us < config->times.debounce_us)
        return error_set(error, ERROR_CONFIG, "--max-wait is shorter than --debounce");
    return open_templates(invalidate, error) && http_open(invalidate, error) &&
           redis_open(&invalidate->redis, &config->redis, error) &&
           consume_open(invalidate, error) &&
           admin_start(&invalidate->admin, config->admin_listen, error);
}

bool invalidate_run(void *config, const struct options *options, struct log *log,
                    struct error *error)
{
    (void)options;
    struct invalidate *invalidate = calloc(1, sizeof *invalidate);
    if (!invalidate)
        abort();
    invalidate->config = config;
    invalidate->log = log;
    if (!stop_open(&invalidate->stop, error)) {
        free(invalidate);
        return false;
    }
    invalidate->dirty = dirty_new(&invalidate->config->times);
    bool opened = invalidate_open(invalidate, error);
    if (opened)
        serve(invalidate);
    consume_close(invalidate);
    redis_close(invalidate->redis);
    http_close(invalidate);
    admin_stop(&invalidate->admin);
    metrics_free(invalidate->admin.metrics);
    templates_free(&invalidate->templates);
    dirty_free(invalidate->dirty);
    stop_close(&invalidate->stop);
    free(invalidate);
    return opened;
}
