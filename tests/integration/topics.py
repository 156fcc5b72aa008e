# topics.py - what is in the topics, read by a client that is not ours. SPDX-License-Identifier: Apache-2.0
import json

from confluent_kafka import Consumer, Producer, TopicPartition

from stack import wait_until


class Tail:
    """Reads a topic from its start, or from where it ends now."""

    def __init__(self, stack, topic, from_end=False):
        # A broker answers one connection's requests in turn: what asks for the ends waits for the fetch before it.
        self.consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "none", "fetch.wait.max.ms": 10})
        self.topic = topic
        partitions = self.consumer.list_topics(topic, 10).topics[topic].partitions
        self.next = {p: 0 for p in partitions}
        if from_end:
            self.next = self.ends()
        self.consumer.assign([TopicPartition(topic, p, offset) for p, offset in self.next.items()])

    def ends(self):
        return {p: self.consumer.get_watermark_offsets(TopicPartition(self.topic, p), 10)[1] for p in self.next}

    def read(self):
        """Every record up to where the topic ends now, and not read before."""
        ends, records = self.ends(), []
        while any(self.next[p] < end for p, end in ends.items()):
            message = self.consumer.poll(10)
            assert message is not None and not message.error(), message and message.error()
            self.next[message.partition()] = message.offset() + 1
            records.append(message)
        return records

    def close(self):
        self.consumer.close()


def read_topic(stack, topic):
    tail = Tail(stack, topic)
    try:
        return tail.read()
    finally:
        tail.close()


def requests_log(stack):
    """Every record of vote.requests as (key, value, headers)."""
    return [(m.key(), m.value(), m.headers()) for m in read_topic(stack, "vote.requests")]


def results_of(stack, request_ids):
    """The event types of each of these requests that is in vote.results: one for each record."""
    found = {}
    for message in read_topic(stack, "vote.results"):
        request_id = json.loads(message.value())["request_id"]
        if request_id in request_ids:
            found.setdefault(request_id, []).append(dict(message.headers())["ce_type"].decode())
    return found


def produce(stack, records):
    producer = Producer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "partitioner": "murmur2_random"})
    for key, value, headers in records:
        producer.produce("vote.requests", key=key, value=value, headers=headers)
    assert producer.flush(30) == 0


def wait_applied(stack, seconds=60):
    """Until vote.progress has reached the end of the log."""
    tail = Tail(stack, "vote.requests", from_end=True)
    ends = sum(tail.next.values())
    tail.close()
    wait_until(lambda: stack.sql("select coalesce(sum(next_offset), 0) from vote.progress")[0][0] >= ends, seconds, "applied")
