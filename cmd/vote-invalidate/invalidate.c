/* invalidate.c - the loop of vote-invalidate: read results, purge what is due, then move offsets.
 *
 * Results are announced after their commit, so a purge always follows it. A crash anywhere: offsets
 * stand before every key that was not purged, and the next owner purges them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include "base/clock.h"
#include "base/listen.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum { WAIT_MAX_MS = 100, URL_MAX = 250 };

#define AT(member) .offset = offsetof(struct invalidate_config, member)
/* clang-format off */
const struct option invalidate_options[] = {
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9103",
     .argument = "HOST:PORT", .check = listen_check, .summary = "metrics and health"},
    {.name = "group", .type = OPTION_TEXT, AT(group), .preset = "vote-invalidate",
     .argument = "NAME", .summary = "consumer group"},
    {.name = "debounce", .type = OPTION_DURATION, AT(debounce_us), .preset = "2s",
     .argument = "DURATION", .summary = "purge so long after a key's last change"},
    {.name = "max-wait", .type = OPTION_DURATION, AT(max_wait_us), .preset = "5s",
     .argument = "DURATION", .summary = "and never later than this after its first"},
    {.name = "double-delete", .type = OPTION_DURATION, AT(double_us), .preset = "0",
     .argument = "DURATION", .summary = "purge once more so long after; 0: do not"},
    {.name = "keys-file", .type = OPTION_TEXT, AT(keys_file), .argument = "FILE",
     .summary = "templates, instead of those built in"},
    {.name = "key", .type = OPTION_LINES, AT(keys), .argument = "TEMPLATE",
     .summary = "a template more, as a line of it; repeatable"},
    {.name = "batch-size", .type = OPTION_INT, AT(batch_size), .preset = "500", .argument = "N",
     .min = 1, .max = 100000, .summary = "most commands to Redis at a time"},
    {.name = "scan-max", .type = OPTION_INT, AT(scan_max), .preset = "1000000", .argument = "N",
     .min = 1000, .max = INT64_C(1000000000), .summary = "most keys a pattern looks at"},
    {.name = "http-url", .type = OPTION_LINES, AT(http_urls), .argument = "URL",
     .flags = OPTION_URL, .summary = "an HTTP cache to purge; repeatable"},
    {.name = "http-host", .type = OPTION_TEXT, AT(http_host), .argument = "NAME",
     .summary = "Host header of its calls"},
    {.name = "http-soft", .type = OPTION_SWITCH, AT(http_soft),
     .summary = "ask for a soft purge: stale answers while refilling"},
    {.name = "http-timeout", .type = OPTION_DURATION, AT(http_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 60000000,
     .summary = "longest wait for a call"},
    {.name = "redis-timeout", .type = OPTION_DURATION, AT(redis.timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 1000, .max = 60000000, .summary = "longest wait for Redis"},
    {.name = "check-interval", .type = OPTION_DURATION, AT(check_interval_us), .preset = "60s",
     .argument = "DURATION", .summary = "how often caches are compared; 0: never"},
    {.name = "check-sample", .type = OPTION_INT, AT(check_sample), .preset = "100",
     .argument = "N", .min = 1, .max = 100000, .summary = "projects compared each time"},
    {.name = "drain-timeout", .type = OPTION_DURATION, AT(drain_timeout_us), .preset = "10s",
     .argument = "DURATION", .summary = "longest wait for purges at the stop"},
};
/* clang-format on */
const size_t invalidate_option_count = sizeof invalidate_options / sizeof *invalidate_options;

static bool templates_load(struct invalidate *invalidate, struct error *error)
{
    const struct invalidate_config *config = invalidate->config;
    struct templates *templates = &invalidate->templates;
    bool loaded = config->keys_file
                      ? templates_add_file(templates, config->keys_file, error)
                      : templates_add_lines(templates, "built in", default_keys, error);
    return loaded &&
           (!config->keys || templates_add_lines(templates, "--key", config->keys, error));
}

/* A name is a URL without the slash at its end: what is purged starts with one. */
static bool target_add(struct invalidate *invalidate, char *url, struct error *error)
{
    char shown[SECRET_SHOWN_SIZE];
    size_t size = strlen(url);
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        strpbrk(url, " \"\\@?#") || size > URL_MAX)
        return error_set(
            error, ERROR_CONFIG,
            "--http-url \"%s\": it is http://HOST[:PORT] or https://..., without user, "
            "query or blanks",
            secret_show(url, shown));
    if (invalidate->target_count == TARGETS_MAX)
        return error_set(error, ERROR_CONFIG, "--http-url: there may be %d", TARGETS_MAX - 1);
    if (url[size - 1] == '/')
        url[size - 1] = '\0';
    int number = invalidate->target_count++;
    invalidate->targets[number].name = url;
    invalidate->http_checks[number] = admin_add_check(&invalidate->admin, url);
    atomic_store(&invalidate->http_checks[number]->ready, 1);
    return true;
}

