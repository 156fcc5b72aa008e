# backlog.py - votes that wait in vote.requests for whoever counts them, and what they must come to.
# SPDX-License-Identifier: Apache-2.0
import collections
import datetime
import json
import os
import random
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stack import ROOT, wait_until
from topics import make_topic

TOPIC = "vote.requests"
NAMES = {1: "up", -1: "down", 0: "none"}
STATE = dict.fromkeys(("upvotes", "downvotes", "seq", "pending", "version", "base_up", "base_down"), 0)
PREPARED_DATABASE = 1  # in Redis: the state before the votes are counted, copied for each round
CHUNK = 2000

Record = collections.namedtuple("Record", "partition offset request")


def action_between(previous, value):
    if previous == value:
        return "unchanged"
    return "created" if previous == 0 else "removed" if value == 0 else "changed"


def clicks(count, projects, users):
    """Random clicks of an up or a down button, each a request as vote-ingest makes it of a click."""
    dice = random.Random(1)
    standing = {}
    first_us = time.time_ns() // 1000
    for number in range(count):
        project, user = f"p{dice.randrange(projects) + 1}", f"u{dice.randrange(users) + 1}"
        wanted, previous = dice.choice((1, 1, -1)), standing.get((project, user), 0)
        value = standing[project, user] = 0 if wanted == previous else wanted
        seq = first_us + number
        yield {"request_id": request_id(seq // 1000, dice), "user_id": user, "project_id": project,
               "vote_type": NAMES[value], "previous": NAMES[previous], "action": action_between(previous, value),
               "seq": seq, "accepted_at": rfc3339(seq)}


def request_id(wall_ms, dice):
    """A UUID of version 7."""
    text = f"{wall_ms:012x}7{dice.getrandbits(12):03x}{0x8000 | dice.getrandbits(14):04x}{dice.getrandbits(48):012x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def rfc3339(wall_us):
    moment = datetime.datetime.fromtimestamp(wall_us / 1e6, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Backlog:
    """`count` votes over some projects and users, in an otherwise empty vote.requests."""

    def __init__(self, stack, count, projects, users, partitions=None):
        self.stack, self.count = stack, count
        self.projects = [f"p{number + 1}" for number in range(projects)]
        self.requests = list(clicks(count, projects, users))
        self.expect()
        empty_topic(stack, partitions)
        self.produce()
        self.records = self.read()
        self.prepare_redis()

    def expect(self):
        """What every project and every row must be at the end."""
        last = {(r["project_id"], r["user_id"]): r for r in self.requests}
        self.row_count, self.seq_sum = len(last), sum(r["seq"] for r in last.values())
        self.counts = {project: [0, 0] for project in self.projects}
        for (project, _), request in last.items():
            if request["vote_type"] != "none":
                self.counts[project][request["vote_type"] == "down"] += 1

    def produce(self):
        producer = Producer({"bootstrap.servers": self.stack.env["VOTE_KAFKA_BROKERS"], "acks": "all",
                             "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 20,
                             "log_level": 3, "queue.buffering.max.messages": self.count + 1})
        for request in self.requests:
            producer.produce(TOPIC, json.dumps(request, separators=(",", ":")), request["project_id"],
                             headers=event_headers(request))
        assert producer.flush(60) == 0, "the votes are not in Kafka within a minute"

    def read(self):
        """The records in the order in which a consumer of all partitions gets them."""
        consumer = Consumer({"bootstrap.servers": self.stack.env["VOTE_KAFKA_BROKERS"],
                             "group.id": "bench-backlog", "enable.auto.commit": False})
        partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])
        records = []
        while len(records) < self.count:
            messages = consumer.consume(1000, timeout=10)
            assert messages, f"{TOPIC} has {len(records)} records of {self.count}"
            records += (Record(m.partition(), m.offset(), json.loads(m.value())) for m in messages)
        consumer.close()
        return records

    def last_requests(self):
        """The last request of each partition."""
        return list({record.partition: record.request for record in self.records}.values())

    def prepare_redis(self):
        """The state of Redis with every vote on its way, made by the script that makes it for vote-ingest."""
        client = self.stack.redis()
        client.select(PREPARED_DATABASE)
        client.flushdb()
        with open(ROOT + "/lib/vote/lua/vote.lua") as file:
            digest = client.script_load(file.read())
        for project in self.projects:
            client.hset("vote:state:{%s}" % project, mapping=STATE)
        values = {name: value for value, name in NAMES.items()}
        for start in range(0, self.count, CHUNK):
            pipeline = client.pipeline(transaction=False)
            for r in self.requests[start:start + CHUNK]:
                keys = [f"vote:{kind}:{{{r['project_id']}}}" for kind in ("state", "voters", "pending")]
                pipeline.evalsha(digest, 3, *keys, r["user_id"], values[r["vote_type"]], 0, r["request_id"], 0)
            pipeline.execute()
        client.close()

    def reset_redis(self):
        client = self.stack.redis()
        client.flushdb()
        client.select(PREPARED_DATABASE)
        keys = client.keys("*")
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.copy(key, key, destination_db=0)
        pipeline.execute()
        client.close()


def event_headers(request):
    trace = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"
    return [("ce_specversion", "1.0"), ("ce_type", "vote.requested.v1"), ("ce_source", "/vote-ingest"),
            ("ce_id", request["request_id"]), ("ce_time", request["accepted_at"]),
            ("content-type", "application/json"), ("traceparent", trace)]


def empty_topic(stack, partitions=None):
    """vote.requests as vote-admin makes it, or with so many partitions, without the records of an earlier workload."""
    admin = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})
    admin.delete_topics([TOPIC])[TOPIC].result(30)
    wait_until(lambda: TOPIC not in admin.list_topics(timeout=10).topics, 30, TOPIC + " deleted")
    if partitions:
        make_topic(stack, TOPIC, partitions)
    else:
        wait_until(lambda: stack.run("vote-admin", "topics").returncode == 0, 30, TOPIC + " made")
