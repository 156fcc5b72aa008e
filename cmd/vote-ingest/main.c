/* main.c - vote-ingest: takes votes over HTTP, answers from Redis, keeps them in Kafka.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-ingest/ingest.h"

int main(int argc, char **argv)
{
    struct ingest_config config = {0};
    const struct option_set sets[] = {
        {"Service", ingest_options, ingest_option_count, &config},
        {"TLS", tls_options, TLS_OPTION_COUNT, &config.tls},
        {"Stop", drain_options, DRAIN_OPTION_COUNT, &config.drain},
        {"Tokens", token_check_options, TOKEN_CHECK_OPTION_COUNT, &config.tokens},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Redis", redis_options, REDIS_OPTION_COUNT, &config.redis},
        {"Postgres", pg_options, PG_OPTION_COUNT, &config.pg},
        {"Traces", otlp_options, OTLP_OPTION_COUNT, &config.trace},
    };
    const struct tool tool = {
        .name = "vote-ingest",
        .purpose = "Takes votes over HTTP, answers from Redis, and keeps them in Kafka.",
        .usage = "[--listen HOST:PORT] ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = ingest_run,
    };
    return tool_run(&tool, argc, argv);
}
