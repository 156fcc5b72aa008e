/* event.c - requests and results as JSON. SPDX-License-Identifier: Apache-2.0 */
#include "vote/event.h"

#include "base/clock.h"
#include "base/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"down", "none", "up"};
static const char *const action_names[] = {"created", "changed", "removed", "unchanged"};
static const char *const outcome_names[] = {"committed", "reconciled", "superseded", "failed"};

static bool name_find(const char *const *names, int count, const char *name, int *index)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(names[i], name)) {
            *index = i;
            return true;
        }
    }
    return false;
}

const char *topic_name(const char *name)
{
    static const char *const known[][2] = {
        {"requests", TOPIC_REQUESTS}, {"results", TOPIC_RESULTS}, {"dead", TOPIC_DEAD}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(known[i][0], name))
            return known[i][1];
    }
    return name;
}

const char *vote_type_name(enum vote_type type)
{
    return type_names[type + 1];
}

enum vote_type vote_type_from(int64_t value)
{
    return value == VOTE_UP || value == VOTE_DOWN ? (enum vote_type)value : VOTE_NONE;
}

bool vote_type_parse(const char *name, enum vote_type *type)
{
    int index;
    if (!name_find(type_names, 3, name, &index))
        return false;
    *type = (enum vote_type)(index - 1);
    return true;
}

const char *vote_action_name(enum vote_action action)
{
    return action_names[action];
}

bool vote_action_parse(const char *name, enum vote_action *action)
{
    int index;
    if (!name_find(action_names, 4, name, &index))
        return false;
    *action = (enum vote_action)index;
    return true;
}

const char *vote_outcome_name(enum vote_outcome outcome)
{
    return outcome_names[outcome];
}

bool vote_outcome_parse(const char *name, enum vote_outcome *outcome)
{
    int index;
    if (!name_find(outcome_names, 4, name, &index))
        return false;
    *outcome = (enum vote_outcome)index;
    return true;
}

enum vote_action vote_action_between(enum vote_type previous, enum vote_type now)
{
    if (previous == now)
        return ACTION_UNCHANGED;
    if (previous == VOTE_NONE)
        return ACTION_CREATED;
    return now == VOTE_NONE ? ACTION_REMOVED : ACTION_CHANGED;
}

/* Counts characters, not bytes: every byte that does not continue a UTF-8 sequence starts one. */
bool variant_is_valid(const char *text)
{
    size_t length = 0;
    for (; *text; text++)
        length += ((unsigned char)*text & 0xC0) != 0x80;
    return length <= VARIANT_MAX;
}

static void member_time(struct buf *json, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(wall_ms, text);
    buf_member_text(json, name, text);
}

static void request_encode_head(const struct request *request, struct buf *json)
{
    buf_char(json, '{');
    buf_member_text(json, "request_id", request->request_id);
    buf_member_text(json, "user_id", request->user_id);
    buf_member_text(json, "project_id", request->project_id);
    buf_member_text(json, "vote_type", vote_type_name(request->vote_type));
    buf_member_text(json, "previous", vote_type_name(request->previous));
    buf_member_text(json, "action", vote_action_name(request->action));
}

void request_encode(const struct request *request, struct buf *json)
{
    request_encode_head(request, json);
    buf_member_int(json, "seq", request->seq);
    member_time(json, "accepted_at", request->accepted_at_ms);
    if (request->variant[0])
        buf_member_text(json, "variant", request->variant);
    buf_char(json, '}');
}

void forget_encode(const struct forget *forget, struct buf *json)
{
    buf_char(json, '{');
    buf_member_text(json, "request_id", forget->request_id);
    buf_member_text(json, "user_id", forget->user_id);
    buf_member_int(json, "seq", forget->seq);
    member_time(json, "accepted_at", forget->accepted_at_ms);
    buf_char(json, '}');
}

void result_encode(const struct result *result, struct buf *json)
{
    request_encode_head(result->request, json);
    buf_member_int(json, "upvotes", result->upvotes);
    buf_member_int(json, "downvotes", result->downvotes);
    buf_member_int(json, "vote_count", result->upvotes - result->downvotes);
    buf_member_double(json, "community_score", result->community_score);
    buf_member_int(json, "version", result->version);
    buf_member_int(json, "seq", result->request->seq);
    if (result->reason[0])
        buf_member_text(json, "reason", result->reason);
    buf_member_text(json, "user_vote", vote_type_name(result->standing));
    member_time(json, "accepted_at", result->request->accepted_at_ms);
    member_time(json, "committed_at", result->committed_at_ms);
    buf_char(json, '}');
}

