/* ingest.c - starts the parts of vote-ingest, waits for the stop, ends them in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"
#include "base/listen.h"

#include <stdlib.h>
#include <string.h>

enum { TURN_US = 1000 * 1000, IN_HAND_US = 20 * 1000, PROBE_TIMEOUT_MS = 1000 };

static const char *const unknown_choices[] = {"reject", "create", NULL};

#define AT(member) .offset = offsetof(struct ingest_config, member)
/* clang-format off */
const struct option ingest_options[] = {
    {.name = "listen", .type = OPTION_TEXT, AT(listen), .preset = "0.0.0.0:8080",
     .argument = "HOST:PORT", .check = listen_check, .summary = "where the API listens"},
    {.name = "admin-listen", .type = OPTION_TEXT, AT(admin_listen), .preset = "0.0.0.0:9101",
     .argument = "HOST:PORT", .check = listen_check, .summary = "metrics and health"},
    {.name = "cors-origins", .type = OPTION_TEXT, AT(cors_origins), .argument = "ORIGIN,...",
     .summary = "pages that may call; * is all"},
    {.name = "web-root", .type = OPTION_TEXT, AT(web_root), .argument = "DIR",
     .summary = "the built demo page, for GET /"},
    {.name = "notify-url", .type = OPTION_TEXT, AT(notify_url), .argument = "URL",
     .summary = "where that page finds vote-notify"},
    {.name = "dev-tokens", .type = OPTION_SWITCH, AT(dev_tokens), .preset = "false",
     .summary = "anybody gets any token: never in production"},
    {.name = "unknown-project", .type = OPTION_CHOICE, AT(unknown_project), .preset = "reject",
     .argument = "WHAT", .choices = unknown_choices, .summary = "reject it or create it"},
    {.name = "rate-limit", .type = OPTION_QUOTA, AT(rate_limit), .preset = "30/10s",
     .argument = "N/TIME", .summary = "votes a user may make; 0: any"},
    {.name = "rate-burst", .type = OPTION_INT, AT(rate_burst), .preset = "30", .argument = "N",
     .min = 1, .max = 1000000, .summary = "of which so many at once"},
    {.name = "threads", .type = OPTION_INT, AT(threads), .preset = "64", .argument = "N",
     .min = 1, .max = 16384, .summary = "calls that wait for a server at once"},
    {.name = "max-connections", .type = OPTION_INT, AT(connections_max), .preset = "10000",
     .argument = "N", .min = 1, .max = 1000000, .summary = "more are closed at once"},
    {.name = "max-in-flight", .type = OPTION_INT, AT(max_in_flight), .preset = "512",
     .argument = "N", .min = 1, .max = 16384, .summary = "votes worked on at once; more get 503"},
    {.name = "database-connections", .type = OPTION_INT, AT(database_connections), .preset = "8",
     .argument = "N", .min = 1, .max = POOL_MAX, .summary = "connections to Postgres"},
    {.name = "database-timeout", .type = OPTION_DURATION, AT(database_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 300000000,
     .summary = "longest wait for Postgres"},
    {.name = "kafka-timeout", .type = OPTION_DURATION, AT(kafka_timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 300000000,
     .summary = "longest wait for Kafka's acknowledgement"},
    {.name = "leaderboard-ttl", .type = OPTION_DURATION, AT(leaderboard_ttl_us), .preset = "10s",
     .argument = "DURATION", .min = 1000, .max = 86400000000,
     .summary = "how long the leaderboard is cached"},
};
/* clang-format on */
const size_t ingest_option_count = sizeof ingest_options / sizeof *ingest_options;

const struct http_route ingest_routes[] = {
    {"POST", "/api/votes", api_post_vote, HTTP_PROMPT},
    {"GET", "/api/votes/status/{}", api_get_status, HTTP_WAITS},
    {"GET", "/api/votes/metrics", api_get_metrics, HTTP_WAITS},
    {"GET", "/api/votes/user", api_get_user_votes, HTTP_WAITS},
    {"GET", "/api/projects/{}", api_get_project, HTTP_WAITS},
    {"GET", "/api/leaderboard", api_get_leaderboard, HTTP_WAITS},
    {"GET", "/openapi.json", api_get_openapi, HTTP_WAITS},
    {"GET", "/", demo_get_page, HTTP_WAITS},
    {"GET", "/assets/{}", demo_get_asset, HTTP_WAITS},
    {"GET", "/demo/config", demo_get_config, HTTP_WAITS},
    {"POST", "/demo/token", demo_post_token, HTTP_WAITS},
};
const size_t ingest_route_count = sizeof ingest_routes / sizeof *ingest_routes;

static void register_answers(struct ingest_metrics *metrics, struct metrics *all)
{
    static const char *const labels[] = {"action=\"created\"", "action=\"changed\"",
                                         "action=\"removed\"", "action=\"unchanged\""};
    for (int i = 0; i < 4; i++)
        metrics->accepted[i] = metrics_counter(
            all, "vote_accepted_total", "Votes that were made durable and answered.", labels[i]);
    metrics->errors = metrics_counter(all, "vote_errors_total",
                                      "Votes that could not be taken: answered with 5xx.", NULL);
    metrics->refused_client = metrics_counter(all, "vote_refused_total",
                                              "Calls answered with an error.", "class=\"client\"");
    metrics->refused_server = metrics_counter(all, "vote_refused_total",
                                              "Calls answered with an error.", "class=\"server\"");
    metrics->limited =
        metrics_counter(all, "vote_rate_limited_total", "Votes over their user's limit.", NULL);
    metrics->replayed = metrics_counter(all, "vote_idempotent_replays_total",
                                        "Calls answered with the first answer of their key.", NULL);
}

static void ingest_register_metrics(struct ingest *ingest)
{
    struct ingest_metrics *metrics = &ingest->metrics;
    struct metrics *all = ingest->admin.metrics = metrics_new();
    register_answers(metrics, all);
    metrics->without_redis = metrics_counter(all, "vote_without_redis_total",
                                             "Votes answered from Postgres: Redis was away.", NULL);
    metrics->synchronous =
        metrics_counter(all, "vote_synchronous_total",
                        "Votes applied in Postgres by the call itself: Kafka was away.", NULL);
    metrics->in_flight =
        metrics_gauge(all, "vote_in_flight", "Votes being worked on just now.", NULL, 1);
    metrics->breaker = metrics_gauge(
        all, "vote_kafka_breaker_state",
        "0: Kafka is used, 1: it is not (synchronous votes), 2: one vote tries it.", NULL, 1);
    metrics->latency_us = metrics_latency(all, "vote_accept_duration_seconds",
                                          "From the request to the answer.", NULL);
    metrics->kafka_us = metrics_latency(all, "vote_kafka_ack_duration_seconds",
                                        "From the send to Kafka's acknowledgement.", NULL);
}

static struct pg ingest_pg(const struct ingest_config *config)
{
    return (struct pg){
        .url = config->pg.url, .name = "vote-ingest", .timeout_us = config->database_timeout_us};
}

static void ingest_make_pool(struct ingest *ingest)
{
    pool_init(&ingest->pg_pool);
    ingest->probe_pg = ingest_pg(ingest->config);
    for (int64_t i = 0; i < ingest->config->database_connections; i++) {
        struct pg *pg = malloc(sizeof *pg);
        if (!pg)
            abort();
        *pg = ingest_pg(ingest->config);
        pool_give(&ingest->pg_pool, pg);
    }
    for (size_t i = 0; i < LOAD_LOCKS; i++)
        pthread_mutex_init(&ingest->load_locks[i], NULL);
}

static void ingest_free_pool(struct ingest *ingest)
{
    struct pg *pg;
    while ((pg = pool_take_idle(&ingest->pg_pool))) {
        pg_close(pg);
        free(pg);
    }
    pg_close(&ingest->probe_pg);
    for (size_t i = 0; i < LOAD_LOCKS; i++)
        pthread_mutex_destroy(&ingest->load_locks[i]);
    pool_destroy(&ingest->pg_pool);
}

struct pg *ingest_take_pg(struct ingest *ingest, struct error *error)
{
    int64_t until_us = clock_mono_us() + ingest->config->database_timeout_us;
    struct pg *pg = pool_take(&ingest->pg_pool, until_us);
    if (!pg)
        error_set(error, ERROR_RETRY, "every connection to postgres is busy");
    return pg;
}

void ingest_give_pg(struct ingest *ingest, struct pg *pg)
{
    pool_give(&ingest->pg_pool, pg);
}

PGresult *ingest_query(struct ingest *ingest, const char *sql, int count,
                       const char *const *parameters, struct error *error)
{
    struct pg *pg = ingest_take_pg(ingest, error);
    PGresult *rows = pg ? pg_query(pg, sql, count, parameters, error) : NULL;
    if (pg)
        ingest_give_pg(ingest, pg);
    return rows;
}

static bool probe_kafka(struct ingest *ingest)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(ingest->producer, TOPIC_REQUESTS, NULL);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(ingest->producer, 0, topic, &metadata, PROBE_TIMEOUT_MS);
    bool led = !code && metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0;
    for (int i = 0; led && i < metadata->topics[0].partition_cnt; i++)
        led = metadata->topics[0].partitions[i].leader >= 0;
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return led;
}

static bool probe_postgres(struct ingest *ingest)
{
    struct error error;
    PGresult *rows = pg_query(&ingest->probe_pg, "select 1", 0, NULL, &error);
    PQclear(rows);
    return rows != NULL;
}

/* Looks at what we stand on, for /readyz and the breaker. */
static void ingest_probe(struct ingest *ingest)
{
    bool kafka = probe_kafka(ingest);
    breaker_probe(&ingest->breaker, kafka);
    atomic_store(&ingest->kafka_check->ready, kafka);
    atomic_store(&ingest->redis_check->ready, redis_is_up(ingest->redis));
    atomic_store(&ingest->postgres_check->ready, probe_postgres(ingest));
    metric_set(ingest->metrics.breaker, (int64_t)breaker_state(&ingest->breaker));
    metric_set(ingest->metrics.in_flight, atomic_load(&ingest->in_flight));
}

static bool ingest_open(struct ingest *ingest, struct error *error)
{
    const struct ingest_config *config = ingest->config;
    if (!tls_context_open(&ingest->tls, &config->tls, error))
        return false;
    const struct http_settings settings = {.listen = config->listen,
                                           .threads = (int)config->threads,
                                           .connections_max = (int)config->connections_max,
                                           .body_max = BODY_MAX_BYTES,
                                           .routes = ingest_routes,
                                           .route_count = ingest_route_count,
                                           .cors_origins = config->cors_origins,
                                           .tls = ingest->tls,
                                           .context = ingest,
                                           .refuse = problem_refuse};
    return tracer_open(&ingest->tracer, &config->trace, ingest->admin.metrics, ingest->log,
                       error) &&
           demo_open(ingest, error) && redis_open(&ingest->redis, &config->redis, error) &&
           publish_open(ingest, error) &&
           admin_start(&ingest->admin, config->admin_listen, error) &&
           http_start(&ingest->http, &settings, error);
}

static void ingest_attend(struct ingest *ingest)
{
    admin_beat(&ingest->admin);
    ingest_probe(ingest);
    totals_flush(ingest);
    tls_context_renew(ingest->tls, ingest->log);
}

static void ingest_serve(struct ingest *ingest, struct stop *stop)
{
    LOG_EVENT(ingest->log, LOG_INFO, "listening", LOG_STR("address", ingest->config->listen),
              LOG_STR("admin", ingest->config->admin_listen));
    do
        ingest_attend(ingest);
    while (!stop_wait(stop, -1, clock_mono_us() + TURN_US));
}

/* A balancer takes a while to see that we are not ready: until then what it sends is served, and
 * each answer takes its connection away. Whoever still speaks after that is waited for. */
static void ingest_drain(struct ingest *ingest, struct stop *stop)
{
    int64_t begin_us = clock_mono_us(), leave_us = begin_us + ingest->config->drain.delay_us,
            end_us = begin_us + ingest->config->drain.timeout_us;
    http_drain(ingest->http);
    while (stop_asked(stop) < 2 && clock_mono_us() < leave_us) {
        ingest_attend(ingest);
        stop_wait(stop, -1, clock_earlier_us(leave_us, clock_mono_us() + TURN_US));
    }
    while (stop_asked(stop) < 2 && http_in_hand(ingest->http) && clock_mono_us() < end_us)
        stop_wait(stop, -1, clock_mono_us() + IN_HAND_US);
}

/* Votes are taken as long as there is a state to answer from and a place to keep them. */
static bool ingest_is_ready(const struct admin *admin)
{
    return (admin_is_up(admin, "redis") && admin_is_up(admin, "kafka")) ||
           admin_is_up(admin, "postgres");
}

static struct ingest *ingest_new(const struct ingest_config *config, struct log *log)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest)
        abort();
    ingest->config = config;
    ingest->log = log;
    ingest->breaker.log = log;
    ingest->kafka_check = admin_add_check(&ingest->admin, "kafka");
    ingest->redis_check = admin_add_check(&ingest->admin, "redis");
    ingest->postgres_check = admin_add_check(&ingest->admin, "postgres");
    ingest->admin.is_ready = ingest_is_ready;
    ingest->tokens = token_cache_new(&config->tokens.keys);
    ingest->leaderboard = leaderboard_new();
    ingest->totals = totals_new();
    ingest_register_metrics(ingest);
    ingest_make_pool(ingest);
    return ingest;
}

