/* judge.c - which records are sent, and with which headers. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/units.h"
#include "vote/event.h"

#include <string.h>

bool topic_is_ours(const char *topic)
{
    return !strncmp(topic, "vote.", 5);
}

/* How often it was replayed. A count that cannot be read is no reason to go on for ever. */
static int64_t replay_count(const rd_kafka_headers_t *headers)
{
    const void *value;
    size_t size;
    char text[24];
    int64_t count;
    if (!headers || rd_kafka_header_get_last(headers, HEADER_REPLAY_COUNT, &value, &size))
        return 0;
    if (!value || size >= sizeof text)
        return INT64_MAX;
    memcpy(text, value, size);
    text[size] = '\0';
    return units_parse_int(text, &count) && count >= 0 ? count : INT64_MAX;
}

static bool is_meant(const struct replay_config *config, const struct item *item,
                     const struct dead *dead)
{
    return (!config->classes || dead_is_of_class(dead, config->classes)) &&
           filter_match(&config->filter, item->envelope.value, item->envelope.value_size);
}

enum verdict judge(const struct replay_config *config, struct item *item, struct dead *dead,
                   const char **target)
{
    *dead = (struct dead){0};
    if (config->redrive || config->classes || config->dry_run)
        dead_read(dead, item->envelope.headers);
    *target = config->to ? topic_name(config->to) : config->redrive ? dead->origin : NULL;
    if (!is_meant(config, item, dead))
        return VERDICT_FILTERED;
    if (!*target)
        return VERDICT_SEND;
    if (!**target)
        return VERDICT_HOMELESS;
    if (!config->yes && !topic_is_ours(*target))
        return VERDICT_FORBIDDEN;
    item->replays = replay_count(item->envelope.headers);
    return item->replays >= config->max_replays ? VERDICT_LOOPS : VERDICT_SEND;
}

void headers_prepare(struct item *item, const struct dead *dead, const char *target)
{
    char text[UNITS_TEXT_SIZE];
    rd_kafka_headers_t **headers = &item->envelope.headers;
    if (item->is_new)
        return;
    units_format_int(item->replays < INT64_MAX ? item->replays + 1 : item->replays, text);
    if (!*headers)
        *headers = rd_kafka_headers_new(1);
    if (item->replays)
        rd_kafka_header_remove(*headers, HEADER_REPLAY_COUNT);
    rd_kafka_header_add(*headers, HEADER_REPLAY_COUNT, -1, text, -1);
    if (!dead)
        return;
    dead_strip(*headers);
    rd_kafka_header_remove(*headers, HEADER_REDRIVEN);
    if (!strcmp(target, TOPIC_REQUESTS))
        rd_kafka_header_add(*headers, HEADER_REDRIVEN, -1, text, -1);
}
