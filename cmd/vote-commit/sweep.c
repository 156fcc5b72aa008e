/* sweep.c - ghosts: votes that Redis shows and that never reached the log, because their
 * vote-ingest died in between. They are taken back and their users told, within --optimism-grace.
 *
 * A request is a ghost when it has been on its way for half the grace, everything that is in its
 * partition now has been applied, and neither the ledger nor vote.parked has it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"
#include "vote/pending.h"
#include "vote/scripts.h"
#include "vote/states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROJECTS_AT_ONCE = 1000, GHOSTS_AT_ONCE = 200, QUERY_TIMEOUT_MS = 1000, NUMBER_SIZE = 24 };

/* One look at the projects with votes on their way. */
struct sweep {
    struct commit *commit;
    const redisReply *touched; /* project, score by turns */
    int64_t cutoff_ms;
    int32_t partition_count;
    int applied[PARTITIONS_MAX]; /* whether all of a partition is applied: 0 not asked, 1 yes, 2 no
                                  */
    struct request ghosts[GHOSTS_AT_ONCE];
    size_t ghost_count;
};

static int32_t sweep_partition(const struct sweep *sweep, const char *project_id)
{
    return rd_kafka_msg_partitioner_murmur2(NULL, project_id, strlen(project_id),
                                            sweep->partition_count, NULL, NULL);
}

static bool sweep_is_ours(const struct sweep *sweep, const char *project_id)
{
    return sweep->commit->positions[sweep_partition(sweep, project_id)].assigned;
}

static bool partition_is_applied(struct sweep *sweep, int32_t partition)
{
    int64_t low, high;
    if (sweep->applied[partition])
        return sweep->applied[partition] == 1;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        sweep->commit->consumer, TOPIC_REQUESTS, partition, &low, &high, QUERY_TIMEOUT_MS);
    const struct position *position = &sweep->commit->positions[partition];
    bool applied = !code && position->assigned &&
                   (position->read_offset >= high || position->next_offset >= high ||
                    position->end_offset >= high || low == high);
    sweep->applied[partition] = applied ? 1 : 2;
    return applied;
}

static void sweep_collect(struct sweep *sweep, const char *project_id, const redisReply *found)
{
    if (found->elements < 2 || !partition_is_applied(sweep, sweep_partition(sweep, project_id)))
        return;
    for (size_t i = 1; i + 1 < found->elements && sweep->ghost_count < GHOSTS_AT_ONCE; i += 2) {
        struct request *ghost = &sweep->ghosts[sweep->ghost_count];
        if (pending_parse(ghost, project_id, found->element[i]->str, found->element[i + 1]->str))
            sweep->ghost_count++;
    }
}

/* Asks every project of ours what it has on its way; forgets those that have nothing any more. */
static bool sweep_look(struct sweep *sweep, struct error *error)
{
    struct redis_batch looks = {0}, forgets = {0};
    struct project_keys keys;
    char cutoff[NUMBER_SIZE];
    const redisReply *touched = sweep->touched;
    snprintf(cutoff, sizeof cutoff, "%" PRId64, sweep->cutoff_ms);
    for (size_t i = 0; i + 1 < touched->elements; i += 2) {
        if (!sweep_is_ours(sweep, touched->element[i]->str))
            continue;
        project_keys_make(&keys, touched->element[i]->str);
        redis_add_script(&looks, &script_sweep, 2, 3,
                         (const char *[]){keys.state, keys.pending, cutoff});
    }
    bool looked = redis_run(sweep->commit->redis, &looks, error);
    for (size_t i = 0, look = 0; looked && i + 1 < touched->elements; i += 2) {
        const char *project_id = touched->element[i]->str, *score = touched->element[i + 1]->str;
        if (!sweep_is_ours(sweep, project_id))
            continue;
        const redisReply *found = redis_reply(&looks, look++);
        sweep_collect(sweep, project_id, found);
        if (redis_reply_int(found->element[0]) == 0 && strtoll(score, NULL, 10) < sweep->cutoff_ms)
            redis_add_script(&forgets, &script_forget, 1, 3,
                             (const char *[]){KEY_TOUCHED, project_id, score});
    }
    looked = looked && redis_run(sweep->commit->redis, &forgets, error);
    redis_batch_free(&looks);
    redis_batch_free(&forgets);
    return looked;
}

/* What is parked is still on its way: the ledger gets it in the end. */
static const char found_sql[] =
    "select request_id, true from vote.log where request_id = any ($1::uuid[]) "
    "union all select request_id, false from vote.parked where request_id = any ($1::uuid[])";

/* Those that the ledger has were only not settled: their projects are loaded again. */
static bool sweep_ask_ledger(struct sweep *sweep, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < sweep->ghost_count; i++)
        pg_array_text(&ids, sweep->ghosts[i].request_id);
    const char *parameters[] = {pg_array_end(&ids)};
    PGresult *rows = pg_query(&sweep->commit->side_pg, found_sql, 1, parameters, error);
    buf_free(&ids);
    for (int row = 0; rows && row < PQntuples(rows); row++) {
        for (size_t i = 0; i < sweep->ghost_count; i++) {
            if (strcmp(sweep->ghosts[i].request_id, PQgetvalue(rows, row, 0)) != 0)
                continue;
            if (*PQgetvalue(rows, row, 1) == 't')
                settle_later(sweep->commit, sweep->ghosts[i].project_id);
            sweep->ghosts[i] = sweep->ghosts[--sweep->ghost_count];
            break;
        }
    }
    PQclear(rows);
    return rows != NULL;
}

