#!/usr/bin/env python3
# tail.py - vote-tail and vote-replay beside kcat and jq, in one run: tail.py [ROUNDS]
# SPDX-License-Identifier: Apache-2.0
#
# All read the same topic of results with their headers, by turns; the first turn of each warms the page cache and does
# not count. What they print goes through a pipe to /dev/null, as it does in a shell.
import json
import os
import statistics
import subprocess
import sys
import time
import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(BENCH) + "/integration", BENCH]

import process  # noqa: E402
from stack import BIN, DeployedStack, started_servers  # noqa: E402
from stages import server_pid  # noqa: E402
from topics import make_topic  # noqa: E402

RECORDS, USERS, PROJECTS, PARTITIONS = 1_000_000, 10_000, 1000, 6
WANTED = {"json": 1, "filter": 5, "replay": 1}


def result(number):
    """A record of vote.results as vote-commit writes it: key, value, headers."""
    request, project = str(uuid.UUID(int=number)), f"p{number % PROJECTS + 1}"
    value = {"request_id": request, "user_id": f"u{number % USERS + 1}", "project_id": project, "vote_type": "up",
             "previous": "none", "action": "created", "upvotes": number, "downvotes": 3, "vote_count": number - 3,
             "community_score": 0.8125, "version": number, "seq": 1795457019594001 + number, "user_vote": "up",
             "accepted_at": "2026-11-23T18:03:39.594Z", "committed_at": "2026-11-23T18:03:39.601Z"}
    headers = [("ce_specversion", "1.0"), ("ce_type", "vote.cast.v1"), ("ce_source", "/vote-commit"), ("ce_id", request),
               ("ce_time", "2026-11-23T18:03:39.601Z"), ("content-type", "application/json"),
               ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    return project, json.dumps(value, separators=(",", ":")), headers


def fill(stack, topic, with_headers=True):
    producer = Producer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "linger.ms": 50,
                         "queue.buffering.max.messages": 1_000_000})
    for number in range(RECORDS):
        key, value, headers = result(number)
        producer.produce(topic, key=key, value=value, headers=headers if with_headers else None)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def drop_topic(stack, topic):
    admin = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})
    admin.delete_topics([topic])[topic].result(30)


def seconds(stack, command):
    """How long the shell's command took; `B` in it stands for the broker."""
    started = time.monotonic()
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stderr=subprocess.DEVNULL,
                   env={**stack.env, "B": stack.env["VOTE_KAFKA_BROKERS"], "PATH": BIN + ":" + os.environ["PATH"]})
    return time.monotonic() - started


def processor_seconds(stack):
    """Of the children that have ended, and of theirs; and of Kafka."""
    times = os.times()
    return times.children_user + times.children_system + process.processor_seconds(server_pid(stack, "kafka"))


def compare(stack, name, title, ours, theirs, rounds, target=False):
    figures, processor = {ours: [], theirs: []}, {ours: 0, theirs: 0}
    for turn in range(rounds + 1):
        for command in figures:
            if target:
                make_topic(stack, "copy", PARTITIONS)
            before = processor_seconds(stack)
            figures[command].append(seconds(stack, command))
            processor[command] += processor_seconds(stack) - before
            if target:
                drop_topic(stack, "copy")
    medians = {command: statistics.median(taken[1:]) for command, taken in figures.items()}
    for command, taken in medians.items():
        print(f"{RECORDS / taken:10.0f} records/s {taken:7.2f} s {processor[command] / (rounds + 1):7.2f} CPU s with Kafka's   {command}")
    ratio = medians[theirs] / medians[ours]
    print(f"  {title}: {ratio:.2f} times as fast, wanted >= {WANTED[name]}{'' if ratio >= WANTED[name] else '  MISSED'}", flush=True)


def bench(stack, rounds):
    fill(stack, "vote.results")
    print(f"{RECORDS} records of vote.results with 7 headers, {PARTITIONS} partitions, medians of {rounds} rounds, "
          f"{os.cpu_count()} cores", flush=True)
    compare(stack, "json", "tail as JSON", "vote-tail --format json | cat >/dev/null",
            "kcat -b $B -C -t vote.results -e -q -J | cat >/dev/null", rounds)
    compare(stack, "filter", "tail of one user", "vote-tail --format json --user u77 | cat >/dev/null",
            "kcat -b $B -C -t vote.results -e -q -J | "
            "jq -c 'select((.payload | fromjson).user_id == \"u77\")' >/dev/null", rounds)
    fill(stack, "vote.requests", with_headers=False)
    print("replay: kcat cannot keep headers; so first with 7 headers a record that kcat drops, then without any", flush=True)
    for topic in ("vote.results", "vote.requests"):
        compare(stack, "replay", f"replay of {topic}", f"vote-replay --from {topic} --to copy --yes",
                f"kcat -b $B -C -t {topic} -e -q -K'|' | kcat -b $B -P -t copy -K'|'", rounds, target=True)


def main(rounds=3):
    with started_servers(DeployedStack, "votepipe-bench-") as stack:
        bench(stack, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
