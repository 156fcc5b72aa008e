/* tail.c - what vote-tail reads, and in which order it shows it.
 *
 * Records of one partition come in order. A text read that is small enough is sorted by time, since
 * it is for eyes; everything else streams. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include "base/clock.h"
#include "base/stop.h"
#include "kafka/reader.h"
#include "vote/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, FLUSH_BYTES = 64 * 1024, SORTED_MAX = 10000 };

static const char *const format_choices[] = {"text", "json", NULL};
static const char *const topic_words[] = {"requests", "results", "dead", NULL};
static const char *const action_words[] = {"created", "changed", "removed", "unchanged", NULL};

#define AT(member) .offset = offsetof(struct tail_config, member)
/* clang-format off */
const struct option tail_options[] = {
    {.name = "topic", .letter = 't', .type = OPTION_TEXT, AT(topic), .preset = "results",
     .argument = "TOPIC", .flags = OPTION_FLAG_ONLY, .choices = topic_words,
     .summary = "requests, results, dead, or any name"},
    {.name = "offset", .letter = 'o', .type = OPTION_TEXT, AT(selector), .argument = "SELECTOR",
     .flags = OPTION_FLAG_ONLY, .summary = "start, end, +N, -N, A:B, @T, @T1:T2, @-15m:"},
    {.name = "follow", .letter = 'f', .type = OPTION_SWITCH, AT(follow),
     .flags = OPTION_FLAG_ONLY, .summary = "wait for more"},
    {.name = "user", .type = OPTION_TEXT, AT(user), .argument = "ID", .flags = OPTION_FLAG_ONLY,
     .summary = "only this user's"},
    {.name = "project", .type = OPTION_TEXT, AT(project), .argument = "ID",
     .flags = OPTION_FLAG_ONLY, .summary = "only this project's"},
    {.name = "action", .type = OPTION_TEXT, AT(action), .argument = "ACTION",
     .flags = OPTION_FLAG_ONLY, .choices = action_words,
     .summary = "created, changed, removed, unchanged"},
    {.name = "request", .type = OPTION_TEXT, AT(request), .argument = "ID",
     .flags = OPTION_FLAG_ONLY, .summary = "only this request"},
    {.name = "count", .letter = 'c', .type = OPTION_INT, AT(count), .preset = "0", .argument = "N",
     .flags = OPTION_FLAG_ONLY, .summary = "stop after so many; 0: no limit"},
    {.name = "format", .type = OPTION_CHOICE, AT(format), .preset = "text", .argument = "FORMAT",
     .choices = format_choices, .flags = OPTION_FLAG_ONLY, .summary = "text or json"},
};
/* clang-format on */
const size_t tail_option_count = sizeof tail_options / sizeof *tail_options;

/* A record that waits to be sorted. */
struct kept {
    rd_kafka_message_t *message; /* owned */
    int64_t time_ms; /* its own, but never before that of an earlier record of the partition */
};

struct tail {
    const struct tail_config *config;
    const struct log *log;
    struct stop stop;
    struct reader reader;
    struct selector selector;
    struct output output;
    struct kept *kept; /* what matched, until it can be sorted; NULL: it streams */
    size_t kept_count;
    int64_t *latest_ms; /* by partition; NULL with `kept` */
    int64_t shown;
    bool warned; /* of a cluster that is away */
};

static const char *topic_name(const char *name)
{
    static const char *const known[][2] = {
        {"requests", TOPIC_REQUESTS}, {"results", TOPIC_RESULTS}, {"dead", TOPIC_DEAD}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(known[i][0], name))
            return known[i][1];
    }
    return name;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static bool offset_at_time(struct tail *tail, int32_t partition, int64_t time_ms, int64_t none,
                           int64_t *offset, struct error *error)
{
    if (!reader_offset_at(&tail->reader, partition, time_ms, offset, error))
        return false;
    if (*offset < 0)
        *offset = none;
    return true;
}

/* Turns the selector into the range [*from, *to) of a partition that has [low, high) now. */
static bool range_find(struct tail *tail, int32_t partition, int64_t low, int64_t high,
                       int64_t *from, int64_t *to, struct error *error)
{
    const struct selector *selector = &tail->selector;
    bool bounded = selector->to >= 0;
    *from = low;
    *to = tail->config->follow ? -1 : high;
    switch (selector->kind) {
    case SELECT_START: break;
    case SELECT_END: *from = high; break;
    case SELECT_FIRST: *from = selector->from < high - low ? low + selector->from : high; break;
    case SELECT_LAST: *from = selector->from < high - low ? high - selector->from : low; break;
    case SELECT_OFFSETS:
        *from = clamp(selector->from, low, high);
        if (bounded)
            *to = clamp(selector->to, low, high);
        break;
    case SELECT_TIMES:
        return offset_at_time(tail, partition, selector->from, high, from, error) &&
               (!bounded || offset_at_time(tail, partition, selector->to, high, to, error));
    }
    return true;
}

