/* notify.c - the loop of vote-notify: results come from the feed, counts from the lookup, clients
 * from Socket.IO. SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"
#include "base/listen.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { SECOND_MS = 1000, EXPIRE_EVERY = 5 };

#define AT(member) .offset = offsetof(struct notify_config, member)
/* clang-format off */
const struct option notify_options[] = {
    {.name = "listen", .type = OPTION_TEXT, AT(listen), .preset = "0.0.0.0:8081",
     .argument = "HOST:PORT", .check = listen_check, .summary = "where Socket.IO listens"},
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9104",
     .argument = "HOST:PORT", .check = listen_check, .summary = "metrics and health"},
    {.name = "conflate", .type = OPTION_DURATION, AT(conflate_us), .preset = "100ms",
     .argument = "DURATION", .summary = "one public event a project in it; 0: each"},
    {.name = "max-subscriptions", .type = OPTION_INT, AT(subscriptions_max), .preset = "500",
     .argument = "N", .min = 1, .max = 100000, .summary = "projects a client may look at"},
    {.name = "database-timeout", .type = OPTION_DURATION, AT(database_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 300000000,
     .summary = "longest wait for Postgres"},
};
/* clang-format on */
const size_t notify_option_count = sizeof notify_options / sizeof *notify_options;

static void notify_on_notice(void *context, const struct notice *notice)
{
    struct notify *notify = context;
    struct project *project = project_find(notify, notice->request.project_id);
    struct result result = notice->result;
    result.request = &notice->request;
    struct span span;
    notice_span_begin(notify, &span, notice);
    /* Its own user first: a page that hears of its vote by the counts alone would count it twice.
     */
    event_private(notify, &result, &span);
    if (project)
        project_on_result(notify, project, &result, &span);
    span_end(notify->tracer, &span, clock_mono_us());
}

static void notify_on_live(void *context)
{
    projects_refresh(context);
}

static void notify_on_found(void *context, const char *project_id, const struct counts *counts,
                            bool failed)
{
    struct notify *notify = context;
    struct project *project = project_find(notify, project_id);
    if (!project)
        return;
    if (!failed) {
        project_on_counts(notify, project, counts);
        return;
    }
    project->is_asked = false;
    project->subscribers++;
    waiters_answer(notify, project, true);
    project_leave(notify, project);
}

static void notify_on_second(uv_timer_t *timer)
{
    struct notify *notify = timer->data;
    admin_beat(&notify->admin);
    atomic_store(&notify->kafka_check->ready, feed_is_up(notify->feed));
    atomic_store(&notify->postgres_check->ready, lookup_is_up(notify->lookup));
    notify_metrics_tell(notify->metrics, sio_server_stats(notify->server));
    tls_context_renew(notify->tls, notify->log);
    if (++notify->seconds % EXPIRE_EVERY == 0)
        clients_expire(notify);
}

static void notify_on_drained(struct sio_server *server)
{
    struct notify *notify = sio_server_context(server);
    uv_stop(&notify->loop);
}

static const struct sio_callbacks callbacks = {.connect = client_on_connect,
                                               .event = client_on_event,
                                               .disconnect = client_on_disconnect,
                                               .drained = notify_on_drained};

/* Sends clients away over half of what is left of the drain timeout, evenly, so that they do not
 * come back all at once. */
static void notify_on_leaving(uv_timer_t *timer)
{
    struct notify *notify = timer->data;
    const struct notify_config *config = notify->config;
    sio_server_drain(notify->server, (config->drain.timeout_us - config->drain.delay_us) / 2);
}

/* The first signal makes us not ready; until balancers have seen it, clients still come and are
 * served. The second sends everybody away at once. */
static void notify_on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct notify *notify = handle->data;
    LOG_EVENT(notify->log, LOG_INFO, "stopping");
    atomic_store(&notify->admin.draining, 1);
    if (notify->stops++) {
        uv_timer_stop(&notify->leaving);
        sio_server_drain(notify->server, 0);
    } else {
        uint64_t delay_ms = (uint64_t)notify->config->drain.delay_us / 1000;
        uv_timer_start(&notify->leaving, notify_on_leaving, delay_ms, 0);
    }
}

