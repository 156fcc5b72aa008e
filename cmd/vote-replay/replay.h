/* replay.h - the parts of vote-replay: where records come from, which are sent, where they go, and
 * what is remembered of it. SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_H
#define REPLAY_H

#include "base/error.h"
#include "base/log.h"
#include "base/meter.h"
#include "base/option.h"
#include "base/output.h"
#include "base/stop.h"
#include "kafka/envelope.h"
#include "kafka/selector.h"
#include "pg/pg.h"
#include "vote/filter.h"

struct replay_config {
    struct kafka_config kafka;
    struct pg_config pg;
    struct filter filter;
    const char *from, *file, *to; /* topics by their short or full names; NULL: not given */
    const char *selector;         /* NULL: end with --follow, otherwise start */
    const char *classes;          /* of errors, with commas between; NULL: any */
    const char *resume;           /* the state file; NULL: none */
    bool dry_run, redrive, verify, follow, yes;
    int64_t max_replays, after_us;
    double rate_per_s; /* 0: no limit */
};

extern const struct option replay_options[];
extern const size_t replay_option_count;

bool replay_run(void *config, const struct options *options, struct log *log, struct error *error);

/* source.c */

/* A record on its way. Its headers are owned; so is the message, where there is one, that the rest
 * lies in. */
struct item {
    struct envelope envelope;
    rd_kafka_message_t *message;
    bool is_new;       /* never was on a topic: nothing is replayed by sending it */
    int32_t partition; /* of the source: a file has one */
    int64_t next;      /* the source's position behind it */
    int64_t replays;   /* how often it was replayed before, once it is judged */
};

void item_release(struct item *item);

enum source_event { SOURCE_ITEM, SOURCE_IDLE, SOURCE_DONE, SOURCE_FAILED };

/* Where records come from: a topic, or a file that was read and found right as a whole. */
struct source {
    const struct replay_config *config;
    struct reader reader;
    struct file_source *file; /* NULL: a topic */
    struct hold *hold;        /* records that are not old enough yet; NULL without --after */
    int64_t records;          /* how many there are at most; -1: nobody knows */
};

/* Opens it. ERROR_USAGE: no such topic; ERROR_DATA: what is in the file is wrong. */
bool source_open(struct source *source, const struct replay_config *config, struct error *error)
    __attribute__((warn_unused_result));

/* Chooses what the selector means; then, or after ranges were added to the reader, starts. */
bool source_choose(struct source *source, struct error *error) __attribute__((warn_unused_result));
void source_start(struct source *source);
enum source_event source_next(struct source *source, int wait_ms, struct item *item,
                              struct error *error) __attribute__((warn_unused_result));
void source_close(struct source *source);

/* file.c: CSV of votes, or envelopes one a line; which of them its first character tells. A pipe is
 * copied first, so that in no case anything of a bad file is sent. */
bool file_open(struct file_source **file, const char *path, struct error *error)
    __attribute__((warn_unused_result));
void file_close(struct file_source *file);
int64_t file_records(const struct file_source *file);
uint64_t file_hash(const struct file_source *file); /* of its content */
void file_skip(struct file_source *file, int64_t records);
enum source_event file_next(struct file_source *file, struct item *item, struct error *error)
    __attribute__((warn_unused_result));

/* votes.c: the votes of a CSV file as requests, in order of time: each one's id is made of the vote
 * and its place in time, so that the same file makes the same requests. */
struct votes;
bool votes_read(struct votes **votes, FILE *file, struct error *error)
    __attribute__((warn_unused_result));
size_t votes_count(const struct votes *votes);
void votes_item(const struct votes *votes, size_t index, struct buf *value, struct item *item);
void votes_free(struct votes *votes);

/* hold.c: keeps records until they are old enough; of one partition they leave in order. */
enum { HOLD_MAX = 10000 };
struct hold *hold_new(int64_t after_us);
void hold_free(struct hold *hold);
bool hold_is_full(const struct hold *hold);
bool hold_is_empty(const struct hold *hold);
void hold_put(struct hold *hold, rd_kafka_message_t *message);    /* taken */
rd_kafka_message_t *hold_take(struct hold *hold, int64_t now_ms); /* NULL: none is old enough */

/* dead.c */

enum { CLASS_SIZE = 80, ORIGIN_SIZE = 256 };

/* What the headers of a dead letter say, in Kafka Connect's dialect or the short one. */
struct dead {
    bool is_dead;             /* it has such headers */
    char class[CLASS_SIZE];   /* undecodable, transient, constraint, data, refused, or a name */
    char exact[CLASS_SIZE];   /* the SQLSTATE or the exception's class; may be empty */
    char origin[ORIGIN_SIZE]; /* the topic that it came from; empty when they do not say */
};

