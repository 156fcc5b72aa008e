/* exporter.c - one thread that sends ended spans to a collector.
 *
 * A batch that the collector cannot take now is sent again after a wait that doubles, or after what
 * its Retry-After says; a batch that it refuses is lost. Meanwhile spans wait in the queue, and
 * when that is full they are lost as they end. SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/random.h"
#include "trace/collector.h"
#include "trace/tracer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SECOND_US = 1000 * 1000,
    FLUSH_US = SECOND_US,
    BACKOFF_MIN_US = SECOND_US / 2,
    BACKOFF_MAX_US = 16 * SECOND_US,
    TRIES_MAX = 6,
    STEP_MAX_US = 1000, /* two readings of two clocks may differ so far when neither was set */
    INSTANCE_SIZE = 96
};

#define AT(member) .offset = offsetof(struct trace_config, member)
/* clang-format off */
const struct option otlp_options[OTLP_OPTION_COUNT] = {
    {.name = "otlp-endpoint", .type = OPTION_TEXT, AT(endpoint), .argument = "URL",
     .flags = OPTION_URL, .summary = "collector of traces: spans go to URL/v1/traces"},
    {.name = "otlp-sample", .type = OPTION_RATIO, AT(sample), .preset = "1", .argument = "RATIO",
     .summary = "share of the traces that begin here, 0 to 1"},
    {.name = "otlp-queue", .type = OPTION_INT, AT(queue), .preset = "4096", .argument = "N",
     .min = 2, .max = 1048576, .summary = "spans that wait for the collector; more are dropped"},
    {.name = "otlp-timeout", .type = OPTION_DURATION, AT(timeout_us), .preset = "2s",
     .argument = "DURATION", .min = 10000, .max = 60000000,
     .summary = "longest wait for an answer, and at the stop"},
};
/* clang-format on */

struct exporter {
    struct tracer *tracer;
    const struct trace_config *config;
    const struct log *log;
    char instance[INSTANCE_SIZE];
    struct collector *collector;
    pthread_t thread;
    _Atomic int64_t stop_us; /* monotonic: nothing is sent behind it; 0: no stop */
    int64_t offset_us;       /* the wall clock less the monotonic one */
    struct span batch[TRACE_BATCH_MAX];
    size_t count; /* in the batch; it stays until it is sent or lost */
    int tries;
    bool is_failing;
    struct buf json; /* the batch's */
};

/* The wall clock may be set while spans are under way: parents and children of one process go by
 * one offset for as long as it is not. */
static void offset_follow(struct exporter *exporter)
{
    int64_t offset_us = clock_wall_us() - clock_mono_us();
    if (llabs(offset_us - exporter->offset_us) > STEP_MAX_US)
        exporter->offset_us = offset_us;
}

static void batch_fill(struct exporter *exporter)
{
    if (exporter->count)
        return;
    while (exporter->count < TRACE_BATCH_MAX &&
           span_queue_take(&exporter->tracer->queue, &exporter->batch[exporter->count]))
        exporter->count++;
    if (!exporter->count)
        return;
    offset_follow(exporter);
    exporter->tries = 0;
    buf_clear(&exporter->json);
    otlp_encode(exporter->log->tool, exporter->instance, exporter->batch, exporter->count,
                exporter->offset_us, &exporter->json);
}

static void batch_clear(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->count; i++)
        free(exporter->batch[i].links);
    exporter->count = 0;
}

static void batch_lose(struct exporter *exporter, enum trace_loss loss)
{
    tracer_lose(exporter->tracer, loss, (int64_t)exporter->count);
    batch_clear(exporter);
}

static void batch_sent(struct exporter *exporter)
{
    int64_t count = (int64_t)exporter->count;
    int64_t rejected = collector_rejected(exporter->collector);
    if (rejected > count)
        rejected = count;
    metric_add(exporter->tracer->exported, count - rejected);
    tracer_lose(exporter->tracer, LOSS_REFUSED, rejected);
    batch_clear(exporter);
}

/* One line when it begins to fail, and one when that is over. */
static void failing_tell(struct exporter *exporter, bool is_failing, const struct error *error)
{
    if (is_failing && !exporter->is_failing)
        log_error(exporter->log, LOG_WARN, "traces are not taken", error);
    else if (!is_failing && exporter->is_failing)
        LOG_EVENT(exporter->log, LOG_INFO, "traces are taken again");
    exporter->is_failing = is_failing;
}

/* How long to wait before the batch is sent again: what the collector asks for, or twice as long
 * each time, half of it by chance. */
static int64_t retry_wait_us(const struct exporter *exporter)
{
    uint32_t chance;
    int64_t wait_us = collector_retry_after_us(exporter->collector);
    if (wait_us)
        return wait_us;
    random_fill(&chance, sizeof chance);
    wait_us = (int64_t)BACKOFF_MIN_US << exporter->tries;
    wait_us = wait_us < BACKOFF_MAX_US ? wait_us : BACKOFF_MAX_US;
    return wait_us / 2 + chance % (wait_us / 2);
}

