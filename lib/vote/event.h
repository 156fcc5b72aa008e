/* event.h - what travels on the topics: a request, its result, and their JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_EVENT_H
#define VOTE_EVENT_H

#include "base/buf.h"
#include "base/error.h"
#include "vote/ids.h"

#include <stdbool.h>
#include <stdint.h>

#define TOPIC_REQUESTS "vote.requests"
#define TOPIC_RESULTS  "vote.results"
#define TOPIC_DEAD     "vote.dead"

/* How often a record was replayed; and, on a dead letter that was sent back, the same number: a
 * replay of it raises only the first. */
#define HEADER_REPLAY_COUNT "replay_count"
#define HEADER_REDRIVEN     "vote_redriven"

/* "requests", "results" and "dead" are short for those; any other name stands for itself. */
const char *topic_name(const char *name);

enum { VARIANT_MAX = 32, REASON_SIZE = 96 };

/* A vote's value as Postgres and Redis keep it. */
enum vote_type { VOTE_DOWN = -1, VOTE_NONE = 0, VOTE_UP = 1 };

enum vote_action { ACTION_CREATED, ACTION_CHANGED, ACTION_REMOVED, ACTION_UNCHANGED };

enum vote_outcome { OUTCOME_COMMITTED, OUTCOME_RECONCILED, OUTCOME_SUPERSEDED, OUTCOME_FAILED };

const char *vote_type_name(enum vote_type type); /* "up", "down", "none" */
/* -1, 0 or 1 as it is read back; anything else is no vote. */
enum vote_type vote_type_from(int64_t value);
bool vote_type_parse(const char *name, enum vote_type *type) __attribute__((warn_unused_result));
const char *vote_action_name(enum vote_action action);
bool vote_action_parse(const char *name, enum vote_action *action)
    __attribute__((warn_unused_result));
const char *vote_outcome_name(enum vote_outcome outcome); /* as the ledger has it: "committed" */
bool vote_outcome_parse(const char *name, enum vote_outcome *outcome)
    __attribute__((warn_unused_result));

/* What a step from one vote to another is called. */
enum vote_action vote_action_between(enum vote_type previous, enum vote_type now);

/* True when the UTF-8 text has at most VARIANT_MAX characters, so that it fits a request. */
bool variant_is_valid(const char *text) __attribute__((warn_unused_result));

/* vote.requested.v1: what a user's vote on a project is from now on. */
struct request {
    char request_id[REQUEST_ID_SIZE];
    char user_id[VOTE_ID_SIZE];
    char project_id[VOTE_ID_SIZE];
    enum vote_type vote_type;
    enum vote_type previous;
    enum vote_action action;
    int64_t seq;            /* hybrid clock, microseconds; higher is newer for a user and project */
    int64_t accepted_at_ms; /* Unix milliseconds */
    char variant[VARIANT_MAX * 4 + 1]; /* UTF-8, up to 32 characters; empty when there is none */
};

/* What became of a request. */
struct result {
    const struct request *request; /* borrowed */
    enum vote_outcome outcome;
    enum vote_type standing; /* the user's vote as Postgres has it now */
    int64_t upvotes, downvotes;
    double community_score;
    int64_t version;
    char reason[REASON_SIZE]; /* empty when there is none */
    int64_t committed_at_ms;
};

/* vote.user.forgotten.v1: what the user has asked for up to `seq` is to be gone. It stands in
 * vote.requests with the user's id as its key, once in each partition: behind it, nothing older of
 * the user is left there to be applied. */
#define EVENT_FORGOTTEN "vote.user.forgotten.v1"
struct forget {
    char request_id[REQUEST_ID_SIZE];
    char user_id[VOTE_ID_SIZE];
    int64_t seq;            /* on the clock of requests' seq */
    int64_t accepted_at_ms; /* Unix milliseconds */
};

void forget_encode(const struct forget *forget, struct buf *json);
bool forget_decode(struct forget *forget, const void *json, size_t size, struct error *error)
    __attribute__((warn_unused_result));

void request_encode(const struct request *request, struct buf *json);

/* Reads the JSON of a vote.requests record. Refuses what could never be applied, naming the member,
 * and never repeats a value. */
bool request_decode(struct request *request, const void *json, size_t size, struct error *error)
    __attribute__((warn_unused_result));

void result_encode(const struct result *result, struct buf *json);

/* Reads the JSON of a vote.results record whose CloudEvents `type` is given; fills both, and joins
 * them. */
bool result_decode(struct result *result, struct request *request, const char *type,
                   const void *json, size_t size, struct error *error)
    __attribute__((warn_unused_result));

/* "vote.cast.v1", "vote.removed.v1", ... (CloudEvents `type`). */
const char *result_event_type(const struct result *result);

#endif
