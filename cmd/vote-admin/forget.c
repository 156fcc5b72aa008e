/* forget.c - vote-admin forget-user: a person's votes go, and no replay brings them back.
 *
 * The wish is a record in every partition of vote.requests, and vote-commit, the only writer of
 * votes, grants it: so what is on its way is forgotten as well, and a crash at any point leaves it
 * to be granted later, or not written at all. SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/commands.h"

#include "base/clock.h"
#include "kafka/reader.h"
#include "vote/event.h"
#include "vote/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 50 * 1000, SEND_MS = 15000, EVENTS_AT_ONCE = 1000, NUMBER_SIZE = 24 };
enum { REDIS_WAIT_US = 2 * 1000 * 1000 };

const struct option forget_options[FORGET_OPTION_COUNT] = {
    OPTION_DRY_RUN("say what would be forgotten"),
    OPTION_YES,
    {.name = "timeout",
     .type = OPTION_DURATION,
     ADMIN_AT(timeout_us),
     .preset = "30s",
     .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY,
     .summary = "longest wait for vote-commit"},
};

/* A wish on its way: the offset that it got in each partition. */
struct wish {
    const struct admin_config *config;
    struct forget forget;
    struct pg pg;
    struct redis *redis; /* NULL: away */
    int32_t partition_count;
    int64_t *offsets; /* by partition; -1: not acknowledged yet */
    rd_kafka_resp_err_t failure;
};

static const char count_sql[] =
    "select (select count(*) from vote.votes where user_id = $1), "
    "       (select count(*) from vote.votes where user_id = $1 and value <> 0), "
    "       (select count(*) from vote.log where user_id = $1), "
    "       (select count(*) from vote.projects where owner_id = $1), "
    "       (select count(*) from vote.notifications where owner_id = $1), "
    "       greatest(coalesce((select max(seq) from vote.votes where user_id = $1), 0), "
    "                coalesce((select max(seq) from vote.log where user_id = $1), 0))";

/* Prints what there is; the wish's seq is behind every vote that was applied. */
static bool wish_count(struct wish *wish, struct error *error)
{
    const char *user = wish->forget.user_id, *parameters[] = {user};
    PGresult *rows = pg_query(&wish->pg, count_sql, 1, parameters, error);
    if (!rows)
        return false;
    printf("%s has votes on %s projects (%s of them counted), %s requests in the ledger, owns %s "
           "projects, has %s notifications\n",
           user, PQgetvalue(rows, 0, 0), PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 2),
           PQgetvalue(rows, 0, 3), PQgetvalue(rows, 0, 4));
    wish->forget.seq = strtoll(PQgetvalue(rows, 0, 5), NULL, 10);
    PQclear(rows);
    return true;
}

/* The clock that votes are numbered by is that of Redis; without it, ours. */
static void wish_stamp(struct wish *wish)
{
    struct redis_batch batch = {0};
    struct error error;
    int64_t now_us = clock_wall_us();
    redis_add(&batch, "vote:touched", "TIME");
    if (wish->redis && redis_run(wish->redis, &batch, &error)) {
        const redisReply *time = redis_reply(&batch, 0);
        int64_t redis_us = redis_reply_int(time->element[0]) * 1000000;
        redis_us += redis_reply_int(time->element[1]);
        now_us = redis_us > now_us ? redis_us : now_us;
    }
    redis_batch_free(&batch);
    request_id_make(wish->forget.request_id);
    wish->forget.accepted_at_ms = clock_wall_ms();
    if (wish->forget.seq < now_us)
        wish->forget.seq = now_us;
}

static void wish_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer, (void)opaque;
    struct wish *wish = message->_private;
    if (message->err)
        wish->failure = message->err;
    else
        wish->offsets[message->partition] = message->offset;
}

