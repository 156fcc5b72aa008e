/* metrics.c - what vote-invalidate shows of itself. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/invalidate.h"

#include <stdio.h>

/* The registry borrows labels. */
static const char *const kind_labels[KINDS] = {"kind=\"mark\"",      "kind=\"key\"",
                                               "kind=\"tag\"",       "kind=\"pattern\"",
                                               "kind=\"surrogate\"", "kind=\"url\""};

static void register_targets(struct invalidate *invalidate)
{
    struct invalidate_metrics *metrics = &invalidate->metrics;
    struct metrics *all = invalidate->admin.metrics;
    for (int i = 0; i < invalidate->target_count; i++) {
        snprintf(metrics->labels[i], LABEL_SIZE, "target=\"%s\"", invalidate->targets[i].name);
        metrics->failures[i] =
            metrics_counter(all, "vote_invalidate_failures_total",
                            "Purges that failed, to be tried again.", metrics->labels[i]);
    }
    for (int i = 0; i < invalidate->target_count; i++)
        metrics->breaker[i] = metrics_gauge(all, "vote_invalidate_breaker_state",
                                            "Whether it is tried: 0 closed, 1 open, 2 half open.",
                                            metrics->labels[i], 1);
}

static void register_checks(struct invalidate_metrics *metrics, struct metrics *all)
{
    static const char name[] = "vote_state_consistency_checks_total";
    static const char help[] = "Samples that were compared, and those that could not be.";
    metrics->consistency =
        metrics_gauge(all, "vote_state_consistency_ratio",
                      "Share of sampled projects that caches and Postgres agree on.", NULL, 1e-6);
    metrics->checks_done = metrics_counter(all, name, help, "result=\"done\"");
    metrics->checks_failed = metrics_counter(all, name, help, "result=\"failed\"");
}

void invalidate_register_metrics(struct invalidate *invalidate)
{
    struct invalidate_metrics *metrics = &invalidate->metrics;
    struct metrics *all = invalidate->admin.metrics = metrics_new();
    for (int i = 0; i < KINDS; i++)
        metrics->purged[i] =
            metrics_counter(all, "vote_invalidate_purged_total", "Keys purged.", kind_labels[i]);
    register_targets(invalidate);
    metrics->records =
        metrics_counter(all, "vote_invalidate_records_total", "Results that were read.", NULL);
    metrics->undecodable = metrics_counter(all, "vote_invalidate_undecodable_total",
                                           "Records that are no results, left out.", NULL);
    metrics->windows = metrics_counter(all, "vote_invalidate_windows_total",
                                       "Rounds of purges, each with what was due.", NULL);
    metrics->calls =
        metrics_counter(all, "vote_invalidate_http_calls_total", "Calls to HTTP caches.", NULL);
    metrics->truncated =
        metrics_counter(all, "vote_invalidate_scans_truncated_total",
                        "Pattern purges that ended at --scan-max with keys unseen.", NULL);
    metrics->pending =
        metrics_gauge(all, "vote_invalidate_pending_keys", "Keys that wait to be purged.", NULL, 1);
    metrics->lag_records = metrics_gauge(all, "vote_invalidate_lag_records",
                                         "Records whose keys are not all purged.", NULL, 1);
    metrics->lag_us = metrics_gauge(all, "vote_invalidate_lag_seconds",
                                    "Age of the oldest commit that is not purged.", NULL, 1e-6);
    metrics->latency_us = metrics_latency(all, "vote_invalidate_latency_seconds",
                                          "From committed_at to the purge of a key.", NULL);
    if (invalidate->config->check_interval_us)
        register_checks(metrics, all);
}
