/* metrics.c - what vote-notify shows of itself. SPDX-License-Identifier: Apache-2.0 */
#include "vote-notify/notify.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { LABEL_SIZE = 64 };

struct notify_metrics {
    struct metric *connections[SIO_TRANSPORT_KINDS], *opened[SIO_TRANSPORT_KINDS];
    struct metric *closed[SIO_REASONS];
    struct metric *rooms, *sockets, *upgraded, *refused, *packets_in, *packets_out, *bytes_out,
        *deliveries, *conflated, *dropped, *queued_bytes;
    struct histogram *accepted_us, *committed_us;
    char labels[2 * SIO_TRANSPORT_KINDS + SIO_REASONS][LABEL_SIZE];
};

static const char *label(struct notify_metrics *metrics, int at, const char *name,
                         const char *value)
{
    snprintf(metrics->labels[at], LABEL_SIZE, "%s=\"%s\"", name, value);
    return metrics->labels[at];
}

static void register_labelled(struct notify_metrics *metrics, struct metrics *all)
{
    int at = 0;
    for (int i = 0; i < SIO_TRANSPORT_KINDS; i++)
        metrics->connections[i] =
            metrics_gauge(all, "vote_notify_connections", "Clients, by transport.",
                          label(metrics, at++, "transport", sio_transport_name(i)), 1);
    for (int i = 0; i < SIO_TRANSPORT_KINDS; i++)
        metrics->opened[i] =
            metrics_counter(all, "vote_notify_opened_total", "Handshakes, by transport.",
                            label(metrics, at++, "transport", sio_transport_name(i)));
    for (int i = 0; i < SIO_REASONS; i++)
        metrics->closed[i] =
            metrics_counter(all, "vote_notify_closed_total", "Clients that went, by reason.",
                            label(metrics, at++, "reason", sio_reason_name(i)));
}

struct notify_metrics *notify_metrics_new(struct metrics *all)
{
    struct notify_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        abort();
    register_labelled(metrics, all);
    metrics->sockets = metrics_gauge(all, "vote_notify_sockets", "Accepted sockets.", NULL, 1);
    metrics->rooms = metrics_gauge(all, "vote_notify_rooms",
                                   "Projects and users somebody is there for.", NULL, 1);
    metrics->queued_bytes = metrics_gauge(all, "vote_notify_queued_bytes",
                                          "Waiting for clients that read slowly.", NULL, 1);
    metrics->upgraded = metrics_counter(all, "vote_notify_upgraded_total",
                                        "Clients that went from polling to WebSocket.", NULL);
    metrics->refused = metrics_counter(all, "vote_notify_refused_total",
                                       "Connections, requests and sockets refused.", NULL);
    metrics->packets_in =
        metrics_counter(all, "vote_notify_packets_received_total", "Packets from clients.", NULL);
    metrics->packets_out =
        metrics_counter(all, "vote_notify_packets_sent_total", "Packets to clients.", NULL);
    metrics->bytes_out = metrics_counter(all, "vote_notify_sent_bytes_total", "Their bytes.", NULL);
    metrics->deliveries = metrics_counter(all, "vote_notify_messages_total",
                                          "Events times the clients they were queued for.", NULL);
    metrics->conflated = metrics_counter(all, "vote_notify_conflated_total",
                                         "Counts that newer ones replaced before they left.", NULL);
    metrics->dropped = metrics_counter(all, "vote_notify_dropped_total",
                                       "Messages given up for slow clients.", NULL);
    metrics->accepted_us = metrics_latency(all, "vote_notify_accepted_latency_seconds",
                                           "From accepted_at to the public event.", NULL);
    metrics->committed_us = metrics_latency(all, "vote_notify_committed_latency_seconds",
                                            "From committed_at to the public event.", NULL);
    return metrics;
}

void notify_metrics_free(struct notify_metrics *metrics)
{
    free(metrics);
}

void notify_metrics_tell(struct notify_metrics *metrics, const struct sio_stats *stats)
{
    for (int i = 0; i < SIO_TRANSPORT_KINDS; i++) {
        metric_set(metrics->connections[i], (int64_t)stats->clients[i]);
        metric_set(metrics->opened[i], (int64_t)stats->opened[i]);
    }
    for (int i = 0; i < SIO_REASONS; i++)
        metric_set(metrics->closed[i], (int64_t)stats->closed[i]);
    metric_set(metrics->sockets, (int64_t)stats->sockets);
    metric_set(metrics->rooms, (int64_t)stats->rooms);
    metric_set(metrics->queued_bytes, (int64_t)stats->queued_bytes);
    metric_set(metrics->upgraded, (int64_t)stats->upgraded);
    metric_set(metrics->refused,
               (int64_t)(stats->refused_full + stats->refused_bad + stats->refused_sockets));
    metric_set(metrics->packets_in, (int64_t)stats->packets_in);
    metric_set(metrics->packets_out, (int64_t)stats->packets_out);
    metric_set(metrics->bytes_out, (int64_t)stats->bytes_out);
    metric_set(metrics->deliveries, (int64_t)stats->deliveries);
    metric_set(metrics->conflated, (int64_t)stats->conflated);
    metric_set(metrics->dropped, (int64_t)stats->dropped);
}

void notify_metrics_delivered(struct notify_metrics *metrics, int64_t accepted_at_ms,
                              int64_t committed_at_ms, const struct span *span)
{
    int64_t now_ms = clock_wall_ms();
    if (!accepted_at_ms)
        return; /* nobody knows which vote it was */
    histogram_record(metrics->accepted_us, (now_ms - accepted_at_ms) * 1000);
    histogram_record(metrics->committed_us, (now_ms - committed_at_ms) * 1000);
    if (!span)
        return;
    span_exemplar(span, metrics->accepted_us, (now_ms - accepted_at_ms) * 1000);
    span_exemplar(span, metrics->committed_us, (now_ms - committed_at_ms) * 1000);
}
