/* breaker.c - whether Kafka is tried at all. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/breaker.h"

static const char *const state_names[] = {"closed", "open", "half open"};

/* The only place that changes the state; true for the thread that changed it. */
static bool breaker_move(struct breaker *breaker, enum breaker_state from, enum breaker_state to)
{
    int expected = from;
    if (!atomic_compare_exchange_strong(&breaker->state, &expected, to))
        return false;
    atomic_store(&breaker->trying, 0);
    LOG_EVENT(breaker->log, to == BREAKER_OPEN ? LOG_WARN : LOG_INFO, "kafka breaker",
              LOG_STR("from", state_names[from]), LOG_STR("to", state_names[to]));
    return true;
}

bool breaker_allows(struct breaker *breaker)
{
    switch (breaker_state(breaker)) {
    case BREAKER_CLOSED: return true;
    case BREAKER_HALF_OPEN: return !atomic_exchange(&breaker->trying, 1);
    case BREAKER_OPEN: break;
    }
    return false;
}

void breaker_report(struct breaker *breaker, bool succeeded)
{
    if (succeeded)
        breaker_move(breaker, BREAKER_HALF_OPEN, BREAKER_CLOSED);
    else if (!breaker_move(breaker, BREAKER_CLOSED, BREAKER_OPEN))
        breaker_move(breaker, BREAKER_HALF_OPEN, BREAKER_OPEN);
}

void breaker_probe(struct breaker *breaker, bool answers)
{
    if (answers)
        breaker_move(breaker, BREAKER_OPEN, BREAKER_HALF_OPEN);
}

enum breaker_state breaker_state(const struct breaker *breaker)
{
    return (enum breaker_state)atomic_load(&breaker->state);
}
