/* admin.c - a daemon's admin port. SPDX-License-Identifier: Apache-2.0 */
#include "http/admin.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/process.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { BEAT_MAX_US = 15 * 1000 * 1000, ADMIN_THREADS = 4, ADMIN_CONNECTIONS = 64 };

#define OPENMETRICS_TYPE "application/openmetrics-text"

static const char json_type[] = "application/json";

static void checks_print(const struct admin *admin, struct buf *out)
{
    buf_text(out, "# HELP dependency_up Whether it answers: as in /readyz, by name.\n"
                  "# TYPE dependency_up gauge\n");
    for (size_t i = 0; i < admin->check_count; i++)
        buf_format(out, "dependency_up{dependency=\"%s\"} %d\n", admin->checks[i].name,
                   atomic_load(&admin->checks[i].ready) ? 1 : 0);
}

/* Without exemplars OpenMetrics has nothing to say that the older text does not. */
static bool metrics_are_open(const struct admin *admin, const struct http_request *request)
{
    const char *accept = http_header(request, "Accept");
    return metrics_has_exemplars(admin->metrics) && accept && strstr(accept, OPENMETRICS_TYPE);
}

static void admin_get_metrics(struct http_request *request)
{
    const struct admin *admin = request->context;
    struct buf out = {0};
    bool is_open = metrics_are_open(admin, request);
    checks_print(admin, &out);
    process_print(&out, admin->started_ms, is_open);
    if (is_open)
        metrics_print_open(admin->metrics, &out);
    else
        metrics_print(admin->metrics, &out);
    http_reply(request, 200,
               is_open ? OPENMETRICS_TYPE "; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8",
               NULL, out.data, out.size);
    buf_free(&out);
}

static void admin_get_healthz(struct http_request *request)
{
    const struct admin *admin = request->context;
    bool turns = clock_mono_us() - atomic_load(&admin->beat_us) < BEAT_MAX_US;
    const char *body =
        turns ? "{\"status\":\"ok\"}\n" : "{\"status\":\"the loop does not turn\"}\n";
    http_reply(request, turns ? 200 : 503, json_type, NULL, body, strlen(body));
}

static void admin_get_readyz(struct http_request *request)
{
    struct admin *admin = request->context;
    struct buf checks = {0}, out = {0};
    bool draining = atomic_load(&admin->draining), all = true;
    buf_char(&checks, '{');
    for (size_t i = 0; i < admin->check_count; i++) {
        bool up = atomic_load(&admin->checks[i].ready);
        all = all && up;
        buf_member_text(&checks, admin->checks[i].name, up ? "ok" : "not ready");
    }
    bool ready = !draining && (admin->is_ready ? admin->is_ready(admin) : all);
    buf_format(&out, "{\"status\":\"%s\",\"checks\":%s}}\n",
               ready      ? "ok"
               : draining ? "draining"
                          : "not ready",
               checks.data);
    http_reply(request, ready ? 200 : 503, json_type, NULL, out.data, out.size);
    buf_free(&checks);
    buf_free(&out);
}

static void admin_refuse(struct http_request *request, int status, const char *allow)
{
    const char *body = "{\"status\":\"there is /metrics, /healthz and /readyz\"}\n";
    char headers[64] = "";
    if (status == 405)
        snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    http_reply(request, status, json_type, headers, body, strlen(body));
}

static const struct http_route admin_routes[] = {
    {"GET", "/metrics", admin_get_metrics, HTTP_WAITS},
    {"GET", "/healthz", admin_get_healthz, HTTP_WAITS},
    {"GET", "/readyz", admin_get_readyz, HTTP_WAITS},
};

struct admin_check *admin_add_check(struct admin *admin, const char *name)
{
    assert(admin->check_count < ADMIN_CHECK_MAX);
    struct admin_check *check = &admin->checks[admin->check_count++];
    check->name = name;
    return check;
}

bool admin_is_up(const struct admin *admin, const char *name)
{
    for (size_t i = 0; i < admin->check_count; i++) {
        if (!strcmp(admin->checks[i].name, name))
            return atomic_load(&admin->checks[i].ready);
    }
    return false;
}

bool admin_start(struct admin *admin, const char *listen, struct error *error)
{
    admin_beat(admin);
    admin->started_ms = clock_wall_ms();
    return http_start(
        &admin->server,
        &(struct http_settings){.listen = listen,
                                .threads = ADMIN_THREADS,
                                .connections_max = ADMIN_CONNECTIONS,
                                .routes = admin_routes,
                                .route_count = sizeof admin_routes / sizeof *admin_routes,
                                .context = admin,
                                .refuse = admin_refuse},
        error);
}

void admin_stop(struct admin *admin)
{
    http_stop(admin->server);
    admin->server = NULL;
}

void admin_beat(struct admin *admin)
{
    atomic_store(&admin->beat_us, clock_mono_us());
}
