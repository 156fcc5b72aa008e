/* exemplar.c - see exemplar.h. SPDX-License-Identifier: Apache-2.0 */
#include "base/exemplar.h"

#include "base/clock.h"

#include <sched.h>
#include <stdio.h>

static bool exemplars_take(struct exemplars *exemplars)
{
    return !atomic_flag_test_and_set_explicit(&exemplars->busy, memory_order_acquire);
}

static void exemplars_give(struct exemplars *exemplars)
{
    atomic_flag_clear_explicit(&exemplars->busy, memory_order_release);
}

void exemplars_keep(struct exemplars *exemplars, size_t bucket, int64_t value, const char *trace_id)
{
    struct exemplar *exemplar = &exemplars->last[bucket];
    if (!exemplars_take(exemplars))
        return;
    snprintf(exemplar->trace_id, EXEMPLAR_TRACE_SIZE, "%s", trace_id);
    exemplar->value = value;
    exemplar->wall_ms = clock_wall_ms();
    exemplars_give(exemplars);
}

bool exemplars_read(struct exemplars *exemplars, size_t bucket, struct exemplar *exemplar)
{
    while (!exemplars_take(exemplars))
        sched_yield();
    *exemplar = exemplars->last[bucket];
    exemplars_give(exemplars);
    return exemplar->trace_id[0] != '\0';
}
