/* meter.h - how far long work is: a bar with the time left where stderr is a terminal, a line now
 * and then elsewhere. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_METER_H
#define BASE_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
    const char *tool, *things; /* borrowed: "vote-replay", "records" */
    int64_t total;             /* 0 or less: nobody knows */
    int64_t began_us, shown_us;
    bool terminal, drawn;
};

void meter_start(struct meter *meter, const char *tool, const char *things, int64_t total);

/* Call it often: it shows something now and then. */
void meter_turn(struct meter *meter, int64_t done);

/* Takes the bar away before another line is written, and at the end. */
void meter_clear(struct meter *meter);

#endif