static rd_kafka_resp_err_t wish_produce(struct wish *wish, rd_kafka_t *producer, int32_t partition,
                                        const struct buf *json)
{
    char traceparent[TRACEPARENT_SIZE];
    const struct forget *forget = &wish->forget;
    traceparent_continue(NULL, traceparent);
    rd_kafka_headers_t *headers = kafka_event_headers(
        EVENT_FORGOTTEN, "/vote-admin", forget->request_id, forget->accepted_at_ms, traceparent);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(TOPIC_REQUESTS), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_KEY(forget->user_id, strlen(forget->user_id)),
        RD_KAFKA_V_VALUE(json->data, json->size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(wish), RD_KAFKA_V_END);
    if (code)
        rd_kafka_headers_destroy(headers);
    return code;
}

static rd_kafka_t *producer_open(const struct admin_config *config, struct error *error)
{
    static const char *const pairs[] = {"client.id",          "vote-admin", "acks", "all",
                                        "enable.idempotence", "true",       NULL};
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, pairs, NULL, error);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_dr_msg_cb(conf, wish_on_delivery);
    return kafka_open(RD_KAFKA_PRODUCER, conf, config->kafka.brokers, READER_TIMEOUT_MS, error);
}

/* Every partition has it, or the wish is to be made again: half of one does no harm. */
static bool wish_send(struct wish *wish, struct error *error)
{
    struct buf json = {0};
    rd_kafka_t *producer = producer_open(wish->config, error);
    if (!producer)
        return false;
    forget_encode(&wish->forget, &json);
    for (int32_t p = 0; p < wish->partition_count && !wish->failure; p++)
        wish->failure = wish_produce(wish, producer, p, &json);
    rd_kafka_resp_err_t code = rd_kafka_flush(producer, SEND_MS);
    buf_free(&json);
    rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(producer, SEND_MS);
    rd_kafka_destroy(producer);
    if (wish->failure)
        code = wish->failure;
    return !code || error_set(error, ERROR_UNAVAILABLE, "the wish did not reach all of %s: %s",
                              TOPIC_REQUESTS, rd_kafka_err2str(code));
}

static bool wish_partitions(struct wish *wish, struct error *error)
{
    struct reader reader;
    bool fine = reader_open(&reader, &wish->config->kafka, "vote-admin", TOPIC_REQUESTS, error) &&
                reader_partitions(&reader, &wish->partition_count, error);
    reader_close(&reader);
    if (!fine)
        return false;
    wish->offsets = calloc((size_t)wish->partition_count, sizeof *wish->offsets);
    if (!wish->offsets)
        abort();
    for (int32_t p = 0; p < wish->partition_count; p++)
        wish->offsets[p] = -1;
    return true;
}

static const char applied_sql[] = "select \"partition\", next_offset from vote.progress "
                                  " where topic = '" TOPIC_REQUESTS "'";

/* How many partitions have not been applied past the wish; -1: Postgres cannot say. */
static int32_t wish_left(struct wish *wish, struct error *error)
{
    PGresult *rows = pg_query(&wish->pg, applied_sql, 0, NULL, error);
    int32_t left = wish->partition_count;
    for (int row = 0; rows && row < PQntuples(rows); row++) {
        int64_t partition = strtoll(PQgetvalue(rows, row, 0), NULL, 10);
        if (partition < wish->partition_count &&
            strtoll(PQgetvalue(rows, row, 1), NULL, 10) > wish->offsets[partition])
            left--;
    }
    PQclear(rows);
    return rows ? left : -1;
}

static bool wish_await(struct wish *wish, struct error *error)
{
    int64_t until_us = clock_mono_us() + wish->config->timeout_us;
    int32_t left;
    while ((left = wish_left(wish, error)) > 0 && clock_mono_us() < until_us)
        clock_sleep_us(LOOK_US);
    return left == 0 || (left > 0 && error_set(error, ERROR_RETRY,
                                               "the wish is in the log, and vote-commit has not "
                                               "come to it in %d of %d partitions: it will",
                                               (int)left, (int)wish->partition_count));
}

