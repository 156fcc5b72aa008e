#!/usr/bin/env python3
# psycopg_worker.py - counts votes as the usual Python worker does, one a transaction: psycopg_worker.py GROUP
# SPDX-License-Identifier: Apache-2.0
#
# Several of them share the partitions in one consumer group. Offsets are stored after the commit and go to Kafka every
# five seconds; a vote that comes again has no higher seq than its row and changes nothing.
import json
import os
import signal
import sys

import psycopg2
from confluent_kafka import Consumer

VALUES = {"up": 1, "down": -1, "none": 0}

LOCK = "select upvotes, downvotes from peer.projects where project_id = %s for update"

UPSERT = """
with old as (select value from peer.votes where project_id = %(project_id)s and user_id = %(user_id)s)
insert into peer.votes as v (project_id, user_id, value, seq, request_id)
values (%(project_id)s, %(user_id)s, %(value)s, %(seq)s, %(request_id)s)
on conflict (project_id, user_id) do update
   set value = excluded.value, seq = excluded.seq, request_id = excluded.request_id, updated_at = now()
 where v.seq < excluded.seq
returning coalesce((select value from old), 0)"""

COUNT = """
update peer.projects set upvotes = %s, downvotes = %s, version = version + 1, updated_at = now()
 where project_id = %s"""


def apply(connection, vote):
    """One transaction: the project's row is locked, so its counts and the vote change together."""
    vote["value"] = VALUES[vote["vote_type"]]
    with connection, connection.cursor() as cursor:
        cursor.execute(LOCK, (vote["project_id"],))
        upvotes, downvotes = cursor.fetchone()
        cursor.execute(UPSERT, vote)
        written = cursor.fetchone()
        if written:
            upvotes += (vote["value"] == 1) - (written[0] == 1)
            downvotes += (vote["value"] == -1) - (written[0] == -1)
            cursor.execute(COUNT, (upvotes, downvotes, vote["project_id"]))


def work(consumer, connection, stopping):
    while not stopping:
        for message in consumer.consume(100, timeout=0.1):
            if message.error():
                raise RuntimeError(message.error())
            apply(connection, json.loads(message.value()))
            consumer.store_offsets(message)
            if stopping:
                break


def main(group):
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    consumer = Consumer({"bootstrap.servers": os.environ["VOTE_KAFKA_BROKERS"], "group.id": group,
                         "auto.offset.reset": "earliest", "enable.auto.offset.store": False})
    consumer.subscribe(["vote.requests"])
    connection = psycopg2.connect(os.environ["VOTE_DATABASE_URL"])
    try:
        work(consumer, connection, stopping)
    finally:
        consumer.close()


if __name__ == "__main__":
    main(sys.argv[1])
