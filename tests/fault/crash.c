/* crash.c - preloaded into a tool, it ends the tool by SIGKILL at a named point of its work.
 *
 * CRASH_AT=POINT:N ends it when POINT is reached for the N-th time (from 1); the last line on
 * stderr then names the point. It stands between the tool and its libraries, so the tool needs no
 * hooks:
 *
 *   before-transaction    a statement with `commit_batch` is about to be sent
 *   inside-transaction    it was sent, and nobody will read the answer
 *   before-announcement   a record for vote.results is about to be queued
 *   before-offset-commit  Kafka's offset is about to be moved
 *   during-settling       half of the bytes of a settling script and what follows it are sent
 *
 * BUGS: settling is seen only when it goes through send(), as lib/redis does.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The function of that name in the library behind this one. */
#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

enum { NAME_SIZE = 64, VALUES_MAX = 32 };

static char chosen_point[NAME_SIZE];
static atomic_int reaches_left;
static char prepared_name[NAME_SIZE]; /* of the prepared statement that commits a batch */
static __thread bool inside_libpq; /* libpq calls its own functions, which come through here too */

__attribute__((constructor)) static void crash_choose(void)
{
    const char *text = getenv("CRASH_AT");
    int count = 1;
    if (!text || sscanf(text, "%63[a-z-]:%d", chosen_point, &count) < 1)
        return;
    atomic_store(&reaches_left, count);
}

/* True when this is the time to die. */
static bool point_reached(const char *point)
{
    return !strcmp(point, chosen_point) && atomic_fetch_sub(&reaches_left, 1) == 1;
}

static void crash(void)
{
    dprintf(STDERR_FILENO, "crash: %s\n", chosen_point);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void crash_if_reached(const char *point)
{
    if (point_reached(point))
        crash();
}

/* Postgres */

static bool is_batch(const char *sql)
{
    return !inside_libpq && strstr(sql, "commit_batch");
}

static bool is_prepared_batch(const char *name)
{
    return !inside_libpq && *name && !strcmp(name, prepared_name);
}

static void remember_prepared(const char *name, const char *sql)
{
    if (is_batch(sql))
        snprintf(prepared_name, sizeof prepared_name, "%s", name);
}

/* The server has the whole statement, and goes on with it whatever becomes of us. */
static void crash_behind(PGconn *connection)
{
    if (PQpipelineStatus(connection) != PQ_PIPELINE_OFF)
        NEXT(PQpipelineSync)(connection);
    while (NEXT(PQflush)(connection) > 0)
        ;
    crash();
}

int PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                      const char *const *values, const int *lengths, const int *formats,
                      int result_format)
{
    bool batch = is_batch(sql);
    if (batch)
        crash_if_reached("before-transaction");
    int sent = NEXT(PQsendQueryParams)(connection, sql, count, types, values, lengths, formats,
                                       result_format);
    if (batch && sent && point_reached("inside-transaction"))
        crash_behind(connection);
    return sent;
}

int PQsendQueryPrepared(PGconn *connection, const char *name, int count, const char *const *values,
                        const int *lengths, const int *formats, int result_format)
{
    bool batch = is_prepared_batch(name);
    if (batch)
        crash_if_reached("before-transaction");
    int sent =
        NEXT(PQsendQueryPrepared)(connection, name, count, values, lengths, formats, result_format);
    if (batch && sent && point_reached("inside-transaction"))
        crash_behind(connection);
    return sent;
}

PGresult *PQexecParams(PGconn *connection, const char *sql, int count, const Oid *types,
                       const char *const *values, const int *lengths, const int *formats,
                       int result_format)
{
    if (is_batch(sql)) {
        crash_if_reached("before-transaction");
        if (point_reached("inside-transaction") &&
            NEXT(PQsendQueryParams)(connection, sql, count, types, values, lengths, formats,
                                    result_format))
            crash_behind(connection);
    }
    inside_libpq = true;
    PGresult *result =
        NEXT(PQexecParams)(connection, sql, count, types, values, lengths, formats, result_format);
    inside_libpq = false;
    return result;
}

PGresult *PQexecPrepared(PGconn *connection, const char *name, int count, const char *const *values,
                         const int *lengths, const int *formats, int result_format)
{
    if (is_prepared_batch(name)) {
        crash_if_reached("before-transaction");
        if (point_reached("inside-transaction") &&
            NEXT(PQsendQueryPrepared)(connection, name, count, values, lengths, formats,
                                      result_format))
            crash_behind(connection);
    }
    inside_libpq = true;
    PGresult *result =
        NEXT(PQexecPrepared)(connection, name, count, values, lengths, formats, result_format);
    inside_libpq = false;
    return result;
}

PGresult *PQprepare(PGconn *connection, const char *name, const char *sql, int count,
                    const Oid *types)
{
    remember_prepared(name, sql);
    return NEXT(PQprepare)(connection, name, sql, count, types);
}

