/* replay.c - what vote-replay does: reads, judges, sends or shows, and remembers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/options.h"

#include "base/clock.h"
#include "vote/event.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 50, TURN_RECORDS = 256, SLEEP_US = 50 * 1000, AHEAD_US = 1000 };

struct replay {
    const struct replay_config *config;
    struct stop stop;
    struct source source;
    struct sink sink;
    struct state state;
    struct output output;
    struct tally tally;
    struct meter meter;
    bool sends; /* to a topic */
    int64_t pace_began_us, paced_count;
};

/* What the replay is, so that a state file is not gone on with by another one. */
static void task_put(const struct replay *replay, struct buf *out)
{
    const struct replay_config *config = replay->config;
    const char *names[] = {"to", "-o", "user", "project", "action", "request", "class"};
    const char *values[] = {config->to,
                            config->selector,
                            config->filter.user,
                            config->filter.project,
                            config->filter.action,
                            config->filter.request,
                            config->classes};
    if (config->file)
        buf_format(out, "a file of %" PRId64 " records, %016" PRIx64, replay->source.records,
                   file_hash(replay->source.file));
    else
        buf_format(out, "from %s", topic_name(config->from));
    if (config->redrive)
        buf_text(out, " redrive");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (values[i])
            buf_format(out, " %s %s", names[i], values[i]);
    }
}

static bool state_begin(struct replay *replay, struct error *error)
{
    struct source *source = &replay->source;
    if (!source_choose(source, error))
        return false;
    if (source->file)
        state_add(&replay->state, 0, 0, source->records);
    for (size_t i = 0; !source->file && i < source->reader.range_count; i++) {
        const struct reader_range *range = &source->reader.ranges[i];
        state_add(&replay->state, range->partition, range->from, range->to);
    }
    return state_write(&replay->state, error);
}

/* Puts the source where the state says that the last run ended. */
static void state_go_on(struct replay *replay)
{
    struct source *source = &replay->source;
    free(source->reader.ranges);
    source->reader.ranges = NULL;
    source->reader.range_count = 0;
    source->records = 0;
    for (size_t i = 0; i < replay->state.span_count; i++) {
        const struct span *span = &replay->state.spans[i];
        if (source->file)
            file_skip(source->file, span->from);
        else
            reader_add(&source->reader, span->partition, span->from, span->to);
        if (span->to < 0)
            source->records = -1;
        else if (source->records >= 0 && span->to > span->from)
            source->records += span->to - span->from;
    }
}

static bool resume_open(struct replay *replay, struct error *error)
{
    const struct replay_config *config = replay->config;
    struct buf task = {0};
    task_put(replay, &task);
    bool fine = state_open(&replay->state, config->resume, task.data, error);
    buf_free(&task);
    if (!fine)
        return false;
    const char *positions = topic_name(config->file ? config->to : config->from);
    fine = (replay->state.found || state_begin(replay, error)) &&
           sink_open(&replay->sink, config, &replay->stop, &replay->state, positions, error) &&
           sink_recall(&replay->sink, error);
    if (fine)
        state_go_on(replay);
    return fine;
}

static bool replay_open(struct replay *replay, struct error *error)
{
    const struct replay_config *config = replay->config;
    replay->sends = (config->to || config->redrive) && !config->dry_run;
    if (!source_open(&replay->source, config, error))
        return false;
    bool fine = config->resume
                    ? resume_open(replay, error)
                    : source_choose(&replay->source, error) &&
                          (!replay->sends ||
                           sink_open(&replay->sink, config, &replay->stop, NULL, NULL, error));
    return fine && (!replay->sends || !config->to ||
                    sink_check(&replay->sink, topic_name(config->to), error));
}

/* Waits until the rate allows one more; false when a stop was asked for meanwhile. */
static bool pace(struct replay *replay, struct error *error)
{
    double rate = replay->config->rate_per_s;
    if (rate == 0)
        return true;
    int64_t due_us = replay->pace_began_us + (int64_t)((double)replay->paced_count++ / rate * 1e6);
    for (int64_t left_us; (left_us = due_us - clock_mono_us()) > AHEAD_US;) {
        if (stop_asked(&replay->stop) || (replay->sends && !sink_turn(&replay->sink, error)))
            return false;
        meter_turn(&replay->meter, replay->tally.total);
        clock_sleep_us(left_us < SLEEP_US ? left_us : SLEEP_US);
    }
    return true;
}

