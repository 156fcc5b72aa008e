/* request_columns.h - requests as the arrays that vote.apply and its kin take.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef VOTE_REQUEST_COLUMNS_H
#define VOTE_REQUEST_COLUMNS_H

#include "base/buf.h"
#include "vote/event.h"

enum { REQUEST_COLUMNS = 11 };

/* In the order of vote.apply's parameters, as Postgres' text of an array. Zero-initialised is
 * empty.
 */
struct request_columns {
    struct buf column[REQUEST_COLUMNS];
};

void request_columns_add(struct request_columns *columns, int32_t partition, int64_t offset,
                         const struct request *request);

/* Ends the arrays, and fills in the parameters that they are. Nothing can be added any more. */
void request_columns_end(struct request_columns *columns, const char *parameters[REQUEST_COLUMNS]);
void request_columns_clear(struct request_columns *columns); /* empty again, for others */
void request_columns_free(struct request_columns *columns);

#endif