int PQsendPrepare(PGconn *connection, const char *name, const char *sql, int count,
                  const Oid *types)
{
    remember_prepared(name, sql);
    return NEXT(PQsendPrepare)(connection, name, sql, count, types);
}

/* Kafka */

static void topic_reached(const char *topic)
{
    if (topic && !strcmp(topic, "vote.results"))
        crash_if_reached("before-announcement");
}

static void values_reached(const rd_kafka_vu_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i].vtype == RD_KAFKA_VTYPE_TOPIC)
            topic_reached(values[i].u.cstr);
        if (values[i].vtype == RD_KAFKA_VTYPE_RKT)
            topic_reached(rd_kafka_topic_name(values[i].u.rkt));
    }
}

/* Reads what follows a vtype in the arguments of rd_kafka_producev. */
static void value_take(rd_kafka_vu_t *value, va_list arguments)
{
    switch (value->vtype) {
    case RD_KAFKA_VTYPE_TOPIC: value->u.cstr = va_arg(arguments, const char *); break;
    case RD_KAFKA_VTYPE_RKT: value->u.rkt = va_arg(arguments, rd_kafka_topic_t *); break;
    case RD_KAFKA_VTYPE_PARTITION: value->u.i32 = va_arg(arguments, int32_t); break;
    case RD_KAFKA_VTYPE_VALUE:
    case RD_KAFKA_VTYPE_KEY:
        value->u.mem.ptr = va_arg(arguments, void *);
        value->u.mem.size = va_arg(arguments, size_t);
        break;
    case RD_KAFKA_VTYPE_OPAQUE: value->u.ptr = va_arg(arguments, void *); break;
    case RD_KAFKA_VTYPE_MSGFLAGS: value->u.i = va_arg(arguments, int); break;
    case RD_KAFKA_VTYPE_TIMESTAMP: value->u.i64 = va_arg(arguments, int64_t); break;
    case RD_KAFKA_VTYPE_HEADER:
        value->u.header.name = va_arg(arguments, const char *);
        value->u.header.val = va_arg(arguments, const void *);
        value->u.header.size = va_arg(arguments, ssize_t);
        break;
    case RD_KAFKA_VTYPE_HEADERS: value->u.headers = va_arg(arguments, rd_kafka_headers_t *); break;
    default: abort();
    }
}

/* A function of that form cannot be handed on: its values go the other way, as an array. */
rd_kafka_resp_err_t rd_kafka_producev(rd_kafka_t *producer, ...)
{
    rd_kafka_vu_t values[VALUES_MAX];
    size_t count = 0;
    va_list arguments;
    va_start(arguments, producer);
    for (int type; (type = va_arg(arguments, int)) != RD_KAFKA_VTYPE_END; count++) {
        if (count == VALUES_MAX)
            abort();
        values[count].vtype = (rd_kafka_vtype_t)type;
        value_take(&values[count], arguments);
    }
    va_end(arguments);
    values_reached(values, count);
    rd_kafka_error_t *error = NEXT(rd_kafka_produceva)(producer, values, count);
    rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_error_destroy(error);
    return code;
}

rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *producer, const rd_kafka_vu_t *values,
                                     size_t count)
{
    values_reached(values, count);
    return NEXT(rd_kafka_produceva)(producer, values, count);
}

int rd_kafka_produce(rd_kafka_topic_t *topic, int32_t partition, int flags, void *payload,
                     size_t size, const void *key, size_t key_size, void *opaque)
{
    topic_reached(rd_kafka_topic_name(topic));
    return NEXT(rd_kafka_produce)(topic, partition, flags, payload, size, key, key_size, opaque);
}

int rd_kafka_produce_batch(rd_kafka_topic_t *topic, int32_t partition, int flags,
                           rd_kafka_message_t *messages, int count)
{
    for (int i = 0; i < count; i++)
        topic_reached(rd_kafka_topic_name(topic));
    return NEXT(rd_kafka_produce_batch)(topic, partition, flags, messages, count);
}

rd_kafka_resp_err_t rd_kafka_commit(rd_kafka_t *consumer,
                                    const rd_kafka_topic_partition_list_t *offsets, int async)
{
    crash_if_reached("before-offset-commit");
    return NEXT(rd_kafka_commit)(consumer, offsets, async);
}

rd_kafka_resp_err_t rd_kafka_commit_queue(
    rd_kafka_t *consumer, const rd_kafka_topic_partition_list_t *offsets, rd_kafka_queue_t *queue,
    void (*done)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *, void *),
    void *opaque)
{
    crash_if_reached("before-offset-commit");
    return NEXT(rd_kafka_commit_queue)(consumer, offsets, queue, done, opaque);
}

/* Redis */

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    static const char key[] = "vote:settled:"; /* only settle.lua has it */
    if (memmem(data, size, key, sizeof key - 1) && point_reached("during-settling")) {
        NEXT(send)(fd, data, size / 2, flags);
        crash();
    }
    return NEXT(send)(fd, data, size, flags);
}
