/* main.c - vote-notify: tells every open browser what was committed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"
#include "vote-notify/notify.h"

int main(int argc, char **argv)
{
    struct notify_config config = {0};
    const struct option_set sets[] = {
        {"Service", notify_options, notify_option_count, &config},
        {"TLS", tls_options, TLS_OPTION_COUNT, &config.tls},
        {"Stop", drain_options, DRAIN_OPTION_COUNT, &config.drain},
        {"Socket.IO", sio_options, SIO_OPTION_COUNT, &config.sio},
        {"Tokens", token_check_options, TOKEN_CHECK_OPTION_COUNT, &config.tokens},
        {"Kafka", kafka_options, KAFKA_OPTION_COUNT, &config.kafka},
        {"Postgres", pg_options, PG_OPTION_COUNT, &config.pg},
        {"Traces", otlp_options, OTLP_OPTION_COUNT, &config.trace},
    };
    const struct tool tool = {
        .name = "vote-notify",
        .purpose = "Tells every open browser what was committed, over Socket.IO.",
        .usage = "[--listen HOST:PORT] ...",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .config = &config,
        .run = notify_run,
    };
    return tool_run(&tool, argc, argv);
}