static bool targets_load(struct invalidate *invalidate, struct error *error)
{
    char *rest = NULL;
    invalidate->targets[TARGET_REDIS].name = "redis";
    invalidate->target_count = 1;
    if (!invalidate->config->http_urls)
        return true;
    invalidate->http_urls = strdup(invalidate->config->http_urls);
    if (!invalidate->http_urls)
        abort();
    for (char *url = strtok_r(invalidate->http_urls, "\n", &rest); url;
         url = strtok_r(NULL, "\n", &rest)) {
        if (!target_add(invalidate, url, error))
            return false;
    }
    return true;
}

static bool config_check(const struct invalidate_config *config, struct error *error)
{
    return config->max_wait_us >= config->debounce_us ||
           error_set(error, ERROR_CONFIG, "--max-wait is shorter than --debounce");
}

/* Reads until something is due, but not for longer than a turn. */
static void invalidate_turn(struct invalidate *invalidate)
{
    int64_t next_us = purge_next_us(invalidate);
    int wait_ms = next_us == INT64_MAX ? WAIT_MAX_MS : clock_until_ms(next_us);
    admin_beat(&invalidate->admin);
    consume_turn(invalidate, wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
    purge_turn(invalidate, false);
    consume_commit(invalidate, false);
    atomic_store(&invalidate->redis_check->ready,
                 redis_is_up(invalidate->redis) && !invalidate->targets[TARGET_REDIS].failures);
}

/* What waits is purged at once; what fails is tried again until the drain is over. */
static void invalidate_drain(struct invalidate *invalidate)
{
    int64_t until_us = clock_mono_us() + invalidate->config->drain_timeout_us / 2;
    purge_turn(invalidate, true);
    while (invalidate->dirty.table.count && clock_mono_us() < until_us &&
           stop_asked(&invalidate->stop) < 2) {
        int64_t next_us = purge_next_us(invalidate);
        stop_wait(&invalidate->stop, -1, next_us < until_us ? next_us : until_us);
        purge_turn(invalidate, true);
    }
    if (invalidate->dirty.table.count)
        LOG_EVENT(invalidate->log, LOG_WARN, "keys are left to the next start",
                  LOG_INT("keys", (int64_t)invalidate->dirty.table.count));
    consume_commit(invalidate, true);
}

static bool invalidate_serve(struct invalidate *invalidate, struct error *error)
{
    const struct invalidate_config *config = invalidate->config;
    if (!tracer_open(&invalidate->tracer, &config->trace, invalidate->admin.metrics,
                     invalidate->log, error) ||
        !redis_open(&invalidate->redis, &config->redis, error) ||
        !admin_start(&invalidate->admin, config->admin_listen, error) ||
        !consume_open(invalidate, error))
        return false;
    if (config->check_interval_us)
        invalidate->sampler = sampler_open(invalidate);
    LOG_EVENT(invalidate->log, LOG_INFO, "reading", LOG_STR("group", config->group),
              LOG_INT("templates", (int64_t)invalidate->templates.count),
              LOG_STR("admin", config->admin_listen));
    while (!stop_asked(&invalidate->stop) && !invalidate->failure.code)
        invalidate_turn(invalidate);
    atomic_store(&invalidate->admin.draining, 1);
    LOG_EVENT(invalidate->log, LOG_INFO, "stopping");
    invalidate_drain(invalidate);
    *error = invalidate->failure;
    return !invalidate->failure.code;
}

static struct invalidate *invalidate_new(const struct invalidate_config *config, struct log *log)
{
    struct invalidate *invalidate = calloc(1, sizeof *invalidate);
    if (!invalidate)
        abort();
    invalidate->config = config;
    invalidate->log = log;
    invalidate->kafka_check = admin_add_check(&invalidate->admin, "kafka");
    invalidate->redis_check = admin_add_check(&invalidate->admin, "redis");
    invalidate->http = http_new(config);
    progress_init(&invalidate->progress);
    spans_init(invalidate);
    dirty_init(&invalidate->dirty, &invalidate->progress, config->debounce_us, config->max_wait_us,
               config->double_us);
    return invalidate;
}

static void invalidate_free(struct invalidate *invalidate)
{
    sampler_close(invalidate->sampler);
    consume_close(invalidate);
    spans_give_up(invalidate);
    tracer_close(invalidate->tracer);
    admin_stop(&invalidate->admin);
    redis_close(invalidate->redis);
    http_free(invalidate->http);
    dirty_free(&invalidate->dirty);
    templates_free(&invalidate->templates);
    free(invalidate->http_urls);
    metrics_free(invalidate->admin.metrics);
    stop_close(&invalidate->stop);
    free(invalidate);
}

bool invalidate_run(void *config, const struct options *options, struct log *log,
                    struct error *error)
{
    (void)options;
    if (!config_check(config, error))
        return false;
    struct invalidate *invalidate = invalidate_new(config, log);
    bool served = templates_load(invalidate, error) && targets_load(invalidate, error);
    if (served) {
        invalidate_register_metrics(invalidate);
        served =
            stop_open_within(&invalidate->stop, invalidate->config->drain_timeout_us, log, error) &&
            invalidate_serve(invalidate, error);
    }
    invalidate_free(invalidate);
    return served;
}