static void handles_open(struct notify *notify)
{
    uv_loop_t *loop = &notify->loop;
    signal(SIGPIPE, SIG_IGN);
    if (uv_timer_init(loop, &notify->second) || uv_timer_init(loop, &notify->cooling) ||
        uv_timer_init(loop, &notify->leaving) || uv_signal_init(loop, &notify->terminate) ||
        uv_signal_init(loop, &notify->interrupt))
        abort();
    notify->second.data = notify->cooling.data = notify->leaving.data = notify;
    notify->terminate.data = notify->interrupt.data = notify;
    uv_timer_start(&notify->second, notify_on_second, 0, SECOND_MS);
    uv_signal_start(&notify->terminate, notify_on_signal, SIGTERM);
    uv_signal_start(&notify->interrupt, notify_on_signal, SIGINT);
}

static void handles_close(struct notify *notify)
{
    uv_close((uv_handle_t *)&notify->second, NULL);
    uv_close((uv_handle_t *)&notify->cooling, NULL);
    uv_close((uv_handle_t *)&notify->leaving, NULL);
    uv_close((uv_handle_t *)&notify->terminate, NULL);
    uv_close((uv_handle_t *)&notify->interrupt, NULL);
}

/* Each client is a descriptor: as many as the system lets us have. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool notify_serve(struct notify *notify, struct error *error)
{
    const struct notify_config *config = notify->config;
    if (!tracer_open(&notify->tracer, &config->trace, notify->admin.metrics, notify->log, error) ||
        !admin_start(&notify->admin, config->admin_listen, error) ||
        !tls_context_open(&notify->tls, &config->tls, error) ||
        !sio_transport_open(&notify->transport, notify->server, &notify->loop, config->listen,
                            notify->tls, error))
        return false;
    LOG_EVENT(notify->log, LOG_INFO, "listening", LOG_STR("address", config->listen),
              LOG_STR("admin", config->admin_listen));
    uv_run(&notify->loop, UV_RUN_DEFAULT);
    return true;
}

static struct notify *notify_new(const struct notify_config *config, struct log *log)
{
    struct notify *notify = calloc(1, sizeof *notify);
    if (!notify || uv_loop_init(&notify->loop))
        abort();
    notify->config = config;
    notify->log = log;
    table_init(&notify->projects);
    notify->kafka_check = admin_add_check(&notify->admin, "kafka");
    notify->postgres_check = admin_add_check(&notify->admin, "postgres");
    notify->admin.metrics = metrics_new();
    notify->metrics = notify_metrics_new(notify->admin.metrics);
    notify->tokens = token_cache_new(&config->tokens.keys);
    notify->server = sio_server_new(&config->sio, &callbacks, notify);
    notify->everyone = sio_namespace_add(notify->server, "/");
    handles_open(notify);
    notify->lookup = lookup_open(config, log, &notify->loop, notify_on_found, notify);
    notify->feed =
        feed_open(&config->kafka, log, &notify->loop, notify_on_notice, notify_on_live, notify);
    return notify;
}

static void notify_free(struct notify *notify)
{
    feed_close(notify->feed);
    lookup_close(notify->lookup);
    handles_close(notify);
    sio_transport_close(notify->transport);
    tls_context_close(notify->tls);
    sio_server_free(notify->server);
    uv_run(&notify->loop, UV_RUN_DEFAULT);
    tracer_close(notify->tracer);
    admin_stop(&notify->admin);
    projects_free(notify);
    token_cache_free(notify->tokens);
    notify_metrics_free(notify->metrics);
    metrics_free(notify->admin.metrics);
    uv_loop_close(&notify->loop);
    free(notify);
}

bool notify_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct notify_config *settings = config;
    if (!token_config_settle(&settings->tokens, error) || !drain_check(&settings->drain, error))
        return false;
    descriptors_raise();
    struct notify *notify = notify_new(settings, log);
    bool served = notify_serve(notify, error);
    notify_free(notify);
    return served;
}
