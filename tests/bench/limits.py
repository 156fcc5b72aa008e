# limits.py - how fast the parts under vote-ingest are by themselves, on this machine. SPDX-License-Identifier: Apache-2.0
import re
import subprocess

from confluent_kafka.admin import AdminClient, NewTopic

from stack import ROOT, SCRIPTS

RECORD_BYTES = 300
PROJECTS = 200
FIELDS = ("upvotes", "downvotes", "seq", "pending", "pending_up", "pending_down")


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


def civetweb(url, seconds, connections):
    """GETs a second of a handler that only answers."""
    text = checked("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url)
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
                   "EVALSHA", digest, "3", *keys, "u__rand_int__", "1", "1", "r__rand_int__", "0")
    return number(r'\n"EVALSHA[^\n]*?","([\d.]+)"', text)


def make_topic(stack, name):
    admin = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})
    partitions = len(admin.list_topics("vote.requests", timeout=10).topics["vote.requests"].partitions)
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def produce(stack, topic, rate, count):
    """Records a second that Kafka acknowledges, and the p99 of its acknowledgement; rate -1: as fast as it goes."""
    libs = checked(SCRIPTS + "/kafka-libs.sh").strip()
    text = checked("java", "-Xmx256m", "-cp", libs + "/*", "org.apache.kafka.tools.ProducerPerformance",
                   "--topic", topic, "--num-records", str(count), "--record-size", str(RECORD_BYTES),
                   "--throughput", str(rate), "--bootstrap-server", stack.env["VOTE_KAFKA_BROKERS"],
                   "--command-property", "acks=all", "linger.ms=1")
    last = text.strip().splitlines()[-1]
    return number(r"([\d.]+) records/sec", last), number(r"([\d.]+) ms 99th", last)
