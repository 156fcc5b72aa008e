/* fuzz_vote_body.c - any body of POST /api/votes is either a vote that says what the JSON says, or
 * a list of problems that is JSON itself. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "vote-ingest/ingest.h"

#include <jansson.h>
#include <string.h>

static size_t character_count(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void check_variant(const struct vote_body *body, const json_t *variant)
{
    assert(buf_is_utf8(body->variant, strlen(body->variant)));
    assert(character_count(body->variant) <= VARIANT_MAX);
    assert(!strcmp(body->variant, json_is_string(variant) ? json_string_value(variant) : ""));
}

/* The parsed vote against the JSON, read a second time. */
static void check_vote(const struct vote_body *body, const char *text, size_t size)
{
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(object));
    const json_t *toggle = json_object_get(object, "toggle");
    const char *project_id = json_string_value(json_object_get(object, "project_id"));
    const char *vote_type = json_string_value(json_object_get(object, "vote_type"));
    assert(project_id && !strcmp(body->project_id, project_id));
    assert(id_is_valid(body->project_id, strlen(body->project_id)));
    assert(vote_type && !strcmp(vote_type_name(body->vote_type), vote_type));
    assert(toggle ? json_is_boolean(toggle) && body->toggle == json_is_true(toggle) : body->toggle);
    check_variant(body, json_object_get(object, "variant"));
    json_decref(object);
}

/* Each problem names one field, and no field twice. */
static void check_problems(const struct buf *problems)
{
    size_t index;
    json_t *problem;
    struct buf text = {0};
    buf_char(&text, '[');
    buf_put(&text, problems->data, problems->size);
    buf_char(&text, ']');
    json_t *list = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    json_t *seen = json_object();
    assert(json_is_array(list) && json_array_size(list) > 0);
    json_array_foreach(list, index, problem)
    {
        const char *field = json_string_value(json_object_get(problem, "field"));
        const char *detail = json_string_value(json_object_get(problem, "detail"));
        assert(json_object_size(problem) == 2 && field && detail && *detail);
        assert(!json_object_get(seen, field));
        assert(json_object_set_new(seen, field, json_true()) == 0);
    }
    json_decref(seen);
    json_decref(list);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vote_body body;
    struct buf problems = {0};
    bool parsed = vote_body_parse(&body, (const char *)data, size, &problems);
    assert(parsed == (problems.size == 0));
    if (parsed)
        check_vote(&body, (const char *)data, size);
    else
        check_problems(&problems);
    buf_free(&problems);
    return 0;
}
