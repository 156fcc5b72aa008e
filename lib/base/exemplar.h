/* exemplar.h - for each bucket of a histogram the last record that has a trace to look at
 * (OpenMetrics 1.0, "Exemplars"). Any thread may keep and read. SPDX-License-Identifier: Apache-2.0
 */
#ifndef BASE_EXEMPLAR_H
#define BASE_EXEMPLAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXEMPLARS_MAX = 16, EXEMPLAR_TRACE_SIZE = 33 };

struct exemplar {
    char trace_id[EXEMPLAR_TRACE_SIZE]; /* hexadecimal; empty: there is none */
    int64_t value;
    int64_t wall_ms;
};

/* Zero-initialised is empty. */
struct exemplars {
    atomic_flag busy;
    struct exemplar last[EXEMPLARS_MAX];
};

/* Keeps one for a bucket below EXEMPLARS_MAX, unless another thread is at it: one of the two will
 * do. */
void exemplars_keep(struct exemplars *exemplars, size_t bucket, int64_t value,
                    const char *trace_id);

/* Copies the last one of a bucket; false when there is none. */
bool exemplars_read(struct exemplars *exemplars, size_t bucket, struct exemplar *exemplar);

#endif
