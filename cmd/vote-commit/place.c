/* place.c - where each partition of ours starts, and whether database and log belong together.
 *
 * vote.progress says what was applied. What was surely announced is known twice: by Kafka's
 * committed offset, and a little older by vote.progress itself. Between announced and applied, the
 * requests are found in the ledger and announced again.
 *
 * What may have happened while nobody looked: the database is an older one (a restored backup), the
 * group's offsets are gone, the topic was made anew, or the log has lost records that were never
 * applied. The first three are handled; the last is the operator's to decide.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_TIMEOUT_MS = 10000, ENDS_TIMEOUT_MS = 5000, RETRY_US = 500 * 1000, NUMBER_SIZE = 24 };

/* What is known of a partition before it starts. */
struct place {
    int64_t next, announced; /* vote.progress */
    int64_t hint;            /* Kafka's committed offset; -1: none, -2: it could not be asked for */
    int64_t low, high;       /* the log's ends; high is -1 when they cannot be asked for */
};

static const char progress_sql[] =
    "select p.\"partition\", p.next_offset, p.announced_offset, "
    "       coalesce(string_agg(l.request_id::text, ' '), '') "
    "  from vote.progress p "
    "  left join vote.log l on l.topic = p.topic and l.\"partition\" = p.\"partition\" "
    "        and l.\"offset\" = p.next_offset - 1 and l.committed_at >= p.since "
    " where p.topic = $1 group by p.topic, p.\"partition\"";