static bool item_send(struct replay *replay, struct item *item, const struct dead *dead,
                      const char *target, struct error *error)
{
    if (replay->config->dry_run)
        return true;
    if (!pace(replay, error))
        return false;
    if (!replay->sends) {
        envelope_put(&item->envelope, &replay->output.buf);
        return replay->output.buf.size < OUTPUT_FLUSH_BYTES || output_flush(&replay->output, error);
    }
    headers_prepare(item, replay->config->redrive ? dead : NULL, target);
    return sink_send(&replay->sink, target, item, error);
}

/* A record that was not sent, for whatever reason, is not passed: the next run begins with it. */
static bool item_take(struct replay *replay, struct item *item, struct error *error)
{
    struct dead dead;
    const char *target;
    enum verdict verdict = judge(replay->config, item, &dead, &target);
    if (verdict == VERDICT_SEND && !item_send(replay, item, &dead, target, error))
        return false;
    tally_add(&replay->tally, verdict, item, &dead, replay->config->dry_run);
    if (replay->sends)
        sink_note(&replay->sink, item->partition, item->next);
    return true;
}

static bool replay_turn(struct replay *replay, bool idle, struct error *error)
{
    meter_turn(&replay->meter, replay->tally.total);
    if (replay->sends)
        return sink_turn(&replay->sink, error);
    output_check(&replay->output);
    return !idle || output_flush(&replay->output, error);
}

/* The next record, if there is one; `done` when there is none any more. */
static bool replay_step(struct replay *replay, bool *idle, bool *done, struct error *error)
{
    struct item item = {0};
    enum source_event event = source_next(&replay->source, POLL_MS, &item, error);
    bool fine = event != SOURCE_ITEM || item_take(replay, &item, error);
    item_release(&item);
    *idle = event == SOURCE_IDLE;
    *done = event == SOURCE_DONE;
    return event != SOURCE_FAILED && (fine || stop_asked(&replay->stop));
}

static bool replay_read(struct replay *replay, struct error *error)
{
    bool idle = false, done = false;
    for (int64_t count = 0; !done && !replay->output.gone; count++) {
        bool turn = idle || count % TURN_RECORDS == 0;
        if (turn && stop_asked(&replay->stop))
            return true;
        if ((turn && !replay_turn(replay, idle, error)) ||
            !replay_step(replay, &idle, &done, error))
            return false;
    }
    return true;
}

/* Ended by hand before its end it is not done; what follows has no end, and is. */
static bool replay_ended(struct replay *replay, struct error *error)
{
    bool interrupted = replay->stop.asked && !replay->config->follow;
    if (replay->sends && !sink_finish(&replay->sink, error))
        return false;
    if (interrupted)
        return error_set(error, ERROR_RETRY, "interrupted before the end%s%s",
                         replay->config->resume ? "; the rest: --resume " : "",
                         replay->config->resume ? replay->config->resume : "");
    return output_flush(&replay->output, error);
}

static void replay_report(struct replay *replay)
{
    struct buf text = {0};
    meter_clear(&replay->meter);
    if (replay->config->dry_run) {
        tally_print(&replay->tally, &text);
        fwrite(text.data, 1, text.size, stdout);
    } else if (!replay->output.gone) {
        tally_summary(&replay->tally, &text);
        fprintf(stderr, "vote-replay: %s\n", text.data);
    }
    buf_free(&text);
}

static bool replay_do(struct replay *replay, struct error *error)
{
    if (!replay_open(replay, error))
        return false;
    source_start(&replay->source);
    meter_start(&replay->meter, "vote-replay", "records", replay->source.records);
    replay->pace_began_us = clock_mono_us();
    bool fine = replay_read(replay, error) && replay_ended(replay, error);
    replay_report(replay);
    return fine;
}

bool replay_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)options, (void)log;
    struct replay_config *config = context;
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay)
        abort();
    *replay = (struct replay){.config = config};
    bool fine = replay_check(config, error) && stop_open(&replay->stop, error);
    if (fine) {
        fine = config->verify ? verify_run(config, &replay->stop, error) : replay_do(replay, error);
        stop_close(&replay->stop);
    }
    source_close(&replay->source);
    sink_close(&replay->sink);
    state_free(&replay->state);
    tally_free(&replay->tally);
    buf_free(&replay->output.buf);
    free(replay);
    return fine;
}
