# topics.py - what is in the topics, read by a client that is not ours. SPDX-License-Identifier: Apache-2.0
import json

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

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

    def bounds(self, partition):
        """The partition's first offset and its end, or None: behind a restart of its broker it has no leader for a moment."""
        try:
            return self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), 10)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE):
                raise
            return None

    def ends(self):
        return {p: wait_until(lambda: self.bounds(p), 20, "a leader")[1] for p in self.next}

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


def make_topic(stack, name, partitions=3):
    admin = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})
    kept = {"retention.ms": "-1"}  # records of any time, which a test gives them
    admin.create_topics([NewTopic(name, partitions, 1, config=kept)])[name].result(30)

    def is_known():
        found = admin.list_topics(name, 10).topics[name].partitions.values()
        return len(found) == partitions and all(partition.leader >= 0 for partition in found)
    wait_until(is_known, 20, "the topic")
    return name


def send(stack, topic, records, **settings):
    """Each record: {key, value, headers, partition, timestamp}, or some of them."""
    producer = Producer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "partitioner": "murmur2_random", **settings})
    for record in records:
        producer.produce(topic, **record)
        producer.poll(0)
    assert producer.flush(30) == 0


def event(number, **members):
    """The value of a record as vote.results has it."""
    return json.dumps({"request_id": f"00000000-0000-4000-8000-{number:012}", "user_id": f"u{number}", "project_id": "p1",
                       "vote_type": "up", "previous": "none", "action": "created", "upvotes": number, "downvotes": 0,
                       "version": number, "seq": number, "accepted_at": "2026-11-23T18:03:39.594Z", **members},
                      separators=(",", ":"))


def read_committed(stack, topic):
    """Every record that a reader with isolation.level=read_committed finds: where transactions end, offsets are missing."""
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "none", "fetch.wait.max.ms": 10,
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    records, ended = [], set()
    while len(ended) < len(partitions):
        message = consumer.poll(20)
        assert message is not None
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
        else:
            records.append(message)
    consumer.close()
    return records