static int64_t column_int(PGresult *rows, int row, int column)
{
    return strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

/* Fills what vote.progress has on one partition, 0 when it has nothing, and the requests that the
 * ledger has right before there. */
static void progress_take(struct commit *commit, PGresult *rows, int32_t partition,
                          struct place *place)
{
    struct buf *known = &commit->positions[partition].known;
    buf_clear(known);
    for (int row = 0; row < PQntuples(rows); row++) {
        if (column_int(rows, row, 0) != partition)
            continue;
        place->next = column_int(rows, row, 1);
        place->announced = column_int(rows, row, 2);
        buf_text(known, PQgetvalue(rows, row, 3));
    }
}

/* Moves vote.progress to where the log starts. */
static bool place_move(struct commit *commit, int32_t partition, struct place *place, bool anew,
                       struct error *error)
{
    char numbers[3][NUMBER_SIZE];
    snprintf(numbers[0], NUMBER_SIZE, "%d", (int)partition);
    snprintf(numbers[1], NUMBER_SIZE, "%lld", (long long)place->next);
    snprintf(numbers[2], NUMBER_SIZE, "%lld", (long long)place->low);
    const char *parameters[] = {TOPIC_REQUESTS,          numbers[0],   numbers[1], numbers[2],
                                anew ? "true" : "false", commit->owner};
    PGresult *moved = pg_query(&commit->side_pg, "select vote.reposition($1, $2, $3, $4, $5, $6)",
                               6, parameters, error);
    PQclear(moved);
    if (!moved)
        return false;
    place->next = place->announced = place->low;
    place->hint = -1;
    buf_clear(&commit->positions[partition].known);
    return true;
}

static bool place_restart(struct commit *commit, int32_t partition, struct place *place,
                          struct error *error)
{
    LOG_EVENT(commit->log, LOG_WARN,
              "the topic is not the one that was applied before: it was made anew, or has lost its "
              "end; reading it from its start",
              LOG_STR("topic", TOPIC_REQUESTS), LOG_INT("partition", partition),
              LOG_INT("applied", place->next), LOG_INT("start", place->low),
              LOG_INT("end", place->high));
    commit->positions[partition].is_anew = false;
    return place_move(commit, partition, place, true, error);
}

/* Votes that were accepted are gone from the log before they were counted: not ours to forget. */
static bool place_over_loss(struct commit *commit, int32_t partition, struct place *place,
                            struct error *error)
{
    if (!commit->config->accept_loss)
        return error_set(&commit->failure, ERROR_CONFIG,
                         "%s [%d]: offsets %lld to %lld were removed from the log before they were "
                         "applied; restore a database that is further, or give --accept-loss to go "
                         "on at %lld without them",
                         TOPIC_REQUESTS, (int)partition, (long long)place->next,
                         (long long)place->low - 1, (long long)place->low);
    LOG_EVENT(commit->log, LOG_ERROR, "going on without lost records",
              LOG_INT("partition", partition), LOG_INT("from", place->next),
              LOG_INT("to", place->low - 1));
    metric_add(commit->metrics.lost, place->low - place->next);
    return place_move(commit, partition, place, false, error);
}

static void place_tell(struct commit *commit, int32_t partition, const struct place *place)
{
    if (place->hint > place->next)
        LOG_EVENT(commit->log, LOG_WARN,
                  "the database is behind the group's offset, as a restored backup is; applying "
                  "what lies between again",
                  LOG_INT("partition", partition), LOG_INT("applied", place->next),
                  LOG_INT("committed", place->hint));
    if (place->hint == -1 && place->next > 0)
        LOG_EVENT(commit->log, LOG_WARN,
                  "the group has no committed offset; announcing from where the database says",
                  LOG_INT("partition", partition), LOG_INT("announced", place->announced));
}

/* Returns the offset to read from. One record before it tells whether the log is still the same. */
static int64_t place_take(struct commit *commit, int32_t partition, const struct place *place)
{
    struct position *position = &commit->positions[partition];
    int64_t told = place->hint > place->announced ? place->hint : place->announced;
    position->assigned = true;
    position->next_offset = place->next;
    position->announce_offset = told < place->next ? told : place->next;
    position->announced_offset = position->hinted_offset = position->announce_offset;
    position->restored_offset = place->hint > place->next ? place->hint : 0;
    position->read_offset = position->end_offset = -1;
    position->mark_offset = position->mark_ms = 0;
    position->known_offset = position->known.size ? place->next - 1 : -1;
    int64_t from = position->announce_offset;
    if (position->known_offset >= place->low && position->known_offset < from)
        from = position->known_offset;
    LOG_EVENT(commit->log, LOG_INFO, "partition assigned", LOG_INT("partition", partition),
              LOG_INT("offset", from), LOG_INT("progress", place->next));
    return from;
}

static bool place_one(struct commit *commit, rd_kafka_topic_partition_t *partition,
                      struct place *place, struct error *error)
{
    int32_t number = partition->partition;
    admin_beat(&commit->admin);
    bool asked = !kafka_ends(commit->consumer, TOPIC_REQUESTS, number, &place->low, &place->high,
                             ENDS_TIMEOUT_MS);
    if (!asked)
        place->low = place->next, place->high = -1;
    bool anew = asked && (place->next > place->high || commit->positions[number].is_anew);
    place_tell(commit, number, place);
    if (anew && !place_restart(commit, number, place, error))
        return false;
    if (!anew && place->next < place->low && !place_over_loss(commit, number, place, error))
        return false;
    partition->offset = place_take(commit, number, place);
    return true;
}

static bool place_try(struct commit *commit, rd_kafka_topic_partition_list_t *list,
                      const rd_kafka_topic_partition_list_t *hints, struct error *error)
{
    const char *parameters[] = {TOPIC_REQUESTS};
    PGresult *rows = pg_query(&commit->side_pg, progress_sql, 1, parameters, error);
    bool placed = rows != NULL;
    for (int i = 0; placed && i < list->cnt; i++) {
        struct place place = {.hint = hints ? hints->elems[i].offset : -2};
        if (hints && place.hint < 0)
            place.hint = -1;
        if (list->elems[i].partition >= PARTITIONS_MAX)
            abort(); /* vote-admin topics makes no more */
        progress_take(commit, rows, list->elems[i].partition, &place);
        placed = place_one(commit, &list->elems[i], &place, error);
    }
    PQclear(rows);
    return placed;
}

bool place_partitions(struct commit *commit, rd_kafka_topic_partition_list_t *list)
{
    struct error error = {0};
    rd_kafka_topic_partition_list_t *hints = rd_kafka_topic_partition_list_copy(list);
    bool hinted = !rd_kafka_committed(commit->consumer, hints, CALL_TIMEOUT_MS);
    bool placed, stopped = false;
    while (!(placed = place_try(commit, list, hinted ? hints : NULL, &error)) &&
           !commit->failure.code && !stopped) {
        log_error(commit->log, LOG_WARN, "waiting for postgres", &error);
        atomic_store(&commit->postgres_check->ready, 0);
        admin_beat(&commit->admin);
        stopped = stop_wait(&commit->stop, -1, clock_mono_us() + RETRY_US);
    }
    rd_kafka_topic_partition_list_destroy(hints);
    if (placed)
        atomic_store(&commit->postgres_check->ready, 1);
    return placed;
}

void place_anew(struct commit *commit, int32_t partition)
{
    commit->positions[partition].is_anew = true;
}
