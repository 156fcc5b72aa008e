# limits.py - how fast the parts under vote-ingest and vote-commit are by themselves, on this machine.
# SPDX-License-Identifier: Apache-2.0
import re
import socket
import subprocess
import time

import psycopg
from confluent_kafka.admin import AdminClient

import process
import topics
from stack import ROOT, SCRIPTS, die_with_parent, wait_until

RECORD_BYTES = 300
PROJECTS = 200
FIELDS = ("upvotes", "downvotes", "seq", "pending", "version", "base_up", "base_down")


def checked(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise RuntimeError(f"no {pattern} in: {text}")
    return float(found.group(1))


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def civetweb(port, seconds, connections):
    """POSTs a second of a server that only answers."""
    url = f"http://127.0.0.1:{port}/"
    server = subprocess.Popen([ROOT + "/build/test/civetweb_limit", str(port), str(connections)], preexec_fn=die_with_parent)
    try:
        wait_until(lambda: is_open(port), 10, "civetweb")
        text = checked("wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-s", ROOT + "/tests/bench/post.lua", url)
    finally:
        server.terminate()
        server.wait()
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"wrk {url}: {text}")
    return number(r"Requests/sec:\s+([\d.]+)", text)


def redis_scripts(stack, connections, pipeline, count):
    """EVALSHA of vote.lua a second, by redis-benchmark.

    Each __rand_int__ is drawn by itself, so keys of three projects meet in a call: the script does the same."""
    client = stack.redis()
    with open(ROOT + "/lib/vote/lua/vote.lua") as file:
        digest = client.script_load(file.read())
    for project in range(PROJECTS):
        client.hset("vote:state:{%012d}" % project, mapping=dict.fromkeys(FIELDS, 0))
    keys = [f"vote:{kind}:{{__rand_int__}}" for kind in ("state", "voters", "pending")]
    text = checked("redis-benchmark", "-p", str(stack.ports["redis"]), "-c", str(connections), "-P", str(pipeline),
                   "-n", str(count), "-r", str(PROJECTS), "--csv",
                   "EVALSHA", digest, "3", *keys, "u__rand_int__", "1", "1", "r__rand_int__")
    return number(r'\n"EVALSHA[^\n]*?","([\d.]+)"', text)


def make_topic_like_requests(stack, name):
    admin = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})
    topics.make_topic(stack, name, len(admin.list_topics("vote.requests", timeout=10).topics["vote.requests"].partitions))


def produce(stack, topic, rate, count):
    """Records a second that Kafka acknowledges, and the p99 of its acknowledgement; rate -1: as fast as it goes."""
    libs = checked(SCRIPTS + "/kafka-libs.sh").strip()
    text = checked("java", "-Xmx256m", "-cp", libs + "/*", "org.apache.kafka.tools.ProducerPerformance",
                   "--topic", topic, "--num-records", str(count), "--record-size", str(RECORD_BYTES),
                   "--throughput", str(rate), "--bootstrap-server", stack.env["VOTE_KAFKA_BROKERS"],
                   "--command-property", "acks=all", "linger.ms=1")
    last = text.strip().splitlines()[-1]
    return number(r"([\d.]+) records/sec", last), number(r"([\d.]+) ms 99th", last)


def array(values):
    return ("{" + ",".join("NULL" if value is None else str(value) for value in values) + "}").encode()


def batch_arguments(records, next_offsets):
    """What vote-commit gives to vote.commit_batch for these records, by name; moves `next_offsets` behind them."""
    values = {"up": 1, "none": 0, "down": -1}
    requests = [record.request for record in records]
    partitions = sorted({record.partition for record in records})
    expected = [next_offsets.get(partition, 0) for partition in partitions]
    next_offsets.update((record.partition, record.offset + 1) for record in records)
    columns = {"user_ids": "user_id", "project_ids": "project_id", "request_ids": "request_id", "actions": "action",
               "seqs": "seq", "accepted": "accepted_at"}
    arrays = {"batch_partitions": partitions, "expected": expected, "announced": expected,
              "next_offsets": [next_offsets[partition] for partition in partitions],
              "in_partitions": [record.partition for record in records],
              "in_offsets": [record.offset for record in records],
              "vote_values": [values[request["vote_type"]] for request in requests],
              "previous_values": [values[request["previous"]] for request in requests],
              "variants": [None] * len(records),
              **{name: [request[member] for request in requests] for name, member in columns.items()}}
    return {"in_topic": b"vote.requests", "in_owner": b"bench", **{name: array(arrays[name]) for name in arrays}}


def check(result):
    if result.status not in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK):
        raise RuntimeError(f"vote.commit_batch: {result.error_message.decode()}")


def commit_batches(stack, records, size):
    """Votes a second of vote.commit_batch alone, from memory over one connection, after the first batch; and the
    processor time of its backend, in us for a vote."""
    names, next_offsets, batches = commit_batch_names(stack), {}, []
    for start in range(0, len(records), size):
        arguments = batch_arguments(records[start:start + size], next_offsets)
        batches.append([arguments[name] for name in names])
    with psycopg.connect(stack.env["VOTE_DATABASE_URL"]) as connection:
        places = ", ".join(f"${number + 1}" for number in range(len(names)))
        check(connection.pgconn.prepare(b"batch", f"select * from vote.commit_batch({places})".encode()))
        for number, batch in enumerate(batches):
            if number == 1:
                start = time.monotonic()
            check(connection.pgconn.exec_prepared(b"batch", batch))
        rate = (len(records) - size) / (time.monotonic() - start)
        return rate, process.processor_seconds(connection.pgconn.backend_pid) * 1e6 / len(records)


def commit_batch_names(stack):
    """The names of the arguments of vote.commit_batch, in their order."""
    return stack.sql("select proargnames[1:pronargs] from pg_proc where oid = 'vote.commit_batch'::regproc")[0][0]
