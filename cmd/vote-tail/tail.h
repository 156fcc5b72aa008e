/* tail.h - the parts of vote-tail: where to read, what to show, how.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TAIL_H
#define TAIL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/option.h"
#include "kafka/kafka.h"

struct tail_config {
    struct kafka_config kafka;
    const char *topic;    /* requests, results, dead, or a topic's own name */
    const char *selector; /* NULL: end with --follow, otherwise start */
    const char *user, *project, *action, *request;
    bool follow;
    int64_t count; /* 0: no limit */
    int format;    /* enum tail_format */
};

enum tail_format { TAIL_TEXT, TAIL_JSON };

extern const struct option tail_options[];
extern const size_t tail_option_count;

/* Shows the records. ERROR_USAGE: a bad selector, filter or topic; ERROR_UNAVAILABLE: no broker, or
 * stdout cannot be written; ERROR_RETRY: a signal came before the end. */
bool tail_run(void *config, const struct options *options, struct log *log, struct error *error);

/* selector.c */

enum selector_kind {
    SELECT_START,
    SELECT_END,
    SELECT_FIRST,
    SELECT_LAST,
    SELECT_OFFSETS,
    SELECT_TIMES
};

/* Where to read: `from` and `to` are counts, offsets or Unix milliseconds; `to` is exclusive, -1
 * open. */
struct selector {
    enum selector_kind kind;
    int64_t from, to;
};

/* Reads start, end, +N, -N, A:B, @T, @T1:T2. T is RFC 3339, a date, Unix seconds or milliseconds,
 * or a duration before now (-15m). ERROR_USAGE otherwise, and when the end is before the start. */
bool selector_parse(struct selector *selector, const char *text, int64_t now_ms,
                    struct error *error) __attribute__((warn_unused_result));

/* format.c: text for eyes; it never lets a record's bytes reach the terminal as controls. */
void format_text(const rd_kafka_message_t *message, struct buf *out);

/* Refuses a filter that nothing could ever pass. */
bool filter_check(const struct tail_config *config, struct error *error)
    __attribute__((warn_unused_result));

/* True when the record passes the filters that are set. */
bool filter_match(const struct tail_config *config, const rd_kafka_message_t *message);

/* envelope.c: one record as one line of JSON from which it can be made again, byte for byte. */
void format_json(const rd_kafka_message_t *message, struct buf *out);

/* output.c */

/* stdout, written in big pieces; gone when whoever reads it has seen enough (`| head`). */
struct output {
    struct buf buf;
    bool gone;
};

/* Writes what is buffered; true also when the reader has gone. ERROR_UNAVAILABLE: it cannot be
 * written (a full disk). */
bool output_flush(struct output *output, struct error *error) __attribute__((warn_unused_result));

/* Looks whether the reader is still there. */
void output_check(struct output *output);

#endif
