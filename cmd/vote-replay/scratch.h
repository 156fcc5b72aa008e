/* scratch.h - a database beside the live one that is gone at the end. SPDX-License-Identifier:
 * Apache-2.0 */
#ifndef REPLAY_SCRATCH_H
#define REPLAY_SCRATCH_H

#include "pg/pg.h"

struct scratch {
    struct pg *live; /* borrowed */
    struct pg pg;    /* of the scratch database */
    struct buf name, url;
    bool made;
};

/* Makes it with all migrations, in the live database's server. One at a time: ERROR_RETRY when
 * there is another; what one that was killed has left is replaced. Close it in either case. */
bool scratch_open(struct scratch *scratch, struct pg *live, struct error *error)
    __attribute__((warn_unused_result));
void scratch_close(struct scratch *scratch); /* drops it */

#endif
