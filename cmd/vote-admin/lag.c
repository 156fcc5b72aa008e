/* lag.c - vote-admin lag: how far behind each stage is, in records and in seconds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-admin/lag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COLUMN_SIZE = 24 };

const struct option lag_options[LAG_OPTION_COUNT] = {
    {.name = "max-lag",
     .type = OPTION_DURATION,
     ADMIN_AT(max_lag_us),
     .argument = "DURATION",
     .flags = OPTION_FLAG_ONLY,
     .summary = "exit 1 when a stage is further behind"},
    {.name = "group",
     .type = OPTION_TEXT,
     ADMIN_AT(group),
     .preset = "vote-commit",
     .argument = "NAME",
     .summary = "vote-commit's consumer group"},
    {.name = "invalidate-group",
     .type = OPTION_TEXT,
     ADMIN_AT(invalidate_group),
     .preset = "vote-invalidate",
     .argument = "NAME",
     .summary = "vote-invalidate's consumer group"},
    OPTION_FORMAT,
};

int64_t lag_records(const struct lag_row *row)
{
    if (row->next < 0)
        return -1;
    int64_t next = row->next > row->low ? row->next : row->low;
    return row->end > next ? row->end - next : 0;
}

double lag_seconds(const struct lag *lag, const struct lag_row *row)
{
    int64_t records = lag_records(row);
    if (records <= 0)
        return (double)records;
    if (row->oldest_ms < 0)
        return -1;
    return lag->now_ms > row->oldest_ms ? (double)(lag->now_ms - row->oldest_ms) / 1000 : 0;
}

/* The longest that anything waits which should not. */
static double lag_worst(const struct lag *lag)
{
    double worst = lag->outbox.rows ? lag->outbox.seconds : 0;
    for (size_t i = 0; i < lag->row_count; i++) {
        double seconds = lag_seconds(lag, &lag->rows[i]);
        worst = seconds > worst ? seconds : worst;
    }
    return worst;
}

static const char *column_int(int64_t value, char text[COLUMN_SIZE])
{
    snprintf(text, COLUMN_SIZE, "%" PRId64, value);
    return value < 0 ? "-" : text;
}

static const char *column_seconds(double value, char text[COLUMN_SIZE])
{
    snprintf(text, COLUMN_SIZE, "%.1f", value);
    return value < 0 ? "-" : text;
}

static void table_print(const char *name, const struct lag_table *table, const char *what)
{
    printf("%-16s %" PRId64 " rows", name, table->rows);
    if (table->rows)
        printf(", the oldest waits for %.1f s", table->seconds);
    printf(" (%s)\n", what);
}

static void text_print(const struct lag *lag)
{
    bool is_unknown = false;
    char text[5][COLUMN_SIZE];
    printf("%-16s %-14s %9s %10s %10s %8s %8s %10s\n", "STAGE", "TOPIC", "PARTITION", "NEXT", "END",
           "RECORDS", "SECONDS", "COMMITTED");
    for (size_t i = 0; i < lag->row_count; i++) {
        const struct lag_row *row = &lag->rows[i];
        printf("%-16s %-14s %9d %10s %10s %8s %8s %10s\n", row->stage, row->topic,
               (int)row->partition, column_int(row->next, text[0]), column_int(row->end, text[1]),
               column_int(lag_records(row), text[2]),
               column_seconds(lag_seconds(lag, row), text[3]), column_int(row->hint, text[4]));
        is_unknown = is_unknown || row->next < 0;
    }
    table_print("vote.outbox", &lag->outbox, "accepted while Kafka was away");
    table_print("vote.parked", &lag->parked, "refused by Postgres, tried again");
    printf("%-16s %" PRId64 " records (given up)\n", "vote.dead", lag->dead);
    if (is_unknown)
        printf("-: group %s has no offset there: vote-invalidate has not run, or as another "
               "group\n",
               lag->config->invalidate_group);
}

static void member_known(struct buf *json, const char *name, int64_t value)
{
    if (value < 0)
        buf_member_text(json, name, NULL);
    else
        buf_member_int(json, name, value);
}

static void member_seconds(struct buf *json, double value)
{
    if (value < 0)
        buf_member_text(json, "seconds", NULL);
    else
        buf_member_double(json, "seconds", value);
}

static void row_encode(const struct lag *lag, const struct lag_row *row, struct buf *json)
{
    buf_char(json, '{');
    buf_member_text(json, "stage", row->stage);
    buf_member_text(json, "topic", row->topic);
    buf_member_int(json, "partition", row->partition);
    member_known(json, "next", row->next);
    member_known(json, "committed", row->hint);
    buf_member_int(json, "end", row->end);
    member_known(json, "records", lag_records(row));
    member_seconds(json, lag_seconds(lag, row));
    buf_char(json, '}');
}

static void table_encode(const char *name, const struct lag_table *table, struct buf *json)
{
    buf_member(json, name);
    buf_char(json, '{');
    buf_member_int(json, "rows", table->rows);
    member_seconds(json, table->seconds);
    buf_char(json, '}');
}

static void json_print(const struct lag *lag)
{
    struct buf json = {0};
    buf_char(&json, '{');
    buf_member(&json, "partitions");
    buf_char(&json, '[');
    for (size_t i = 0; i < lag->row_count; i++) {
        if (i)
            buf_char(&json, ',');
        row_encode(lag, &lag->rows[i], &json);
    }
    buf_char(&json, ']');
    table_encode("outbox", &lag->outbox, &json);
    table_encode("parked", &lag->parked, &json);
    buf_member_int(&json, "dead", lag->dead);
    buf_member_double(&json, "max_seconds", lag_worst(lag));
    buf_char(&json, '}');
    puts(json.data);
    buf_free(&json);
}

bool lag_run(void *context, const struct options *options, struct log *log, struct error *error)
{
    (void)log;
    const struct admin_config *config = context;
    struct lag lag = {.config = config, .pg = {.url = config->pg.url, .name = "vote-admin"}};
    bool fine = lag_read(&lag, error);
    if (fine && config->format == FORMAT_JSON)
        json_print(&lag);
    else if (fine)
        text_print(&lag);
    double worst = lag_worst(&lag);
    lag_free(&lag);
    if (!fine)
        return false;
    if (options_given(options, "max-lag") && worst * 1e6 > (double)config->max_lag_us)
        return error_set(error, ERROR_FOUND, "%.1f s behind", worst);
    return true;
}
