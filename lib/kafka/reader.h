/* reader.h - reads ranges of a topic's partitions by offset, without a group: it joins nothing and
 * commits nothing, so looking takes nothing away. A reader is used by one thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KAFKA_READER_H
#define KAFKA_READER_H

#include "kafka/kafka.h"

enum { READER_TIMEOUT_MS = 10000, READER_BATCH = 1000 };

/* Of one partition: offsets from `from` on, to before `to`; -1 has no end. */
struct reader_range {
    int32_t partition;
    int64_t from, to;
    bool done; /* nothing of it is left */
};

struct reader {
    rd_kafka_t *client;
    struct kafka_health health;
    const char *topic;           /* borrowed */
    struct reader_range *ranges; /* owned */
    size_t range_count;
    size_t open_count; /* ranges that are not done */
    int64_t heard_us;  /* monotonic: since when nothing has come, no record and no end */
    bool heard;        /* a record has, since it was set */
    rd_kafka_queue_t *queue;
    rd_kafka_message_t *batch[READER_BATCH]; /* taken from the client together, for speed */
    size_t batch_at, batch_count;            /* what is in [at, count) waits to be handed out */
    size_t record_size;                      /* bytes of a record that was taken last */
    size_t ahead_peak; /* most bytes that waited in the client since it was last nudged */
};

enum reader_event {
    READER_RECORD, /* a record of one of the ranges */
    READER_IDLE,   /* nothing for now */
    READER_DONE,   /* all ranges are read */
    READER_FAILED,
};

/* Connects within READER_TIMEOUT_MS; `name` becomes client.id. The reader must not move afterwards.
 * ERROR_UNAVAILABLE: no broker answers. Close it in either case. */
bool reader_open(struct reader *reader, const struct kafka_config *config, const char *name,
                 const char *topic, struct error *error) __attribute__((warn_unused_result));
void reader_close(struct reader *reader);

/* How many partitions the topic has. ERROR_USAGE: there is no such topic. */
bool reader_partitions(struct reader *reader, int32_t *count, struct error *error)
    __attribute__((warn_unused_result));

/* The first offset that is there, and the one the next record will get. */
bool reader_watermarks(struct reader *reader, int32_t partition, int64_t *low, int64_t *high,
                       struct error *error) __attribute__((warn_unused_result));

/* The first offset whose record is not older than `time_ms` (Unix); -1 when all are. */
bool reader_offset_at(struct reader *reader, int32_t partition, int64_t time_ms, int64_t *offset,
                      struct error *error) __attribute__((warn_unused_result));

/* Adds what to read; an empty range is left out. Then starts. */
void reader_add(struct reader *reader, int32_t partition, int64_t from, int64_t to);

/* Reads no more of the partition, once it was started. */
void reader_leave(struct reader *reader, int32_t partition);
void reader_start(struct reader *reader);

/* One more than the highest partition that was added. */
size_t reader_partition_bound(const struct reader *reader);

/* The next record within `wait_ms`; READER_RECORD hands it to the caller, who destroys it. Records
 * of a partition come in order. A range with an end is done at the partition's end, too. When every
 * range has an end, a silence of READER_TIMEOUT_MS fails with ERROR_UNAVAILABLE. */
enum reader_event reader_next(struct reader *reader, int wait_ms, rd_kafka_message_t **message,
                              struct error *error) __attribute__((warn_unused_result));

#endif
