/* process.h - what every process tells of itself, under the names that Prometheus' own clients use.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include "base/buf.h"

#include <stdint.h>

/* Adds process_cpu_seconds_total, process_resident_memory_bytes, process_threads, process_open_fds,
 * process_max_fds and process_start_time_seconds as Prometheus text; `started_ms` is the last one,
 * in milliseconds of the wall clock; `is_open` says that it is OpenMetrics. What the system does
 * not tell is left out. */
void process_print(struct buf *out, int64_t started_ms, bool is_open);

#endif
