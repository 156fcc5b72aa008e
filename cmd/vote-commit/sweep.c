/* sweep.c - what Redis has on its way for longer than half of --optimism-grace.
 *
 * What the ledger has was not settled, and is. What it does not have is a ghost: a vote that Redis
 * shows and that never reached the log, because its vote-ingest died in between. It is taken back
 * and its user told, within the grace.
 *
 * Whether a vote has reached the log is known from a mark: everything that was in its partition
 * when it had been on its way for half the grace is applied, and neither the ledger nor vote.parked
 * has it. It may come all the same: its client tries again with the Idempotency-Key, or a frozen
 * machine wakes up. Then it is committed and announced as any other, which corrects what was told.
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

enum {
    PROJECTS_AT_ONCE = 1000,
    WALKS_AT_ONCE = 20,
    FOUND_AT_ONCE = 2000,
    METADATA_TIMEOUT_MS = 1000,
    NUMBER_SIZE = 24
};
enum { LOOK_AGAIN = 8, MARK_AGAIN = 32 }; /* parts of the grace until the next look */

/* Some ms of Redis for all walks together, between which it answers others. */
#define PAGE_FIELDS "200"

static const char ghost_reason[] = "the vote did not reach the log";

/* One look at the projects with votes on their way. */
struct sweep {
    struct commit *commit;
    const redisReply *touched; /* project, score by turns */
    int64_t began_ms;          /* by the wall clock */
    int64_t cutoff_ms;         /* who is on the way since before is looked at */
    int32_t partition_count;
    struct request found[FOUND_AT_ONCE]; /* that have been on their way for long */
    size_t found_count;
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

/* Whether all that was in the partition at its mark has been read. */
static bool mark_is_reached(const struct position *position)
{
    int64_t mark = position->mark_offset;
    return position->assigned && (position->read_offset >= mark || position->next_offset >= mark ||
                                  position->end_offset >= mark);
}

/* Notes where the partition's log ends now, unless an older mark is still to be reached, or this
 * look has set one. Whether it is reached will be seen soon. False when Kafka did not tell. */
static bool mark_set(struct sweep *sweep, int32_t partition)
{
    struct position *position = &sweep->commit->positions[partition];
    int64_t low, high, now_ms = clock_wall_ms();
    if (position->mark_ms >= sweep->began_ms || (position->mark_ms && !mark_is_reached(position)))
        return true;
    if (kafka_ends(sweep->commit->consumer, TOPIC_REQUESTS, partition, &low, &high, 0))
        return false;
    position->mark_offset = low == high ? 0 : high;
    position->mark_ms = now_ms;
    sweep->commit->sweep_next_us =
        clock_mono_us() + sweep->commit->config->optimism_grace_us / MARK_AGAIN;
    return true;
}

/* One project's vote:pending, page by page. */
struct walk {
    const char *project_id, *score; /* of vote:touched; borrowed */
    char cursor[NUMBER_SIZE];       /* of HSCAN */
    int64_t on_their_way;           /* that it has come by */
    bool is_done;
};

static void walk_take(struct walk *walk, struct sweep *sweep, const redisReply *page)
{
    snprintf(walk->cursor, sizeof walk->cursor, "%s", page->element[0]->str);
    walk->is_done = !strcmp(walk->cursor, "0");
    walk->on_their_way += redis_reply_int(page->element[1]);
    for (size_t i = 2; i + 1 < page->elements && sweep->found_count < FOUND_AT_ONCE; i += 2) {
        struct request *request = &sweep->found[sweep->found_count];
        if (pending_parse(request, walk->project_id, page->element[i]->str,
                          page->element[i + 1]->str))
            sweep->found_count++;
    }
}

/* A page of each that is not done; *more is false when all are. */
static bool walks_step(struct walk *walks, size_t count, struct sweep *sweep, bool *more,
                       struct error *error)
{
    struct redis_batch pages = {0};
    struct project_keys keys;
    char cutoff[NUMBER_SIZE];
    snprintf(cutoff, sizeof cutoff, "%" PRId64, sweep->cutoff_ms);
    for (size_t i = 0; i < count; i++) {
        if (walks[i].is_done)
            continue;
        project_keys_make(&keys, walks[i].project_id);
        redis_add_script(&pages, &script_sweep, 1, 4,
                         (const char *[]){keys.pending, cutoff, walks[i].cursor, PAGE_FIELDS});
    }
    *more = pages.count > 0;
    bool ran = redis_run(sweep->commit->redis, &pages, error);
    for (size_t i = 0, page = 0; ran && i < count; i++) {
        if (!walks[i].is_done)
            walk_take(&walks[i], sweep, redis_reply(&pages, page++));
    }
    redis_batch_free(&pages);
    return ran;
}

/* What is on its way of these projects; those that have nothing any more are forgotten. */
static bool walks_run(struct walk *walks, size_t count, struct sweep *sweep, struct error *error)
{
    struct redis_batch forgets = {0};
    bool more = true;
    while (more && sweep->found_count < FOUND_AT_ONCE) {
        if (!walks_step(walks, count, sweep, &more, error))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (walks[i].is_done && walks[i].on_their_way == 0 &&
            strtoll(walks[i].score, NULL, 10) < sweep->cutoff_ms)
            redis_add_script(&forgets, &script_forget, 1, 3,
                             (const char *[]){KEY_TOUCHED, walks[i].project_id, walks[i].score});
    }
    bool ran = redis_run(sweep->commit->redis, &forgets, error);
    redis_batch_free(&forgets);
    return ran;
}

static int found_compare(const void *a, const void *b)
{
    const struct request *left = a, *right = b;
    return strcmp(left->request_id, right->request_id);
}

/* HSCAN may tell a field twice, while the hash shrinks. */
static void found_unique(struct sweep *sweep)
{
    size_t kept = 0;
    qsort(sweep->found, sweep->found_count, sizeof *sweep->found, found_compare);
    for (size_t i = 0; i < sweep->found_count; i++) {
        if (!kept || found_compare(&sweep->found[kept - 1], &sweep->found[i]) != 0)
            sweep->found[kept++] = sweep->found[i];
    }
    sweep->found_count = kept;
}

/* Asks the projects of ours what they have on their way, until enough is found for one look: the
 * next one finds the rest. */
static bool sweep_look(struct sweep *sweep, struct error *error)
{
    struct walk walks[WALKS_AT_ONCE];
    const redisReply *touched = sweep->touched;
    bool looked = true;
    sweep->found_count = 0;
    for (size_t i = 0, count = 0; looked && i + 1 < touched->elements; i += 2) {
        if (sweep_is_ours(sweep, touched->element[i]->str))
            walks[count++] = (struct walk){.project_id = touched->element[i]->str,
                                           .score = touched->element[i + 1]->str,
                                           .cursor = "0"};
        if (count == WALKS_AT_ONCE || (count && i + 2 >= touched->elements)) {
            looked = walks_run(walks, count, sweep, error);
            count = 0;
        }
    }
    found_unique(sweep);
    return looked;
}

/* What is parked is still on its way: the ledger gets it in the end. */
static const char known_sql[] =
    "select request_id, true from vote.log where request_id = any ($1::uuid[]) "
    "union all select request_id, false from vote.parked where request_id = any ($1::uuid[])";

/* Moves it behind those that are still to be looked at. */
static void found_leave(struct sweep *sweep, size_t at)
{
    struct request left = sweep->found[at];
    sweep->found[at] = sweep->found[--sweep->found_count];
    sweep->found[sweep->found_count] = left;
}

/* Takes those that the ledger has out of what was found, into `settled`: they were only not
 * settled, and neither may the rest of their project's state be. Those that are parked go, too. */
static bool sweep_ask_ledger(struct sweep *sweep, struct buf *settled, struct error *error)
{
    struct buf ids = {0};
    for (size_t i = 0; i < sweep->found_count; i++)
        pg_array_text(&ids, sweep->found[i].request_id);
    const char *parameters[] = {pg_array_end(&ids)};
    PGresult *rows = pg_query(&sweep->commit->side_pg, known_sql, 1, parameters, error);
    buf_free(&ids);
    for (int row = 0; rows && row < PQntuples(rows); row++) {
        const char *id = PQgetvalue(rows, row, 0);
        size_t at = 0;
        while (at < sweep->found_count && strcmp(sweep->found[at].request_id, id) != 0)
            at++;
        if (at == sweep->found_count)
            continue;
        if (*PQgetvalue(rows, row, 1) == 't') {
            settle_later(sweep->commit, sweep->found[at].project_id);
            pg_array_text(settled, id);
        }
        found_leave(sweep, at);
    }
    PQclear(rows);
    return rows != NULL;
}

/* Nothing of it is in what is not applied yet: its partition was marked late enough. */
static bool is_ghost(const struct sweep *sweep, const struct request *request)
{
    const struct commit *commit = sweep->commit;
    const struct position *position =
        &commit->positions[sweep_partition(sweep, request->project_id)];
    return request->accepted_at_ms < position->mark_ms - commit->config->optimism_grace_us / 2000 &&
           mark_is_reached(position);
}

/* Leaves those that may still come; the next time there is a mark behind them. A broker that does
 * not tell is asked once: commits wait meanwhile. */
static void sweep_keep_ghosts(struct sweep *sweep)
{
    size_t count = sweep->found_count;
    for (size_t i = count; i-- > 0;) {
        if (!is_ghost(sweep, &sweep->found[i]))
            found_leave(sweep, i);
    }
    bool told = true;
    for (size_t i = sweep->found_count; told && i < count; i++)
        told = mark_set(sweep, sweep_partition(sweep, sweep->found[i].project_id));
}

static const char standing_sql[] =
    "select p.upvotes, p.downvotes, p.community_score, p.version, coalesce(v.value, 0) "
    "  from vote.projects p left join vote.votes v on v.project_id = p.project_id and v.user_id = "
    "$2 where p.project_id = $1";

/* What the user is told: the counts are those of Postgres. A project that is gone has none. */
static bool ghost_result(struct commit *commit, const struct request *ghost, struct result *result,
                         struct error *error)
{
    const char *parameters[] = {ghost->project_id, ghost->user_id};
    PGresult *rows = pg_query(&commit->side_pg, standing_sql, 2, parameters, error);
    *result = (struct result){
        .request = ghost, .outcome = OUTCOME_FAILED, .committed_at_ms = clock_wall_ms()};
    snprintf(result->reason, sizeof result->reason, "%s", ghost_reason);
    if (rows && PQntuples(rows)) {
        result->upvotes = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
        result->downvotes = strtoll(PQgetvalue(rows, 0, 1), NULL, 10);
        result->community_score = strtod(PQgetvalue(rows, 0, 2), NULL);
        result->version = strtoll(PQgetvalue(rows, 0, 3), NULL, 10);
        result->standing = (enum vote_type)strtol(PQgetvalue(rows, 0, 4), NULL, 10);
    }
    PQclear(rows);
    return rows != NULL;
}

/* Takes back what the click has done in Redis; *undone is false when it was gone already. A note
 * that it is on its way is left until its user has been told: a crash before tells twice. */
static bool ghost_undo(struct commit *commit, const struct request *request,
                       enum vote_type standing, bool *undone, struct error *error)
{
    struct redis_batch undo = {0}, *batch = &undo;
    char key[KEY_SIZE], recent[KEY_SIZE], upvotes[KEY_SIZE];
    key_of_request(key, request->request_id);
    key_of_recent(recent, request->user_id);
    key_of_upvotes(upvotes, request->user_id);
    redis_add(batch, key, "HSET %s state failed error %s", key, ghost_reason);
    redis_add(batch, key, "EXPIRE %s %d", key, (int)REQUEST_KEPT_S);
    redis_add(batch, recent, "HDEL %s %s", recent, request->project_id);
    redis_add(batch, upvotes, "%s %s %s", standing == VOTE_UP ? "SADD" : "SREM", upvotes,
              request->project_id);
    state_add_give_up(batch, request->project_id, request->request_id);
    bool ran = redis_run(commit->redis, batch, error) || redis_reply(batch, batch->count - 1);
    *undone = redis_reply_int(redis_reply(batch, batch->count - 1)) == 1;
    redis_batch_free(batch);
    return ran;
}

static bool ghost_lay(struct commit *commit, const struct request *ghost, struct error *error)
{
    struct result result;
    bool undone;
    if (!ghost_result(commit, ghost, &result, error) ||
        !ghost_undo(commit, ghost, result.standing, &undone, error))
        return false;
    if (!undone)
        return true;
    metric_add(commit->metrics.ghosts, 1);
    LOG_EVENT(commit->log, LOG_WARN, "ghost taken back", LOG_STR("request_id", ghost->request_id));
    announce_result(commit, &result, NULL, &commit->ghosts_told);
    state_add_forget(&commit->ghosts_done, ghost->project_id, ghost->request_id);
    return true;
}

static bool ghosts_lay(struct sweep *sweep, struct error *error)
{
    bool laid = true;
    for (size_t i = 0; laid && i < sweep->found_count; i++)
        laid = ghost_lay(sweep->commit, &sweep->found[i], error);
    return laid;
}

/* Kafka has told all of them. Should Redis not hear of it, they are told again. */
static void ghosts_finish(struct commit *commit)
{
    struct error error;
    if (!commit->ghosts_done.count)
        return;
    if (!redis_run(commit->redis, &commit->ghosts_done, &error))
        log_error(commit->log, LOG_WARN, "ghosts will be told again", &error);
    redis_batch_clear(&commit->ghosts_done);
    acks_end_spans(commit, &commit->ghosts_told, true);
}

/* The batch that Postgres has is finished first, so that all that was read is applied; what it has
 * settled is not found again: to settle something twice is slow when much is on its way. */
static bool sweep_run(struct sweep *sweep, struct error *error)
{
    struct buf settled = {0};
    if (!sweep_look(sweep, error))
        return false;
    if (!sweep->found_count)
        return true;
    commit_finish_in_flight(sweep->commit);
    if (sweep->commit->must_rewind)
        return true;
    if (!sweep_look(sweep, error))
        return false;
    if (!sweep->found_count)
        return true;
    bool swept = sweep_ask_ledger(sweep, &settled, error) &&
                 (!settled.size || resettle(sweep->commit, pg_array_end(&settled), error));
    buf_free(&settled);
    if (swept)
        sweep_keep_ghosts(sweep);
    return swept && (!sweep->found_count || ghosts_lay(sweep, error));
}

static int32_t topic_partition_count(struct commit *commit)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(commit->producer, TOPIC_REQUESTS, NULL);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(commit->producer, 0, topic, &metadata, METADATA_TIMEOUT_MS);
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
    if (now_us < commit->sweep_next_us || !redis_is_up(commit->redis) ||
        commit->ghosts_told.waiting)
        return;
    ghosts_finish(commit);
    commit->sweep_next_us = now_us + grace_us / LOOK_AGAIN;
    redis_add(&batch, KEY_TOUCHED, "ZRANGE " KEY_TOUCHED " 0 %d WITHSCORES", PROJECTS_AT_ONCE - 1);
    bool read = redis_run(commit->redis, &batch, &error);
    const redisReply *touched = redis_reply(&batch, 0);
    if (read && touched->elements) {
        struct sweep *sweep = calloc(1, sizeof *sweep);
        if (!sweep)
            abort();
        sweep->commit = commit;
        sweep->touched = touched;
        sweep->began_ms = clock_wall_ms();
        sweep->cutoff_ms = sweep->began_ms - grace_us / 2000;
        sweep->partition_count = topic_partition_count(commit);
        read = sweep->partition_count == 0 || sweep_run(sweep, &error);
        free(sweep);
    }
    if (!read)
        log_error(commit->log, LOG_WARN, "not swept", &error);
    redis_batch_free(&batch);
}