const char *result_event_type(const struct result *result)
{
    switch (result->outcome) {
    case OUTCOME_RECONCILED: return "vote.reconciled.v1";
    case OUTCOME_SUPERSEDED: return "vote.superseded.v1";
    case OUTCOME_FAILED: return "vote.failed.v1";
    case OUTCOME_COMMITTED: break;
    }
    return result->request->vote_type == VOTE_NONE ? "vote.removed.v1" : "vote.cast.v1";
}

enum { DEPTH_MAX = 16, EVENT_BYTES_MAX = 64 * 1024 };

/* The text of a member, or NULL with the error filled. */
static const char *member_text(const json_t *object, const char *name, struct error *error)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text || strlen(text) != json_string_length(json_object_get(object, name))) {
        error_set(error, ERROR_DATA, "%s is missing or no text", name);
        return NULL;
    }
    return text;
}

static bool member_id(const json_t *object, const char *name, char id[VOTE_ID_SIZE],
                      struct error *error)
{
    const char *text = member_text(object, name, error);
    if (!text)
        return false;
    if (!id_is_valid(text, strlen(text)))
        return error_set(error, ERROR_DATA, "%s is not an id of 1 to 64 characters", name);
    memcpy(id, text, strlen(text) + 1);
    return true;
}

static bool member_request_id(const json_t *object, char id[REQUEST_ID_SIZE], struct error *error)
{
    const char *text = member_text(object, "request_id", error);
    if (!text)
        return false;
    if (!request_id_is_valid(text, strlen(text)))
        return error_set(error, ERROR_DATA, "request_id is not a UUID");
    memcpy(id, text, REQUEST_ID_SIZE);
    return true;
}

static bool request_decode_ids(struct request *request, const json_t *object, struct error *error)
{
    return member_request_id(object, request->request_id, error) &&
           member_id(object, "user_id", request->user_id, error) &&
           member_id(object, "project_id", request->project_id, error);
}

static bool request_decode_vote(struct request *request, const json_t *object, struct error *error)
{
    const char *type = member_text(object, "vote_type", error);
    const char *previous = type ? member_text(object, "previous", error) : NULL;
    const char *action = previous ? member_text(object, "action", error) : NULL;
    if (!action)
        return false;
    if (!vote_type_parse(type, &request->vote_type))
        return error_set(error, ERROR_DATA, "vote_type is not up, down or none");
    if (!vote_type_parse(previous, &request->previous))
        return error_set(error, ERROR_DATA, "previous is not up, down or none");
    if (!vote_action_parse(action, &request->action))
        return error_set(error, ERROR_DATA, "action is not created, changed, removed or unchanged");
    return true;
}

/* When, on the two clocks that a vote has. */
static bool members_when(const json_t *object, int64_t *accepted_at_ms, int64_t *value,
                         struct error *error)
{
    const json_t *seq = json_object_get(object, "seq");
    const char *accepted_at = member_text(object, "accepted_at", error);
    if (!accepted_at)
        return false;
    if (!clock_parse_ms(accepted_at, accepted_at_ms))
        return error_set(error, ERROR_DATA, "accepted_at is not an RFC 3339 time");
    if (!json_is_integer(seq) || json_integer_value(seq) <= 0)
        return error_set(error, ERROR_DATA, "seq is not a positive whole number");
    *value = json_integer_value(seq);
    return true;
}

static bool request_decode_rest(struct request *request, const json_t *object, struct error *error)
{
    const json_t *variant = json_object_get(object, "variant");
    if (!members_when(object, &request->accepted_at_ms, &request->seq, error))
        return false;
    if (variant && (!json_is_string(variant) || !variant_is_valid(json_string_value(variant))))
        return error_set(error, ERROR_DATA, "variant is no text of at most 32 characters");
    if (variant)
        memcpy(request->variant, json_string_value(variant), json_string_length(variant) + 1);
    return true;
}

/* The object that the bytes are, which the caller gives back with json_decref; NULL with the error
 * filled when they are none. */