void dead_read(struct dead *dead, const rd_kafka_headers_t *headers);
bool dead_is_of_class(const struct dead *dead, const char *classes);
void dead_strip(rd_kafka_headers_t *headers); /* takes the error headers away */

/* judge.c */

/* What becomes of a record. */
enum verdict {
    VERDICT_SEND,
    VERDICT_FILTERED,  /* it is not meant */
    VERDICT_LOOPS,     /* it was replayed too often */
    VERDICT_HOMELESS,  /* nobody knows where it came from */
    VERDICT_FORBIDDEN, /* its target is not ours, and --yes was not given */
    VERDICTS
};

/* Judges it; `target` is where it would go (borrowed from `dead` or the config). */
enum verdict judge(const struct replay_config *config, struct item *item, struct dead *dead,
                   const char **target);

/* Makes the headers of a judged item those that are to be sent: what failed is taken off, the count
 * is raised. Of a redrive `dead` is not NULL: vote-commit, which reads vote.requests, is told of
 * it. */
void headers_prepare(struct item *item, const struct dead *dead, const char *target);
bool topic_is_ours(const char *topic);

/* tally.c: what was done, or would be. */
struct tally {
    int64_t verdicts[VERDICTS];
    int64_t total;
    struct group *types, *projects, *classes; /* lists, by first appearance */
};

void tally_add(struct tally *tally, enum verdict verdict, const struct item *item,
               const struct dead *dead, bool detailed);
void tally_print(const struct tally *tally, struct buf *out);   /* the histogram */
void tally_summary(const struct tally *tally, struct buf *out); /* one phrase */
void tally_free(struct tally *tally);

/* state.c: what --resume FILE remembers; see there for the guarantee. */

struct span {
    int32_t partition;
    int64_t from, to; /* to: -1 has no end */
    int64_t next;     /* what is before it is in the open transaction; 0: nothing is */
};

struct state {
    const char *path;
    char id[33];
    char *task; /* owned: what the replay does; another task does not go on from here */
    struct span *spans;
    size_t span_count;
    bool found;
    int64_t written_us; /* monotonic */
};

/* Reads the file if it is there. ERROR_DATA: it is no state file; ERROR_USAGE: it belongs to
 * another task. Free it in any case. */
bool state_open(struct state *state, const char *path, const char *task, struct error *error)
    __attribute__((warn_unused_result));
void state_add(struct state *state, int32_t partition, int64_t from, int64_t to);
struct span *state_span(struct state *state, int32_t partition); /* NULL: there is none */

/* Replaces the file as a whole, and returns when it is on the disk. */
bool state_write(struct state *state, struct error *error) __attribute__((warn_unused_result));
void state_free(struct state *state);

/* sink.c */

enum { TARGETS_MAX = 64 };

/* Where records go: topics, with a transaction around some thousand of them when there is a state.
 */
struct sink {
    const struct replay_config *config;
    rd_kafka_t *producer;
    struct kafka_health health;
    struct stop *stop;
    struct state *state; /* NULL: nothing is remembered */
    const char *positions_topic;
    char group[64];
    rd_kafka_consumer_group_metadata_t *group_metadata;
    rd_kafka_topic_t *targets[TARGETS_MAX];
    size_t target_count;
    bool in_transaction;
    int64_t begun_us, in_transaction_count;
    rd_kafka_resp_err_t failed; /* of a delivery */
};

bool sink_open(struct sink *sink, const struct replay_config *config, struct stop *stop,
               struct state *state, const char *positions_topic, struct error *error)
    __attribute__((warn_unused_result));

/* Moves the state's spans to behind what the last run has sent. */
bool sink_recall(struct sink *sink, struct error *error) __attribute__((warn_unused_result));

/* ERROR_USAGE: there is no such topic. */
bool sink_check(struct sink *sink, const char *topic, struct error *error)
    __attribute__((warn_unused_result));

/* Sends it; its headers are taken. */
bool sink_send(struct sink *sink, const char *topic, struct item *item, struct error *error)
    __attribute__((warn_unused_result));

/* Remembers that what is before `next` is done with; and lets time pass. */
void sink_note(struct sink *sink, int32_t partition, int64_t next);
bool sink_turn(struct sink *sink, struct error *error) __attribute__((warn_unused_result));

/* Returns when all that was sent is there. */
bool sink_finish(struct sink *sink, struct error *error) __attribute__((warn_unused_result));
void sink_close(struct sink *sink);

/* verify.c: replays vote.requests into a scratch database. ERROR_FOUND: something differs. */
bool verify_run(const struct replay_config *config, struct stop *stop, struct error *error)
    __attribute__((warn_unused_result));

#endif
