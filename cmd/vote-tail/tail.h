/* tail.h - the parts of vote-tail: where to read, what to show, how.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TAIL_H
#define TAIL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/option.h"
#include "kafka/kafka.h"
#include "vote/filter.h"

struct tail_config {
    struct kafka_config kafka;
    const char *topic;    /* requests, results, dead, or a topic's own name */
    const char *selector; /* NULL: end with --follow, otherwise start */
    struct filter filter;
    bool follow;
    int64_t count; /* 0: no limit */
    int format;    /* enum tail_format */
};

enum tail_format { TAIL_TEXT, TAIL_JSON, TAIL_CSV };

extern const struct option tail_options[];
extern const size_t tail_option_count;

/* Shows the records. ERROR_USAGE: a bad selector, filter or topic; ERROR_UNAVAILABLE: no broker, or
 * stdout cannot be written; ERROR_RETRY: a signal came before the end. */
bool tail_run(void *config, const struct options *options, struct log *log, struct error *error);

/* format.c: a line for eyes; it never lets a record's bytes reach the terminal as controls. */
void format_text(const rd_kafka_message_t *message, bool coloured, struct buf *out);

/* csv.c: a row for spreadsheets (RFC 4180), which none of them takes for a formula. */
void format_csv_header(struct buf *out);
void format_csv(const rd_kafka_message_t *message, struct buf *out);

/* text.c */

/* How many bytes of `text` are one control character: 0 when it starts with none. A control would
 * move the cursor, or do worse. */
size_t text_control_size(const char *text, size_t size);

#endif
