/* verify.c - replays vote.requests into a scratch database, with the functions that vote-commit
 * calls, and compares what comes out with the live tables. SPDX-License-Identifier: Apache-2.0 */
#include "vote-replay/verify.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, BATCH = 5000 };

static const char progress_sql[] =
    "select \"partition\", next_offset from vote.progress where topic = '" TOPIC_REQUESTS "'";

/* These are in the log, but not in the tables: by decision, or not yet. */
static const char failed_sql[] =
    "select request_id::text collate \"C\" from vote.parked where topic = '" TOPIC_REQUESTS "' "
    "union select request_id::text from vote.log where outcome = 'failed' order by 1";

/* Who was forgotten is in neither: their votes in the log are not to count. */
static const char forgotten_sql[] = "select encode(user_hash, 'hex'), seq from vote.forgotten";
static const char forget_sql[] =
    "insert into vote.forgotten (user_hash, seq) "
    "select decode(h, 'hex'), s from unnest($1::text[], $2::bigint[]) w (h, s)";

static const char apply_sql[] =
    "select count(*) from vote.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

bool verify_statement(struct pg *pg, const char *sql, struct error *error)
{
    PGresult *result = pg_query(pg, sql, 0, NULL, error);
    PQclear(result);
    return result != NULL;
}

static bool range_add(struct verify *verify, int32_t partition, int64_t next, struct error *error)
{
    int64_t low, high;
    if (!reader_watermarks(&verify->reader, partition, &low, &high, error))
        return false;
    verify->complete = verify->complete && low == 0;
    reader_add(&verify->reader, partition, low, next < high ? next : high);
    verify->meter.total += next > low ? next - low : 0;
    return true;
}

/* What was applied in the snapshot, and no more, is replayed. */
static bool ranges_choose(struct verify *verify, struct error *error)
{
    int32_t count;
    if (!reader_partitions(&verify->reader, &count, error))
        return false;
    PGresult *rows = pg_query(&verify->live, progress_sql, 0, NULL, error);
    bool fine = rows != NULL;
    for (int row = 0; fine && row < PQntuples(rows); row++) {
        int64_t partition, next;
        fine = units_parse_int(PQgetvalue(rows, row, 0), &partition) &&
               units_parse_int(PQgetvalue(rows, row, 1), &next) &&
               (partition >= count || range_add(verify, (int32_t)partition, next, error));
    }
    PQclear(rows);
    return fine;
}

static bool forgotten_bring(struct verify *verify, struct error *error)
{
    struct buf hashes = {0}, seqs = {0};
    PGresult *rows = pg_query(&verify->live, forgotten_sql, 0, NULL, error), *done = NULL;
    for (int row = 0; rows && row < PQntuples(rows); row++) {
        pg_array_text(&hashes, PQgetvalue(rows, row, 0));
        pg_array_text(&seqs, PQgetvalue(rows, row, 1));
    }
    if (rows) {
        const char *parameters[] = {pg_array_end(&hashes), pg_array_end(&seqs)};
        done = pg_query(&verify->scratch.pg, forget_sql, 2, parameters, error);
    }
    bool fine = done != NULL;
    PQclear(rows);
    PQclear(done);
    buf_free(&hashes);
    buf_free(&seqs);
    return fine;
}

static bool is_failed(const struct verify *verify, const char *request_id)
{
    int low = 0, high = PQntuples(verify->failed);
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(PQgetvalue(verify->failed, middle, 0), request_id);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool batch_apply(struct verify *verify, struct error *error)
{
    const char *parameters[1 + REQUEST_COLUMNS] = {TOPIC_REQUESTS};
    if (!verify->waiting)
        return true;
    request_columns_end(&verify->columns, parameters + 1);
    PGresult *rows =
        pg_query(&verify->scratch.pg, apply_sql, 1 + REQUEST_COLUMNS, parameters, error);
    PQclear(rows);
    request_columns_clear(&verify->columns);
    verify->waiting = 0;
    return rows != NULL;
}

static bool record_take(struct verify *verify, const rd_kafka_message_t *record,
                        struct error *error)
{
    struct request request;
    struct forget forget;
    verify->requests++;
    meter_turn(&verify->meter, verify->requests);
    if (!request_decode(&request, record->payload, record->len, NULL)) {
        verify->undecodable += !forget_decode(&forget, record->payload, record->len, NULL);
        return true;
    }
    if (is_failed(verify, request.request_id)) {
        verify->left_out++;
        return true;
    }
    request_columns_add(&verify->columns, record->partition, record->offset, &request);
    return ++verify->waiting < BATCH || batch_apply(verify, error);
}

static bool log_replay(struct verify *verify, struct error *error)
{
    rd_kafka_message_t *record;
    enum reader_event event = READER_IDLE;
    meter_start(&verify->meter, "vote-replay", "records", verify->meter.total);
    reader_start(&verify->reader);
    while (event != READER_DONE) {
        if (stop_asked(verify->stop))
            return error_set(error, ERROR_RETRY, "interrupted before the end");
        event = reader_next(&verify->reader, POLL_MS, &record, error);
        if (event == READER_FAILED)
            return false;
        if (event != READER_RECORD)
            continue;
        bool fine = record_take(verify, record, error);
        rd_kafka_message_destroy(record);
        if (!fine)
            return false;
    }
    return batch_apply(verify, error);
}

/* The snapshot is taken before the log's ends are asked for: so nothing of it lies beyond them. */
static bool verify_prepare(struct verify *verify, struct error *error)
{
    const char *begin = "begin isolation level repeatable read";
    verify->complete = true;
    if (!scratch_open(&verify->scratch, &verify->live, error) ||
        !verify_statement(&verify->live, begin, error) ||
        !(verify->failed = pg_query(&verify->live, failed_sql, 0, NULL, error)) ||
        !forgotten_bring(verify, error))
        return false;
    return reader_open(&verify->reader, &verify->config->kafka, "vote-replay", TOPIC_REQUESTS,
                       error) &&
           ranges_choose(verify, error);
}

static void verify_report(const struct verify *verify)
{
    if (verify->undecodable || verify->left_out)
        printf("left out: %lld undecodable, %lld given up or waiting in vote.parked\n",
               (long long)verify->undecodable, (long long)verify->left_out);
    if (!verify->complete)
        printf("the log has lost its beginning: only votes that it has were compared\n");
    printf("verify: %lld requests replayed, ", (long long)verify->requests);
    if (verify->differences)
        printf("%lld differences\n", (long long)verify->differences);
    else
        printf("nothing differs\n");
}

bool verify_run(const struct replay_config *config, struct stop *stop, struct error *error)
{
    struct verify verify = {
        .config = config, .stop = stop, .live = {.url = config->pg.url, .name = "vote-replay"}};
    bool fine = verify_prepare(&verify, error) && log_replay(&verify, error) &&
                verify_compare(&verify, error);
    meter_clear(&verify.meter);
    PQclear(verify.failed);
    scratch_close(&verify.scratch);
    pg_close(&verify.live);
    request_columns_free(&verify.columns);
    if (verify.reader.client)
        reader_close(&verify.reader);
    if (!fine)
        return false;
    verify_report(&verify);
    return !verify.differences || error_set(error, ERROR_FOUND, "%s", "");
}
