/* publish.c - a vote's event into vote.requests, durable before anyone is answered.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include "base/clock.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>

/* One event on its way, on its sender's stack. The report always comes: message.timeout.ms bounds
 * how long librdkafka tries. */
struct delivery {
    sem_t done;
    rd_kafka_resp_err_t code;
};

static void publish_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message,
                                void *opaque)
{
    (void)producer, (void)opaque;
    struct delivery *delivery = message->_private;
    delivery->code = message->err;
    sem_post(&delivery->done);
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
                           "socket.nagle.disable",
                           "true",
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

static rd_kafka_resp_err_t publish_send(struct ingest *ingest, const struct click *click,
                                        struct delivery *delivery)
{
    const struct request *request = &click->request;
    struct buf json = {0};
    request_encode(request, &json);
    rd_kafka_headers_t *headers =
        kafka_event_headers("vote.requested.v1", "/vote-ingest", request->request_id,
                            request->accepted_at_ms, click->traceparent);
    rd_kafka_resp_err_t code = kafka_send(ingest->producer, TOPIC_REQUESTS, request->project_id,
                                          json.data, json.size, headers, delivery);
    buf_free(&json);
    return code;
}

static rd_kafka_resp_err_t publish_try(struct ingest *ingest, struct click *click)
{
    struct delivery delivery = {0};
    int64_t start_us = clock_mono_us();
    sem_init(&delivery.done, 0, 0);
    delivery.code = publish_send(ingest, click, &delivery);
    if (!delivery.code) {
        optimistic_record(ingest, click);
        while (sem_wait(&delivery.done) && errno == EINTR)
            ;
        optimistic_recorded(ingest, click);
    }
    sem_destroy(&delivery.done);
    histogram_record(ingest->metrics.kafka_us, clock_mono_us() - start_us);
    return delivery.code;
}

bool publish_click(struct ingest *ingest, struct click *click, struct error *error)
{
    if (!breaker_allows(&ingest->breaker))
        return error_set(error, ERROR_UNAVAILABLE, "kafka: not reachable just now");
    rd_kafka_resp_err_t code = publish_try(ingest, click);
    breaker_report(&ingest->breaker, !code);
    return !code || error_set(error, ERROR_UNAVAILABLE, "kafka: %s", rd_kafka_err2str(code));
}