static json_t *object_load(const void *json, size_t size, struct error *error)
{
    json_error_t problem;
    if (size > EVENT_BYTES_MAX) {
        error_set(error, ERROR_DATA, "over %d KiB", EVENT_BYTES_MAX / 1024);
        return NULL;
    }
    if (!json_depth_is_within(json, size, DEPTH_MAX)) {
        error_set(error, ERROR_DATA, "nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    json_t *object = json_loadb(json ? json : "", size, JSON_REJECT_DUPLICATES, &problem);
    if (!object)
        error_set(error, ERROR_DATA, "not JSON: line %d column %d", problem.line, problem.column);
    if (!object || json_is_object(object))
        return object;
    error_set(error, ERROR_DATA, "not a JSON object");
    json_decref(object);
    return NULL;
}

static bool request_take(struct request *request, const json_t *object, struct error *error)
{
    *request = (struct request){0};
    return request_decode_ids(request, object, error) &&
           request_decode_vote(request, object, error) &&
           request_decode_rest(request, object, error);
}

bool request_decode(struct request *request, const void *json, size_t size, struct error *error)
{
    json_t *object = object_load(json, size, error);
    bool decoded = object && request_take(request, object, error);
    json_decref(object);
    return decoded;
}

static bool forget_take(struct forget *forget, const json_t *object, struct error *error)
{
    *forget = (struct forget){0};
    return member_request_id(object, forget->request_id, error) &&
           member_id(object, "user_id", forget->user_id, error) &&
           members_when(object, &forget->accepted_at_ms, &forget->seq, error);
}

bool forget_decode(struct forget *forget, const void *json, size_t size, struct error *error)
{
    json_t *object = object_load(json, size, error);
    bool decoded = object && forget_take(forget, object, error);
    json_decref(object);
    return decoded;
}

static bool outcome_of_type(const char *type, enum vote_outcome *outcome)
{
    static const char *const types[] = {"vote.cast.v1", "vote.removed.v1", "vote.reconciled.v1",
                                        "vote.superseded.v1", "vote.failed.v1"};
    static const enum vote_outcome outcomes[] = {OUTCOME_COMMITTED, OUTCOME_COMMITTED,
                                                 OUTCOME_RECONCILED, OUTCOME_SUPERSEDED,
                                                 OUTCOME_FAILED};
    int index;
    if (!name_find(types, 5, type, &index))
        return false;
    *outcome = outcomes[index];
    return true;
}

static bool member_count(const json_t *object, const char *name, int64_t *value,
                         struct error *error)
{
    const json_t *member = json_object_get(object, name);
    if (!json_is_integer(member) || json_integer_value(member) < 0)
        return error_set(error, ERROR_DATA, "%s is not a whole number", name);
    *value = json_integer_value(member);
    return true;
}

/* `user_vote` is ours, beside the contract's members: without it, the vote stands as it was asked
 * for. */
static bool result_take(struct result *result, const json_t *object, struct error *error)
{
    const char *committed_at = member_text(object, "committed_at", error);
    const char *reason = json_string_value(json_object_get(object, "reason"));
    const char *standing = json_string_value(json_object_get(object, "user_vote"));
    result->standing = result->request->vote_type;
    if (reason)
        snprintf(result->reason, sizeof result->reason, "%s", reason);
    if (standing && !vote_type_parse(standing, &result->standing))
        return error_set(error, ERROR_DATA, "user_vote is not up, down or none");
    if (committed_at && !clock_parse_ms(committed_at, &result->committed_at_ms))
        return error_set(error, ERROR_DATA, "committed_at is not an RFC 3339 time");
    result->community_score = json_number_value(json_object_get(object, "community_score"));
    return committed_at && member_count(object, "upvotes", &result->upvotes, error) &&
           member_count(object, "downvotes", &result->downvotes, error) &&
           member_count(object, "version", &result->version, error);
}

bool result_decode(struct result *result, struct request *request, const char *type,
                   const void *json, size_t size, struct error *error)
{
    *result = (struct result){.request = request};
    if (!outcome_of_type(type, &result->outcome))
        return error_set(error, ERROR_DATA, "ce_type is not one of a result");
    json_t *object = object_load(json, size, error);
    bool decoded =
        object && request_take(request, object, error) && result_take(result, object, error);
    json_decref(object);
    return decoded;
}