static void event_drop(struct redis_batch *drops, const redisReply *event, const char *user)
{
    const redisReply *fields = event->elements == 2 ? event->element[1] : NULL;
    for (size_t i = 0; fields && i + 1 < fields->elements; i += 2) {
        if (!strcmp(fields->element[i]->str, "user_id") &&
            !strcmp(fields->element[i + 1]->str, user))
            redis_add(drops, KEY_EVENTS, "XDEL " KEY_EVENTS " %s", event->element[0]->str);
    }
}

/* The audit tail of accepted votes names users: a part at a time, from the entry behind `last`. */
static bool events_drop(struct wish *wish, char last[NUMBER_SIZE * 2], struct error *error)
{
    struct redis_batch read = {0}, drops = {0};
    redis_add(&read, KEY_EVENTS, "XRANGE " KEY_EVENTS " (%s + COUNT %d", last, EVENTS_AT_ONCE);
    bool fine = redis_run(wish->redis, &read, error);
    const redisReply *events = fine ? redis_reply(&read, 0) : NULL;
    size_t count = events ? events->elements : 0;
    for (size_t i = 0; i < count; i++)
        event_drop(&drops, events->element[i], wish->forget.user_id);
    if (count)
        snprintf(last, NUMBER_SIZE * 2, "%s", events->element[count - 1]->element[0]->str);
    fine = fine && redis_run(wish->redis, &drops, error);
    redis_batch_free(&read);
    redis_batch_free(&drops);
    return fine && count == EVENTS_AT_ONCE;
}

/* What vote-commit does not look after: the limiter, and the tail of accepted votes. */
static void redis_forget(struct wish *wish, struct log *log)
{
    struct redis_batch batch = {0};
    struct error error = {0};
    char rate[KEY_SIZE], last[NUMBER_SIZE * 2] = "0-0";
    key_of_rate(rate, wish->forget.user_id);
    redis_add(&batch, rate, "DEL %s", rate);
    bool fine = wish->redis && redis_run(wish->redis, &batch, &error);
    while (fine && events_drop(wish, last, &error))
        ;
    if (!fine || error.code)
        log_error(log, LOG_WARN, "redis may still have the user's name, for a day at most", &error);
    redis_batch_free(&batch);
}

static bool wish_make(struct wish *wish, struct log *log, struct error *error)
{
    char question[VOTE_ID_SIZE + 64];
    snprintf(question, sizeof question, "Forget %s? This cannot be taken back.",
             wish->forget.user_id);
    if (!confirm(wish->config, question, error) || !wish_partitions(wish, error))
        return false;
    if (redis_open(&wish->redis, &wish->config->redis, error))
        redis_wait_up(wish->redis, REDIS_WAIT_US);
    wish_stamp(wish);
    if (!wish_send(wish, error) || !wish_await(wish, error))
        return false;
    redis_forget(wish, log);
    printf("%s is forgotten; the wish is request %s\n", wish->forget.user_id,
           wish->forget.request_id);
    return true;
}

bool forget_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    const struct admin_config *config = context;
    const char *user = options->argument_count ? options->arguments[0] : "";
    struct wish wish = {.config = config, .pg = {.url = config->pg.url, .name = "vote-admin"}};
    if (!id_is_valid(user, strlen(user)))
        return error_set(error, ERROR_USAGE,
                         "forget-user takes a user's id: 1 to 64 characters out of "
                         "A-Z a-z 0-9 . _ : -");
    snprintf(wish.forget.user_id, sizeof wish.forget.user_id, "%s", user);
    bool fine = wish_count(&wish, error);
    if (fine && config->dry_run)
        puts("nothing was changed (--dry-run)");
    else
        fine = fine && wish_make(&wish, log, error);
    redis_close(wish.redis);
    pg_close(&wish.pg);
    free(wish.offsets);
    return fine;
}