/* Returns how long to wait before the next call; 0: not at all. */
static int64_t batch_send(struct exporter *exporter, int64_t timeout_us)
{
    struct error error = {0};
    enum answer answer = collector_post(exporter->collector, &exporter->json, timeout_us, &error);
    failing_tell(exporter, answer != ANSWER_TAKEN, &error);
    switch (answer) {
    case ANSWER_TAKEN: batch_sent(exporter); return 0;
    case ANSWER_REFUSED: batch_lose(exporter, LOSS_REFUSED); return 0;
    case ANSWER_LATER: break;
    }
    int64_t wait_us = retry_wait_us(exporter);
    if (++exporter->tries == TRIES_MAX)
        batch_lose(exporter, LOSS_UNREACHABLE);
    return wait_us;
}

static bool is_stopping(const struct exporter *exporter)
{
    return atomic_load(&exporter->stop_us) != 0;
}

/* Sleeps; false when the time is not over: spans or the stop have woken it. */
static bool sleep_until(struct exporter *exporter, int64_t until_us)
{
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
    return sem_clockwait(&exporter->tracer->awake, CLOCK_MONOTONIC, &until) && errno == ETIMEDOUT;
}

static void exporter_turn(struct exporter *exporter)
{
    int64_t wait_us = 0;
    batch_fill(exporter);
    while (exporter->count && !wait_us && !is_stopping(exporter)) {
        wait_us = batch_send(exporter, exporter->config->timeout_us);
        batch_fill(exporter);
    }
    int64_t until_us = clock_mono_us() + (wait_us ? wait_us : FLUSH_US);
    while (!is_stopping(exporter) && !sleep_until(exporter, until_us) && wait_us)
        ; /* spans do not cut a wait that the collector needs */
}

/* What is left has one try each, as long as the stop waits. */
static void exporter_flush(struct exporter *exporter)
{
    int64_t lost = 0, left_us;
    bool reached = true;
    for (batch_fill(exporter); exporter->count; batch_fill(exporter)) {
        left_us = atomic_load(&exporter->stop_us) - clock_mono_us();
        reached = reached && left_us >= 1000 && !batch_send(exporter, left_us);
        lost += (int64_t)exporter->count;
        batch_lose(exporter, LOSS_UNREACHABLE);
    }
    if (lost)
        LOG_EVENT(exporter->log, LOG_WARN, "spans are dropped at the stop", LOG_INT("spans", lost));
}

static void *exporter_run(void *context)
{
    struct exporter *exporter = context;
    while (!is_stopping(exporter))
        exporter_turn(exporter);
    exporter_flush(exporter);
    return NULL;
}

static void register_metrics(struct tracer *tracer, struct metrics *metrics)
{
    static const char *const reasons[TRACE_LOSSES] = {"reason=\"queue\"", "reason=\"refused\"",
                                                      "reason=\"unreachable\""};
    metrics_allow_exemplars(metrics);
    tracer->exported = metrics_counter(metrics, "vote_trace_spans_exported_total",
                                       "Spans that the collector has taken.", NULL);
    for (int i = 0; i < TRACE_LOSSES; i++)
        tracer->lost[i] = metrics_counter(metrics, "vote_trace_spans_dropped_total",
                                          "Spans that nobody will see.", reasons[i]);
}

static struct exporter *exporter_new(struct tracer *tracer, const struct trace_config *config,
                                     const struct log *log)
{
    char host[64] = "";
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (!exporter)
        abort();
    gethostname(host, sizeof host - 1);
    snprintf(exporter->instance, INSTANCE_SIZE, "%s:%d", host, (int)getpid());
    exporter->tracer = tracer;
    exporter->config = config;
    exporter->log = log;
    return exporter;
}

static void exporter_free(struct exporter *exporter)
{
    buf_free(&exporter->json);
    free(exporter);
}

bool tracer_open(struct tracer **tracer, const struct trace_config *config, struct metrics *metrics,
                 const struct log *log, struct error *error)
{
    *tracer = NULL;
    if (!config->endpoint)
        return true;
    struct tracer *opened = malloc(sizeof *opened);
    if (!opened)
        abort();
    struct exporter *exporter = exporter_new(opened, config, log);
    if (!collector_open(&exporter->collector, config->endpoint, &exporter->stop_us, error)) {
        exporter_free(exporter);
        free(opened);
        return false;
    }
    tracer_init(opened, config->sample, (uint64_t)config->queue);
    register_metrics(opened, metrics);
    opened->exporter = exporter;
    if (pthread_create(&exporter->thread, NULL, exporter_run, exporter))
        abort(); /* no threads at the start: nothing would work */
    pthread_setname_np(exporter->thread, "otlp");
    *tracer = opened;
    return true;
}

void tracer_close(struct tracer *tracer)
{
    if (!tracer)
        return;
    struct exporter *exporter = tracer->exporter;
    atomic_store(&exporter->stop_us, clock_mono_us() + exporter->config->timeout_us);
    sem_post(&tracer->awake);
    pthread_join(exporter->thread, NULL);
    collector_close(exporter->collector);
    exporter_free(exporter);
    tracer_destroy(tracer);
    free(tracer);
}
