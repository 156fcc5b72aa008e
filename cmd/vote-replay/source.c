/* source.c - where records come from: a topic, or a file. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/replay.h"

#include "base/clock.h"
#include "vote/event.h"

void item_release(struct item *item)
{
    if (item->envelope.headers)
        rd_kafka_headers_destroy(item->envelope.headers);
    if (item->message)
        rd_kafka_message_destroy(item->message);
    *item = (struct item){0};
}

bool source_open(struct source *source, const struct replay_config *config, struct error *error)
{
    *source = (struct source){.config = config};
    if (config->after_us)
        source->hold = hold_new(config->after_us);
    if (!config->file)
        return reader_open(&source->reader, &config->kafka, "vote-replay", topic_name(config->from),
                           error);
    if (!file_open(&source->file, config->file, error))
        return error_wrap(error, "%s", config->file);
    source->records = file_records(source->file);
    return true;
}

bool source_choose(struct source *source, struct error *error)
{
    const struct replay_config *config = source->config;
    struct selector selector;
    const char *text = config->selector ? config->selector : config->follow ? "end" : "start";
    return source->file ||
           (selector_parse(&selector, text, clock_wall_ms(), error) &&
            selector_apply(&selector, &source->reader, config->follow, &source->records, error));
}

void source_start(struct source *source)
{
    if (!source->file)
        reader_start(&source->reader);
}

/* The headers become the item's own without a copy. */
static enum source_event message_take(struct item *item, rd_kafka_message_t *message)
{
    *item = (struct item){
        .message = message, .partition = message->partition, .next = message->offset + 1};
    envelope_of_message(&item->envelope, message);
    if (item->envelope.headers)
        rd_kafka_message_detach_headers(message, &item->envelope.headers);
    return SOURCE_ITEM;
}

/* Reads on while there is room, whatever waits: other partitions may have what is old enough. */
static enum source_event held_next(struct source *source, int wait_ms, struct item *item,
                                   struct error *error)
{
    rd_kafka_message_t *message = hold_take(source->hold, clock_wall_ms());
    if (message)
        return message_take(item, message);
    if (hold_is_full(source->hold)) {
        clock_sleep_us((int64_t)wait_ms * 1000);
        return SOURCE_IDLE;
    }
    switch (reader_next(&source->reader, wait_ms, &message, error)) {
    case READER_RECORD: hold_put(source->hold, message); return SOURCE_IDLE;
    case READER_IDLE: return SOURCE_IDLE;
    case READER_FAILED: return SOURCE_FAILED;
    case READER_DONE: break;
    }
    if (hold_is_empty(source->hold))
        return SOURCE_DONE;
    clock_sleep_us((int64_t)wait_ms * 1000);
    return SOURCE_IDLE;
}

enum source_event source_next(struct source *source, int wait_ms, struct item *item,
                              struct error *error)
{
    rd_kafka_message_t *message;
    if (source->file)
        return file_next(source->file, item, error);
    if (source->hold)
        return held_next(source, wait_ms, item, error);
    switch (reader_next(&source->reader, wait_ms, &message, error)) {
    case READER_RECORD: return message_take(item, message);
    case READER_IDLE: return SOURCE_IDLE;
    case READER_DONE: return SOURCE_DONE;
    case READER_FAILED: break;
    }
    return SOURCE_FAILED;
}

void source_close(struct source *source)
{
    hold_free(source->hold);
    file_close(source->file);
    if (source->reader.client)
        reader_close(&source->reader);
}