static void ingest_free(struct ingest *ingest)
{
    ingest_free_pool(ingest);
    metrics_free(ingest->admin.metrics);
    totals_free(ingest->totals);
    leaderboard_free(ingest->leaderboard);
    files_free(ingest->page);
    token_cache_free(ingest->tokens);
    free(ingest);
}

bool ingest_run(void *config, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    struct stop stop;
    struct ingest_config *settings = config;
    if (!token_config_settle(&settings->tokens, error) || !drain_check(&settings->drain, error) ||
        !stop_open_within(&stop, settings->drain.timeout_us, log, error))
        return false;
    struct ingest *ingest = ingest_new(config, log);
    bool opened = ingest_open(ingest, error);
    if (opened)
        ingest_serve(ingest, &stop);
    LOG_EVENT(log, LOG_INFO, "stopping");
    atomic_store(&ingest->admin.draining, 1);
    if (opened)
        ingest_drain(ingest, &stop);
    http_stop(ingest->http); /* requests in hand are answered: each waits for its own outcome */
    publish_close(ingest);
    if (ingest->redis)
        totals_flush(ingest);
    redis_close(ingest->redis);
    tracer_close(ingest->tracer);
    admin_stop(&ingest->admin);
    tls_context_close(ingest->tls);
    ingest_free(ingest);
    stop_close(&stop);
    return opened;
}
