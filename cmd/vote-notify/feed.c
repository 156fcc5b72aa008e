/* feed.c - reads vote.results from its end, without a group: each instance has all results.
 *
 * Kafka may be away for as long as it likes: the client comes back by itself and goes on behind the
 * last record it had. SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"
#include "kafka/reader.h"

#include <stdlib.h>

enum { WAIT_MS = 100, TRY_AGAIN_MS = 1000 };

struct feed {
    const struct kafka_config *config;
    const struct log *log;
    void (*on_notice)(void *context, const struct notice *notice);
    void (*on_live)(void *context);
    void *context;
    uv_async_t wake;
    uv_thread_t thread;
    uv_mutex_t lock;
    struct notice *first, *last; /* for the loop, under the lock */
    bool live;                   /* the loop is to be told so, under the lock */
    _Atomic int up, stop;
};

static void feed_hand_over(struct feed *feed, struct notice *notice)
{
    uv_mutex_lock(&feed->lock);
    if (notice && feed->last)
        feed->last->next = notice;
    else if (notice)
        feed->first = notice;
    feed->last = notice ? notice : feed->last;
    feed->live = feed->live || !notice;
    uv_mutex_unlock(&feed->lock);
    uv_async_send(&feed->wake);
}

static void feed_take(struct feed *feed, const rd_kafka_message_t *record)
{
    char type[64];
    struct error error;
    struct notice *notice = malloc(sizeof *notice);
    if (!notice)
        abort();
    notice->next = NULL;
    if (!kafka_header_text(record, "ce_type", type, sizeof type))
        type[0] = '\0';
    if (result_decode(&notice->result, &notice->request, type, record->payload, record->len,
                      &error)) {
        notice->is_traced = kafka_message_trace(record, &notice->trace);
        notice->read_us = clock_mono_us();
        feed_hand_over(feed, notice);
        return;
    }
    LOG_EVENT(feed->log, LOG_WARN, "a record is no result", LOG_INT("partition", record->partition),
              LOG_INT("offset", record->offset), LOG_STR("error", error.text));
    free(notice);
}

/* All brokers were down: asks until one answers. */
static void feed_probe(struct feed *feed, struct reader *reader)
{
    int64_t low, high;
    atomic_store(&feed->up, 0);
    if (!kafka_ends(reader->client, TOPIC_RESULTS, 0, &low, &high, 0)) {
        atomic_store(&reader->health.down, 0);
        atomic_store(&feed->up, 1);
    }
}

static bool feed_start(struct feed *feed, struct reader *reader, struct error *error)
{
    int32_t count = 0;
    int64_t low, high;
    if (!reader_open(reader, feed->config, "vote-notify", TOPIC_RESULTS, error) ||
        !reader_partitions(reader, &count, error))
        return false;
    for (int32_t p = 0; p < count; p++) {
        if (!reader_watermarks(reader, p, &low, &high, error))
            return false;
        reader_add(reader, p, high, -1);
    }
    reader_start(reader);
    return true;
}

/* Reads until the stop, or until the client gives up; false then. */
static bool feed_read(struct feed *feed, struct reader *reader, struct error *error)
{
    rd_kafka_message_t *record;
    while (!atomic_load(&feed->stop)) {
        switch (reader_next(reader, WAIT_MS, &record, error)) {
        case READER_RECORD:
            feed_take(feed, record);
            rd_kafka_message_destroy(record);
            break;
        case READER_IDLE: break;
        case READER_DONE:
        case READER_FAILED: return false;
        }
        if (atomic_load(&reader->health.down))
            feed_probe(feed, reader);
    }
    return true;
}

static void feed_run(void *context)
{
    struct feed *feed = context;
    struct reader reader;
    struct error error = {0};
    bool fine = false;
    while (!atomic_load(&feed->stop) && !fine) {
        if (feed_start(feed, &reader, &error)) {
            atomic_store(&feed->up, 1);
            feed_hand_over(feed, NULL);
            fine = feed_read(feed, &reader, &error);
        }
        reader_close(&reader);
        atomic_store(&feed->up, 0);
        if (!fine) {
            log_error(feed->log, LOG_WARN, "waiting for kafka", &error);
            uv_sleep(TRY_AGAIN_MS);
        }
    }
}

/* Notices that came before the feed was live again are told after it: their counts are newer. */
static void feed_on_wake(uv_async_t *wake)
{
    struct feed *feed = wake->data;
    uv_mutex_lock(&feed->lock);
    struct notice *notice = feed->first, *next;
    bool live = feed->live;
    feed->first = feed->last = NULL;
    feed->live = false;
    uv_mutex_unlock(&feed->lock);
    if (live)
        feed->on_live(feed->context);
    for (; notice; notice = next) {
        next = notice->next;
        feed->on_notice(feed->context, notice);
        free(notice);
    }
}

struct feed *feed_open(const struct kafka_config *config, const struct log *log, uv_loop_t *loop,
                       void (*on_notice)(void *context, const struct notice *notice),
                       void (*on_live)(void *context), void *context)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        abort();
    *feed = (struct feed){.config = config,
                          .log = log,
                          .on_notice = on_notice,
                          .on_live = on_live,
                          .context = context};
    feed->wake.data = feed;
    if (uv_mutex_init(&feed->lock) || uv_async_init(loop, &feed->wake, feed_on_wake) ||
        uv_thread_create(&feed->thread, feed_run, feed))
        abort(); /* no descriptors or threads at the start: nothing would work */
    return feed;
}

bool feed_is_up(const struct feed *feed)
{
    return atomic_load(&feed->up);
}

static void feed_on_close(uv_handle_t *handle)
{
    struct feed *feed = handle->data;
    struct notice *next;
    for (struct notice *notice = feed->first; notice; notice = next) {
        next = notice->next;
        free(notice);
    }
    uv_mutex_destroy(&feed->lock);
    free(feed);
}

void feed_close(struct feed *feed)
{
    atomic_store(&feed->stop, 1);
    uv_thread_join(&feed->thread);
    uv_close((uv_handle_t *)&feed->wake, feed_on_close);
}