static bool tail_choose(struct tail *tail, struct error *error)
{
    int32_t count;
    int64_t records = 0;
    if (!reader_partitions(&tail->reader, &count, error))
        return false;
    for (int32_t i = 0; i < count; i++) {
        int64_t low, high, from, to;
        if (!reader_watermarks(&tail->reader, i, &low, &high, error) ||
            !range_find(tail, i, low, high, &from, &to, error))
            return false;
        reader_add(&tail->reader, i, from, to);
        records += to < 0 ? SORTED_MAX + 1 : to > from ? to - from : 0;
    }
    if (tail->config->format == TAIL_TEXT && records > 0 && records <= SORTED_MAX) {
        tail->kept = calloc((size_t)records, sizeof *tail->kept);
        tail->latest_ms = calloc((size_t)count, sizeof *tail->latest_ms);
        if (!tail->kept || !tail->latest_ms)
            abort();
    }
    return true;
}

static bool tail_is_full(const struct tail *tail)
{
    return tail->output.gone || (tail->config->count && tail->shown >= tail->config->count);
}

static void tail_show(struct tail *tail, const rd_kafka_message_t *message)
{
    if (tail_is_full(tail))
        return;
    tail->shown++;
    if (tail->config->format == TAIL_JSON)
        format_json(message, &tail->output.buf);
    else
        format_text(message, &tail->output.buf);
}

/* Takes the message: shows it, or keeps it until all are there. */
static void tail_take(struct tail *tail, rd_kafka_message_t *message)
{
    bool matches = filter_match(tail->config, message);
    if (matches && tail->kept) {
        int64_t *latest_ms = &tail->latest_ms[message->partition];
        int64_t time_ms = rd_kafka_message_timestamp(message, NULL);
        *latest_ms = time_ms > *latest_ms ? time_ms : *latest_ms;
        tail->kept[tail->kept_count++] = (struct kept){message, *latest_ms};
        return;
    }
    if (matches)
        tail_show(tail, message);
    rd_kafka_message_destroy(message);
}

static int kept_compare(const void *a, const void *b)
{
    const struct kept *left = a, *right = b;
    if (left->time_ms != right->time_ms)
        return left->time_ms < right->time_ms ? -1 : 1;
    if (left->message->partition != right->message->partition)
        return left->message->partition < right->message->partition ? -1 : 1;
    return left->message->offset < right->message->offset ? -1 : 1;
}

static void tail_show_kept(struct tail *tail)
{
    if (tail->kept_count)
        qsort(tail->kept, tail->kept_count, sizeof *tail->kept, kept_compare);
    for (size_t i = 0; i < tail->kept_count; i++) {
        tail_show(tail, tail->kept[i].message);
        rd_kafka_message_destroy(tail->kept[i].message);
    }
    free(tail->kept);
    free(tail->latest_ms);
}

/* A tail that follows outlives a broker's restart, and says why nothing comes. */
static void tail_watch(struct tail *tail)
{
    output_check(&tail->output);
    if (tail->config->follow && !tail->warned && atomic_load(&tail->reader.health.down)) {
        LOG_EVENT(tail->log, LOG_WARN, "kafka cannot be reached, trying on",
                  LOG_STR("reason", tail->reader.health.text));
        tail->warned = true;
    }
}

static bool tail_read(struct tail *tail, struct error *error)
{
    enum reader_event event = READER_IDLE;
    rd_kafka_message_t *message;
    reader_start(&tail->reader);
    while (event != READER_DONE && !tail_is_full(tail)) {
        if (stop_asked(&tail->stop))
            return tail->config->follow ||
                   error_set(error, ERROR_RETRY, "interrupted before the end");
        event = reader_next(&tail->reader, tail->output.buf.size ? 0 : POLL_MS, &message, error);
        if (event == READER_FAILED)
            return false;
        if (event == READER_RECORD) {
            tail->warned = false;
            atomic_store(&tail->reader.health.down, 0);
            tail_take(tail, message);
        } else {
            tail_watch(tail);
        }
        if ((event == READER_IDLE || tail->output.buf.size > FLUSH_BYTES) &&
            !output_flush(&tail->output, error))
            return false;
    }
    return true;
}

bool tail_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    const struct tail_config *config = context;
    struct tail tail = {.config = config, .log = log};
    const char *selector = config->selector ? config->selector : config->follow ? "end" : "start";
    if (!filter_check(config, error) ||
        !selector_parse(&tail.selector, selector, clock_wall_ms(), error) ||
        !stop_open(&tail.stop, error))
        return false;
    bool fine =
        reader_open(&tail.reader, &config->kafka, "vote-tail", topic_name(config->topic), error) &&
        tail_choose(&tail, error) && tail_read(&tail, error);
    tail_show_kept(&tail);
    struct error write_error;
    if (!output_flush(&tail.output, &write_error) && fine) {
        *error = write_error;
        fine = false;
    }
    reader_close(&tail.reader);
    if (fine && config->follow)
        fprintf(stderr, "vote-tail: %lld records\n", (long long)tail.shown);
    stop_close(&tail.stop);
    buf_free(&tail.output.buf);
    return fine;
}
