/* publish.c - a vote's event into vote.requests, durable before anyone is answered.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <stdio.h>

static void publish_end_trace(struct ingest *ingest, struct click *click)
{
    struct span *send = &click->send;
    span_record(send, TOPIC_REQUESTS, click->request.request_id);
    if (click->delivery)
        span_fail(send);
    span_end(ingest->tracer, send, click->delivered_us);
}

static void publish_finish(struct click *click)
{
    struct ingest *ingest = click->ingest;
    int64_t kafka_us = click->delivered_us - click->published_us;
    optimistic_recorded(ingest, click);
    breaker_report(&ingest->breaker, !click->delivery);
    histogram_record(ingest->metrics.kafka_us, kafka_us);
    span_exemplar(&click->send, ingest->metrics.kafka_us, kafka_us);
    publish_end_trace(ingest, click);
    if (click->delivery)
        error_set(&click->error, ERROR_UNAVAILABLE, "kafka: %s", rd_kafka_err2str(click->delivery));
    click_published(click, !click->delivery);
}

/* Kafka's report and Redis' reply come in any order, each in its client's thread. */
static void publish_part_done(struct click *click)
{
    if (atomic_fetch_sub(&click->left, 1) == 1)
        publish_finish(click);
}

/* The report always comes: message.timeout.ms bounds how long librdkafka tries. */
static void publish_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message,
                                void *opaque)
{
    (void)producer, (void)opaque;
    struct click *click = message->_private;
    click->delivered_us = clock_mono_us();
    bool acknowledged = kafka_is_acknowledged(message);
    click->delivery = message->err || acknowledged ? message->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
    click->may_be_kept =
        click->may_be_kept ||
        (!acknowledged && rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
    publish_part_done(click);
}

static void *publish_serve_reports(void *context)
{
    struct ingest *ingest = context;
    while (!atomic_load(&ingest->delivery_stop) || rd_kafka_outq_len(ingest->producer) > 0)
        rd_kafka_poll(ingest->producer, 100);
    return NULL;
}

bool publish_open(struct ingest *ingest, struct error *error)
{
    char timeout_ms[24];
    const struct ingest_config *config = ingest->config;
    snprintf(timeout_ms, sizeof timeout_ms, "%lld", (long long)(config->kafka_timeout_us / 1000));
    const char *pairs[] = {"client.id",
                           "vote-ingest",
                           "acks",
                           "all",
                           "enable.idempotence",
                           "true",
                           "partitioner",
                           "murmur2_random",
                           "linger.ms",
                           "1",
                           "message.timeout.ms",
                           timeout_ms,
                           "queue.buffering.max.messages",
                           "20000",
                           NULL};
    rd_kafka_conf_t *conf = kafka_conf(&config->kafka, pairs, &ingest->kafka_health, error);
    if (!conf)
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, publish_on_delivery);
    ingest->producer = kafka_open(RD_KAFKA_PRODUCER, conf, config->kafka.brokers, 0, error);
    if (!ingest->producer)
        return false;
    int failed = pthread_create(&ingest->delivery_thread, NULL, publish_serve_reports, ingest);
    if (!failed)
        return true;
    rd_kafka_destroy(ingest->producer);
    ingest->producer = NULL;
    return error_set(error, ERROR_SOFTWARE, "unable to start a thread");
}

void publish_close(struct ingest *ingest)
{
    if (!ingest->producer)
        return;
    atomic_store(&ingest->delivery_stop, 1);
    pthread_join(ingest->delivery_thread, NULL);
    rd_kafka_destroy(ingest->producer);
}

static rd_kafka_resp_err_t publish_send(struct ingest *ingest, struct click *click)
{
    const struct request *request = &click->request;
    struct buf json = {0};
    char traceparent[TRACEPARENT_SIZE];
    trace_context_format(&click->send.context, traceparent);
    request_encode(request, &json);
    rd_kafka_headers_t *headers =
        kafka_event_headers("vote.requested.v1", "/vote-ingest", request->request_id,
                            request->accepted_at_ms, traceparent);
    rd_kafka_resp_err_t code = kafka_send(ingest->producer, TOPIC_REQUESTS, request->project_id,
                                          json.data, json.size, headers, click);
    buf_free(&json);
    return code;
}

static void publish_on_recorded(struct redis_batch *batch)
{
    publish_part_done(batch->owner);
}

static void publish_begin_trace(struct click *click)
{
    click->published_us = clock_mono_us();
    span_begin(click->ingest->tracer, &click->send, "send " TOPIC_REQUESTS, SPAN_PRODUCER,
               &click->post.context, click->published_us);
}

void publish_click(struct click *click)
{
    struct ingest *ingest = click->ingest;
    bool is_sent = false;
    click->left = 2; /* before the send: its report may come at once, in its thread */
    if (breaker_allows(&ingest->breaker)) {
        publish_begin_trace(click);
        is_sent = !publish_send(ingest, click);
        if (!is_sent)
            breaker_report(&ingest->breaker, false);
    }
    if (is_sent) {
        optimistic_record(ingest, click, publish_on_recorded);
    } else {
        error_set(&click->error, ERROR_UNAVAILABLE, "kafka: not reachable just now");
        click_published(click, false);
    }
}