/* What the user is told: the counts are those of Postgres. */
static bool ghost_result(struct commit *commit, const struct request *ghost,
                         enum vote_type standing, struct result *result, struct error *error)
{
    const char *parameters[] = {ghost->project_id};
    PGresult *rows = pg_query(&commit->side_pg,
                              "select upvotes, downvotes, community_score, version "
                              "  from vote.projects where project_id = $1",
                              1, parameters, error);
    bool known = rows && PQntuples(rows);
    *result = (struct result){.request = ghost,
                              .outcome = OUTCOME_FAILED,
                              .standing = standing,
                              .committed_at_ms = clock_wall_ms()};
    snprintf(result->reason, sizeof result->reason, "%s", "the vote did not reach the log");
    if (known) {
        result->upvotes = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
        result->downvotes = strtoll(PQgetvalue(rows, 0, 1), NULL, 10);
        result->community_score = strtod(PQgetvalue(rows, 0, 2), NULL);
        result->version = strtoll(PQgetvalue(rows, 0, 3), NULL, 10);
    }
    PQclear(rows);
    return known;
}

/* Takes the step back in Redis; *standing is the user's vote then. False when it is gone already.
 * The step itself goes last: if the connection ends before, the ghost is found again. */
static bool ghost_undo(struct commit *commit, const struct request *ghost, enum vote_type *standing)
{
    struct redis_batch undo = {0}, *batch = &undo;
    struct error error;
    char key[KEY_SIZE], recent[KEY_SIZE];
    key_of_request(key, ghost->request_id);
    key_of_recent(recent, ghost->user_id);
    redis_add(batch, key, "HSET %s state failed error %s", key, "the vote did not reach the log");
    redis_add(batch, key, "EXPIRE %s %d", key, (int)REQUEST_KEPT_S);
    redis_add(batch, recent, "HDEL %s %s", recent, ghost->project_id);
    state_add_undo(batch, ghost->project_id, ghost->request_id);
    bool ran = redis_run(commit->redis, batch, &error);
    const redisReply *reply = redis_reply(batch, batch->count - 1);
    bool undone = ran && reply->type == REDIS_REPLY_INTEGER;
    if (undone)
        *standing = (enum vote_type)reply->integer;
    redis_batch_free(batch);
    return undone;
}

static void ghost_lay(struct commit *commit, const struct request *ghost)
{
    enum vote_type standing;
    struct result result;
    struct error error = {0};
    if (!ghost_undo(commit, ghost, &standing))
        return;
    metric_add(commit->metrics.ghosts, 1);
    LOG_EVENT(commit->log, LOG_WARN, "ghost taken back", LOG_STR("request_id", ghost->request_id));
    if (ghost_result(commit, ghost, standing, &result, &error))
        announce_result(commit, &result, NULL, NULL);
    else
        log_error(commit->log, LOG_WARN, "ghost not announced", &error);
}

static bool sweep_run(struct sweep *sweep, struct error *error)
{
    if (!sweep_look(sweep, error) || (sweep->ghost_count && !sweep_ask_ledger(sweep, error)))
        return false;
    for (size_t i = 0; i < sweep->ghost_count; i++)
        ghost_lay(sweep->commit, &sweep->ghosts[i]);
    return true;
}

static int32_t topic_partition_count(struct commit *commit)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(commit->producer, TOPIC_REQUESTS, NULL);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(commit->producer, 0, topic, &metadata, QUERY_TIMEOUT_MS);
    int32_t count = !code && metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count <= PARTITIONS_MAX ? count : 0;
}

void sweep_turn(struct commit *commit)
{
    int64_t now_us = clock_mono_us(), grace_us = commit->config->optimism_grace_us;
    struct redis_batch batch = {0};
    struct error error;
    if (now_us < commit->sweep_next_us || !redis_is_up(commit->redis))
        return;
    commit->sweep_next_us = now_us + grace_us / 8;
    redis_add(&batch, KEY_TOUCHED, "ZRANGE " KEY_TOUCHED " 0 %d WITHSCORES", PROJECTS_AT_ONCE - 1);
    bool read = redis_run(commit->redis, &batch, &error);
    const redisReply *touched = redis_reply(&batch, 0);
    if (read && touched->elements) {
        struct sweep *sweep = calloc(1, sizeof *sweep);
        if (!sweep)
            abort();
        sweep->commit = commit;
        sweep->touched = touched;
        sweep->cutoff_ms = clock_wall_ms() - grace_us / 2000;
        sweep->partition_count = topic_partition_count(commit);
        read = sweep->partition_count == 0 || sweep_run(sweep, &error);
        free(sweep);
    }
    if (!read)
        log_error(commit->log, LOG_WARN, "not swept", &error);
    redis_batch_free(&batch);
}
