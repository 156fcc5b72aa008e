/* fuzz_event.c - a record of vote.requests is refused with a reason, or reads back the same after
 * it was written again, and its result is JSON. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/clock.h"
#include "vote/event.h"

#include <jansson.h>
#include <string.h>

static void check_request(const struct request *request)
{
    assert(request_id_is_valid(request->request_id, strlen(request->request_id)));
    assert(id_is_valid(request->user_id, strlen(request->user_id)));
    assert(id_is_valid(request->project_id, strlen(request->project_id)));
    assert(request->vote_type >= VOTE_DOWN && request->vote_type <= VOTE_UP);
    assert(request->previous >= VOTE_DOWN && request->previous <= VOTE_UP);
    assert(request->action >= ACTION_CREATED && request->action <= ACTION_UNCHANGED);
    assert(request->seq > 0);
    assert(variant_is_valid(request->variant));
    assert(buf_is_utf8(request->variant, strlen(request->variant)));
}

static void check_equal(const struct request *a, const struct request *b)
{
    assert(!strcmp(a->request_id, b->request_id));
    assert(!strcmp(a->user_id, b->user_id));
    assert(!strcmp(a->project_id, b->project_id));
    assert(!strcmp(a->variant, b->variant));
    assert(a->vote_type == b->vote_type && a->previous == b->previous && a->action == b->action);
    assert(a->seq == b->seq && a->accepted_at_ms == b->accepted_at_ms);
}

static void check_reads_back(const struct request *request)
{
    struct buf json = {0};
    struct request again;
    struct error error;
    request_encode(request, &json);
    assert(request_decode(&again, json.data, json.size, &error));
    check_equal(request, &again);
    buf_free(&json);
}

static void check_result(const struct request *request)
{
    struct buf json = {0};
    struct result result = {.request = request, .reason = "superseded by a newer vote"};
    result_encode(&result, &json);
    json_t *object = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(object));
    json_decref(object);
    buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request;
    struct forget forget;
    struct error error = {0};
    if (forget_decode(&forget, data, size, &error))
        assert(id_is_valid(forget.user_id, strlen(forget.user_id)) && forget.seq > 0);
    if (request_decode(&request, data, size, &error)) {
        check_request(&request);
        check_reads_back(&request);
        check_result(&request);
    } else {
        assert(error.code == ERROR_DATA && error.text[0]);
    }
    return 0;
}
