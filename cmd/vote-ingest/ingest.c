/* ingest.c - starts the parts of vote-ingest, waits for the stop, ends them in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/stop.h"
#include "vote/scripts.h"

#include <stdlib.h>
#include <string.h>

enum { TURN_US = 1000 * 1000 };

static const char *const unknown_choices[] = {"reject", "create", NULL};

#define AT(member) .offset = offsetof(struct ingest_config, member)
/* clang-format off */
const struct option ingest_options[] = {
    {.name = "listen", .type = OPTION_TEXT, AT(listen), .preset = "0.0.0.0:8080",
     .argument = "HOST:PORT", .summary = "where the API listens"},
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9101",
     .argument = "HOST:PORT", .summary = "metrics and health"},
    {.name = "jwt-secret", .type = OPTION_TEXT, AT(jwt_secret),
     .flags = OPTION_SECRET | OPTION_REQUIRED, .summary = "what HS256 tokens are signed with"},
    {.name = "unknown-project", .type = OPTION_CHOICE, AT(unknown_project), .preset = "reject",
     .argument = "WHAT", .choices = unknown_choices, .summary = "reject it or create it"},
    {.name = "threads", .type = OPTION_INT, AT(threads), .preset = "256", .argument = "N", .min = 1,
     .max = 4096, .summary = "connections served at once"},
    {.name = "redis-connections", .type = OPTION_INT, AT(redis_connections), .preset = "16",
     .argument = "N", .min = 1, .max = POOL_MAX, .summary = "connections to Redis"},
    {.name = "database-connections", .type = OPTION_INT, AT(database_connections), .preset = "4",
     .argument = "N", .min = 1, .max = POOL_MAX, .summary = "connections to Postgres"},
    {.name = "kafka-timeout", .type = OPTION_DURATION, AT(kafka_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 300000000,
     .summary = "longest wait for Kafka's acknowledgement"},
    {.name = "drain-timeout", .type = OPTION_DURATION, AT(drain_timeout_us), .preset = "10s",
     .argument = "DURATION", .summary = "longest wait for requests in hand at the stop"},
};
/* clang-format on */
const size_t ingest_option_count = sizeof ingest_options / sizeof *ingest_options;

static const struct http_route ingest_routes[] = {
    {"POST", "/api/votes", api_post_vote},
    {"GET", "/api/votes/status/{}", api_get_status},
    {"GET", "/api/projects/{}", api_get_project},
};

static void ingest_register_metrics(struct ingest *ingest)
{
    static const char *const labels[] = {"action=\"created\"", "action=\"changed\"",
                                         "action=\"removed\"", "action=\"unchanged\""};
    struct metrics *metrics = ingest->admin.metrics = metrics_new();
    for (int i = 0; i < 4; i++)
        ingest->metrics.accepted[i] = metrics_counter(
            metrics, "vote_accepted_total", "Votes that Kafka has acknowledged.", labels[i]);
    ingest->metrics.refused_client = metrics_counter(
        metrics, "vote_refused_total", "Calls answered with an error.", "class=\"client\"");
    ingest->metrics.refused_server = metrics_counter(
        metrics, "vote_refused_total", "Calls answered with an error.", "class=\"server\"");
    ingest->metrics.latency_us = metrics_latency(metrics, "vote_accept_duration_seconds",
                                                 "From the request to the answer.", NULL);
    ingest->metrics.kafka_us = metrics_latency(metrics, "vote_kafka_ack_duration_seconds",
                                               "From the send to Kafka's acknowledgement.", NULL);
}

static void ingest_make_pools(struct ingest *ingest)
{
    const struct ingest_config *config = ingest->config;
    pool_init(&ingest->redis_pool);
    pool_init(&ingest->pg_pool);
    for (int64_t i = 0; i < config->redis_connections; i++) {
        struct ingest_redis *redis = calloc(1, sizeof *redis);
        if (!redis)
            abort();
        *redis = (struct ingest_redis){.client = {.config = &config->redis},
                                       .vote = {.source = lua_vote},
                                       .undo = {.source = lua_undo},
                                       .load = {.source = lua_load}};
        pool_give(&ingest->redis_pool, redis);
    }
    for (int64_t i = 0; i < config->database_connections; i++) {
        struct pg *pg = calloc(1, sizeof *pg);
        if (!pg)
            abort();
        *pg = (struct pg){.url = config->pg.url, .name = "vote-ingest"};
        pool_give(&ingest->pg_pool, pg);
    }
    for (size_t i = 0; i < LOAD_LOCKS; i++)
        pthread_mutex_init(&ingest->load_locks[i], NULL);
}

static void ingest_free_pools(struct ingest *ingest)
{
    struct ingest_redis *redis;
    struct pg *pg;
    while ((redis = pool_take_idle(&ingest->redis_pool))) {
        redis_close(&redis->client);
        free(redis);
    }
    while ((pg = pool_take_idle(&ingest->pg_pool))) {
        pg_close(pg);
        free(pg);
    }
    for (size_t i = 0; i < LOAD_LOCKS; i++)
        pthread_mutex_destroy(&ingest->load_locks[i]);
    pool_destroy(&ingest->redis_pool);
    pool_destroy(&ingest->pg_pool);
}

/* Whether Redis and Kafka can be reached just now, for /readyz. */
static void ingest_probe(struct ingest *ingest)
{
    struct error error;
    const struct rd_kafka_metadata *metadata;
    struct ingest_redis *redis = pool_take(&ingest->redis_pool);
    atomic_store(&ingest->redis_check->ready, redis_answers(&redis->client, &error));
    pool_give(&ingest->redis_pool, redis);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(ingest->producer, TOPIC_REQUESTS, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(ingest->producer, 0, topic, &metadata, 1000);
    bool found = !code && metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0;
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    atomic_store(&ingest->kafka_check->ready, found);
}

static bool ingest_serve(struct ingest *ingest, struct stop *stop, struct error *error)
{
    const struct ingest_config *config = ingest->config;
    if (!publish_open(ingest, error) || !admin_start(&ingest->admin, config->admin_listen, error))
        return false;
    const struct http_settings settings = {.listen = config->listen,
                                           .threads = (int)config->threads,
                                           .routes = ingest_routes,
                                           .route_count =
                                               sizeof ingest_routes / sizeof *ingest_routes,
                                           .context = ingest,
                                           .refuse = problem_refuse};
    if (!http_start(&ingest->http, &settings, error))
        return false;
    LOG_EVENT(ingest->log, LOG_INFO, "listening", LOG_STR("address", config->listen),
              LOG_STR("admin", config->admin_listen));
    do {
        admin_beat(&ingest->admin);
        ingest_probe(ingest);
    } while (!stop_wait(stop, -1, clock_mono_us() + TURN_US));
    return true;
}

bool ingest_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct stop stop;
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest)
        abort();
    ingest->config = config;
    ingest->log = log;
    ingest->kafka_check = admin_add_check(&ingest->admin, "kafka");
    ingest->redis_check = admin_add_check(&ingest->admin, "redis");
    ingest_register_metrics(ingest);
    ingest_make_pools(ingest);
    bool served = stop_open(&stop, error) && ingest_serve(ingest, &stop, error);
    LOG_EVENT(log, LOG_INFO, "stopping");
    atomic_store(&ingest->admin.draining, 1);
    http_stop(
        ingest->http); /* requests in hand are answered: each waits for its own acknowledgement */
    publish_close(ingest);
    admin_stop(&ingest->admin);
    ingest_free_pools(ingest);
    metrics_free(ingest->admin.metrics);
    stop_close(&stop);
    free(ingest);
    return served;
}
