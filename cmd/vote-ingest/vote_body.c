/* vote_body.c - reads the body of POST /api/votes and names every bad field.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/json.h"

#include <jansson.h>
#include <string.h>

void problem_add(struct buf *problems, const char *field, const char *detail)
{
    if (problems->size)
        buf_char(problems, ',');
    buf_char(problems, '{');
    buf_member_text(problems, "field", field);
    buf_member_text(problems, "detail", detail);
    buf_char(problems, '}');
}

static void body_read_project(struct vote_body *body, const json_t *object, struct buf *problems)
{
    const json_t *member = json_object_get(object, "project_id");
    const char *text = json_string_value(member);
    if (!text)
        problem_add(problems, "project_id", member ? "is no text" : "is missing");
    else if (!id_is_valid(text, json_string_length(member)))
        problem_add(problems, "project_id", "is not 1 to 64 characters out of A-Z a-z 0-9 . _ : -");
    else
        memcpy(body->project_id, text, strlen(text) + 1);
}

static void body_read_type(struct vote_body *body, const json_t *object, struct buf *problems)
{
    const json_t *member = json_object_get(object, "vote_type");
    const char *text = json_string_value(member);
    if (!text)
        problem_add(problems, "vote_type", member ? "is no text" : "is missing");
    else if (!vote_type_parse(text, &body->vote_type))
        problem_add(problems, "vote_type", "is not up, down or none");
}

static void body_read_toggle(struct vote_body *body, const json_t *object, struct buf *problems)
{
    const json_t *member = json_object_get(object, "toggle");
    body->toggle = true;
    if (member && !json_is_boolean(member))
        problem_add(problems, "toggle", "is not true or false");
    else if (member)
        body->toggle = json_is_true(member);
}

static void body_read_variant(struct vote_body *body, const json_t *object, struct buf *problems)
{
    const json_t *member = json_object_get(object, "variant");
    const char *text = json_string_value(member);
    if (!member || json_is_null(member))
        return;
    if (!text || !*text || !variant_is_valid(text))
        problem_add(problems, "variant", "is no text of 1 to 32 characters");
    else
        memcpy(body->variant, text, strlen(text) + 1);
}

enum { BODY_DEPTH_MAX = 16 };

bool vote_body_parse(struct vote_body *body, const char *json, size_t size, struct buf *problems)
{
    json_error_t where;
    *body = (struct vote_body){0};
    if (!json_depth_is_within(json, size, BODY_DEPTH_MAX)) {
        problem_add(problems, "", "the body is nested deeper than 16 levels");
        return false;
    }
    json_t *object = json_loadb(json ? json : "", size, JSON_REJECT_DUPLICATES, &where);
    if (!object) {
        problem_add(problems, "", size ? "the body is not JSON" : "the body is empty");
        return false;
    }
    if (json_is_object(object)) {
        body_read_project(body, object, problems);
        body_read_type(body, object, problems);
        body_read_toggle(body, object, problems);
        body_read_variant(body, object, problems);
    } else {
        problem_add(problems, "", "the body is not a JSON object");
    }
    json_decref(object);
    return problems->size == 0;
}
