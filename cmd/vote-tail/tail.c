/* tail.c - what vote-tail reads, and in which order it shows it.
 *
 * Records of one partition come in order. A text read that is small enough is sorted by time, since
 * it is for eyes; everything else streams. SPDX-License-Identifier: Apache-2.0 */
#include "vote-tail/tail.h"

#include "base/clock.h"
#include "base/output.h"
#include "base/stop.h"
#include "kafka/envelope.h"
#include "kafka/selector.h"
#include "vote/event.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 100, SORTED_MAX = 10000 };

static const char *const format_choices[] = {"text", "json", "csv", NULL};
static const char *const topic_words[] = {"requests", "results", "dead", NULL};

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
    {.name = "count", .letter = 'c', .type = OPTION_INT, AT(count), .preset = "0", .argument = "N",
     .flags = OPTION_FLAG_ONLY, .summary = "stop after so many; 0: no limit"},
    {.name = "format", .type = OPTION_CHOICE, AT(format), .preset = "text", .argument = "FORMAT",
     .choices = format_choices, .flags = OPTION_FLAG_ONLY, .summary = "text, json or csv"},
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
    bool coloured;
    bool warned; /* of a cluster that is away */
};

static bool tail_choose(struct tail *tail, struct error *error)
{
    int64_t records;
    if (!selector_apply(&tail->selector, &tail->reader, tail->config->follow, &records, error))
        return false;
    if (tail->config->format != TAIL_TEXT || records <= 0 || records > SORTED_MAX)
        return true;
    tail->kept = calloc((size_t)records, sizeof *tail->kept);
    tail->latest_ms = calloc(reader_partition_bound(&tail->reader), sizeof *tail->latest_ms);
    if (!tail->kept || !tail->latest_ms)
        abort();
    return true;
}

static bool tail_is_full(const struct tail *tail)
{
    return tail->output.gone || (tail->config->count && tail->shown >= tail->config->count);
}

static void tail_show(struct tail *tail, const rd_kafka_message_t *message)
{
    struct envelope envelope;
    if (tail_is_full(tail))
        return;
    tail->shown++;
    switch (tail->config->format) {
    case TAIL_JSON:
        envelope_of_message(&envelope, message);
        envelope_put(&envelope, &tail->output.buf);
        break;
    case TAIL_CSV: format_csv(message, &tail->output.buf); break;
    default: format_text(message, tail->coloured, &tail->output.buf);
    }
}

/* Takes the message: shows it, or keeps it until all are there. */
static void tail_take(struct tail *tail, rd_kafka_message_t *message)
{
    bool matches = filter_match(&tail->config->filter, message->payload, message->len);
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

/* Ctrl-C is how people say that they have seen enough. Where something else ends a read before its
 * end, whoever is behind the pipe must not take it for the whole. */
static bool tail_stopped(const struct tail *tail, struct error *error)
{
    return tail->config->follow || tail->stop.signal == SIGINT ||
           error_set(error, ERROR_RETRY, "interrupted before the end");
}

static bool tail_read(struct tail *tail, struct error *error)
{
    enum reader_event event = READER_IDLE;
    rd_kafka_message_t *message;
    reader_start(&tail->reader);
    while (event != READER_DONE && !tail_is_full(tail)) {
        if (stop_asked(&tail->stop))
            return tail_stopped(tail, error);
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
        if ((event == READER_IDLE || tail->output.buf.size > OUTPUT_FLUSH_BYTES) &&
            !output_flush(&tail->output, error))
            return false;
    }
    return true;
}

/* Colours are for a terminal that has them, and nobody who set NO_COLOR (no-color.org). */
static bool colours_are_wanted(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && !(terminal && !strcmp(terminal, "dumb"));
}

static bool tail_open(struct tail *tail, struct error *error)
{
    const struct tail_config *config = tail->config;
    const char *selector = config->selector ? config->selector : config->follow ? "end" : "start";
    return filter_check(&config->filter, error) &&
           selector_parse(&tail->selector, selector, clock_wall_ms(), error) &&
           stop_open(&tail->stop, error);
}

/* What is shown is written, whatever ended the reading. */
static bool tail_finish(struct tail *tail, bool fine, struct error *error)
{
    struct error write_error;
    tail_show_kept(tail);
    if (!output_flush(&tail->output, &write_error) && fine) {
        *error = write_error;
        fine = false;
    }
    bool ended_by_hand = tail->config->follow || tail->stop.asked;
    if (fine && ended_by_hand && !tail->output.gone)
        fprintf(stderr, "vote-tail: %lld records\n", (long long)tail->shown);
    return fine;
}

bool tail_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options;
    const struct tail_config *config = context;
    struct tail tail = {.config = config, .log = log, .coloured = colours_are_wanted()};
    if (!tail_open(&tail, error))
        return false;
    bool fine =
        reader_open(&tail.reader, &config->kafka, "vote-tail", topic_name(config->topic), error) &&
        tail_choose(&tail, error);
    if (fine && config->format == TAIL_CSV)
        format_csv_header(&tail.output.buf);
    fine = fine && tail_read(&tail, error);
    fine = tail_finish(&tail, fine, error);
    reader_close(&tail.reader);
    stop_close(&tail.stop);
    buf_free(&tail.output.buf);
    return fine;
}
