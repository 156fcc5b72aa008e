/* request_columns.c - requests as the arrays that vote.apply takes. SPDX-License-Identifier:
 * Apache-2.0 */
#include "vote/request_columns.h"

#include "base/clock.h"
#include "pg/pg.h"

void request_columns_add(struct request_columns *columns, int32_t partition, int64_t offset,
                         const struct request *request)
{
    char accepted_at[CLOCK_TEXT_SIZE];
    clock_format_ms(request->accepted_at_ms, accepted_at);
    struct buf *column = columns->column;
    pg_array_int(column++, partition);
    pg_array_int(column++, offset);
    pg_array_text(column++, request->request_id);
    pg_array_text(column++, request->user_id);
    pg_array_text(column++, request->project_id);
    pg_array_int(column++, request->vote_type);
    pg_array_int(column++, request->previous);
    pg_array_text(column++, vote_action_name(request->action));
    pg_array_int(column++, request->seq);
    pg_array_text(column++, accepted_at);
    pg_array_text(column++, request->variant[0] ? request->variant : NULL);
}

void request_columns_end(struct request_columns *columns, const char *parameters[REQUEST_COLUMNS])
{
    for (int i = 0; i < REQUEST_COLUMNS; i++)
        parameters[i] = pg_array_end(&columns->column[i]);
}

void request_columns_clear(struct request_columns *columns)
{
    for (int i = 0; i < REQUEST_COLUMNS; i++)
        buf_clear(&columns->column[i]);
}

void request_columns_free(struct request_columns *columns)
{
    for (int i = 0; i < REQUEST_COLUMNS; i++)
        buf_free(&columns->column[i]);
}
