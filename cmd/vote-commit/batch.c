/* batch.c - records on their way from the log into one transaction. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void batch_open(struct batch *batch, int64_t size)
{
    batch->entries = calloc((size_t)size, sizeof *batch->entries);
    if (!batch->entries)
        abort();
}

void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        rd_kafka_message_destroy(batch->entries[i].message);
    batch->count = 0;
}

void batch_close(struct batch *batch)
{
    batch_clear(batch);
    free(batch->entries);
}

struct record record_of_message(const rd_kafka_message_t *message)
{
    struct record record = {.partition = message->partition,
                            .offset = message->offset,
                            .key = message->key,
                            .key_size = message->key_len,
                            .value = message->payload,
                            .value_size = message->len};
    if (rd_kafka_message_headers(message, &record.headers))
        record.headers = NULL;
    return record;
}

static bool is_known(const struct position *position, const char *request_id)
{
    const char *known = position->known.data;
    return !position->known.size || strstr(known, request_id);
}

/* A record that can never be read as a request: its place is vote.dead, at once. */
static void entry_bury(struct commit *commit, struct batch *batch, const struct entry *entry,
                       const char *why)
{
    struct record record = record_of_message(entry->message);
    struct death death = {
        .reason = DEAD_UNDECODABLE, .text = why, .attempts = 1, .first_failed_ms = clock_wall_ms()};
    if (!dead_letter(commit, &record, &death, &batch->dead))
        error_set(&commit->failure, ERROR_SOFTWARE, "a record cannot be sent to " TOPIC_DEAD);
}

static bool is_forget(const rd_kafka_message_t *message)
{
    struct forget forget;
    return kafka_header_is(message, "ce_type", EVENT_FORGOTTEN) &&
           forget_decode(&forget, message->payload, message->len, NULL);
}

/* False when the record stands where the ledger has another: the log is not the one it was. */
static bool entry_decode(struct commit *commit, struct batch *batch, struct entry *entry)
{
    const rd_kafka_message_t *message = entry->message;
    struct position *position = &commit->positions[message->partition];
    struct error error;
    entry->left_out = true;
    entry->is_forget = is_forget(message);
    entry->is_redriven = entry_is_redriven(message);
    if (!position->assigned)
        return true;
    bool decoded = !entry->is_forget &&
                   request_decode(&entry->request, message->payload, message->len, &error);
    if (decoded && message->offset == position->known_offset &&
        !is_known(position, entry->request.request_id)) {
        place_anew(commit, message->partition);
        return false;
    }
    if (message->offset < position->announce_offset || entry->is_forget)
        return true;
    if (!decoded)
        entry_bury(commit, batch, entry, error.text);
    entry->left_out = !decoded;
    return true;
}

bool batch_decode(struct commit *commit, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!entry_decode(commit, batch, &batch->entries[i]))
            return false;
    }
    return !commit->failure.code;
}

void batch_leave_out(struct commit *commit, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = &batch->entries[i];
        entry->left_out = entry->left_out || !commit->positions[entry->message->partition].assigned;
    }
}
