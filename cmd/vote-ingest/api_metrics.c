/* api_metrics.c - GET /api/votes/metrics: figures over all instances, and GET /openapi.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "vote/openapi.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAG_FRESH_MS = 30 * 1000 };

/* What the hash vote:metrics comes to. */
struct figures {
    int64_t votes, errors, latency_sum_us, last_latency_us;
    int64_t queue_depth;
    double worker_lag_s;
    struct histogram latency_us;
};

/* "records,lag_ms,told_at_ms" of one partition, as vote-commit tells it. */
static void figures_read_lag(struct figures *figures, const char *value)
{
    int64_t records, lag_ms, told_at_ms;
    if (sscanf(value, "%" SCNd64 ",%" SCNd64 ",%" SCNd64, &records, &lag_ms, &told_at_ms) != 3 ||
        told_at_ms < clock_wall_ms() - LAG_FRESH_MS)
        return;
    if (__builtin_add_overflow(figures->queue_depth, records, &figures->queue_depth))
        figures->queue_depth = INT64_MAX; /* nobody of ours has written that */
    if ((double)lag_ms / 1000 > figures->worker_lag_s)
        figures->worker_lag_s = (double)lag_ms / 1000;
}

static void figures_read_field(struct figures *figures, const char *field, const char *value)
{
    const struct {
        const char *name;
        int64_t *member;
    } members[] = {{"total_votes", &figures->votes},
                   {"total_errors", &figures->errors},
                   {"latency_sum_us", &figures->latency_sum_us},
                   {"last_latency_us", &figures->last_latency_us}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!strcmp(field, members[i].name))
            *members[i].member = strtoll(value, NULL, 10);
    }
    if (!strncmp(field, "l:", 2)) {
        long bucket = strtol(field + 2, NULL, 10);
        if (bucket >= 0 && bucket < HISTOGRAM_BUCKETS)
            histogram_add_bucket(&figures->latency_us, (size_t)bucket, strtoull(value, NULL, 10));
    } else if (!strncmp(field, "lag:", 4)) {
        figures_read_lag(figures, value);
    }
}

static bool figures_read(struct ingest *ingest, struct figures *figures, struct error *error)
{
    struct redis_batch batch = {0};
    redis_add(&batch, KEY_METRICS, "HGETALL " KEY_METRICS);
    bool answered = redis_run(ingest->redis, &batch, error);
    const redisReply *reply = answered ? redis_reply(&batch, 0) : NULL;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        figures_read_field(figures, reply->element[i]->str, reply->element[i + 1]->str);
    redis_batch_free(&batch);
    return answered;
}

static double milliseconds(int64_t us)
{
    return (double)us / 1000;
}

static void figures_encode(const struct figures *figures, struct buf *body)
{
    const struct histogram *latency = &figures->latency_us;
    double asked = (double)figures->votes + (double)figures->errors;
    buf_char(body, '{');
    buf_member_int(body, "total_votes", figures->votes);
    buf_member_int(body, "total_errors", figures->errors);
    buf_member_double(body, "success_rate", asked > 0 ? (double)figures->votes / asked : 1);
    buf_member_double(body, "avg_latency_ms",
                      figures->votes ? milliseconds(figures->latency_sum_us / figures->votes) : 0);
    buf_member_double(body, "last_latency_ms", milliseconds(figures->last_latency_us));
    buf_member_double(body, "p50_latency_ms", milliseconds(histogram_quantile(latency, 0.50)));
    buf_member_double(body, "p95_latency_ms", milliseconds(histogram_quantile(latency, 0.95)));
    buf_member_double(body, "p99_latency_ms", milliseconds(histogram_quantile(latency, 0.99)));
    buf_member_int(body, "queue_depth", figures->queue_depth);
    buf_member_double(body, "worker_lag_seconds", figures->worker_lag_s);
    buf_char(body, '}');
}

void api_get_metrics(struct http_request *http)
{
    struct ingest *ingest = http->context;
    struct token token;
    struct buf body = {0};
    struct error error;
    if (!auth_check(http, &token))
        return;
    struct figures *figures = calloc(1, sizeof *figures);
    if (!figures)
        abort();
    if (figures_read(ingest, figures, &error)) {
        figures_encode(figures, &body);
        http_reply(http, 200, "application/json", "Cache-Control: no-store\r\n", body.data,
                   body.size);
    } else {
        problem_unavailable(http, &error);
    }
    buf_free(&body);
    free(figures);
}

void api_get_openapi(struct http_request *http)
{
    http_reply(http, 200, "application/json", "Cache-Control: max-age=300\r\n", openapi_json,
               strlen(openapi_json));
}
