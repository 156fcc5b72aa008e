#!/usr/bin/env python3
# scale.py - how cost grows with each size, measured and drawn: scale.py DIRECTORY [CURVE...]
# SPDX-License-Identifier: Apache-2.0
#
# What counts is processor time for a vote or a message, which other work on the machine disturbs little; rates are
# shown beside. Each curve leaves DIRECTORY/CURVE.svg and its points as JSON. SCALE_ROWS=1000000,10000000,50000000
# has the table sizes; 50 million rows need 30 GB of disk and an hour on two cores.
import datetime
import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(BENCH) + "/integration", BENCH]

import requests  # noqa: E402
from confluent_kafka import Producer  # noqa: E402

import process  # noqa: E402
from backlog import Backlog  # noqa: E402
from curves import Curve  # noqa: E402
from stack import DeployedStack, anonymous_kib, die_with_parent, free_port, started_servers, wait_until  # noqa: E402
from stages import OUR_TABLES, VoteCommit, server_pid  # noqa: E402

VOTES = 50_000  # of a backlog
PARTITIONS, PROCESSES = (1, 2, 4, 8), (1, 2, 4)
CONNECTIONS = (1, 8, 64, 256, 1000)
PROJECTS = (10, 100, 1000, 10_000)
CLIENTS = (10, 100, 1000, 4000)
LOOKED_AT = (10, 100, 1000, 10_000)
ROWS = [int(rows) for rows in os.environ.get("SCALE_ROWS", "0,1000000,10000000").split(",")]
STATISTICS_SECONDS = 2  # until Postgres has what its backends count
SECONDS, USERS, MESSAGES, SINGLES, TABLE_PROJECTS = 8, 1000, 200_000, 50, 1000
WARM_SECONDS = 40  # until then Kafka takes three times as much for a vote, whatever there is: it is being compiled
CPU, RATE, MEMORY = "CPU us/vote", "votes/s", "memory, MiB"


class Meter:
    """Processor time and memory (PSS) of named processes."""

    def __init__(self, stack, servers, *tools):
        self.pids = {tool.name: tool.process.pid for tool in tools}
        self.ours = list(self.pids)
        self.pids.update((name, server_pid(stack, name)) for name in servers)
        self.before = self.spent_us()

    def spent_us(self):
        """Our own, of one process each, to the ns; the servers' with all their processes, to the tick."""
        return {name: process.processor_ns(pid) / 1e3 if name in self.ours else process.processor_seconds(pid) * 1e6
                for name, pid in self.pids.items()}

    def us_each(self, units):
        return {name: (spent - self.before[name]) / units for name, spent in self.spent_us().items()}

    def memory(self):
        return {name: process.memory(self.pids[name])["pss_mib"] for name in self.ours}


def vote_load(stack, seconds, projects, connections):
    done = stack.run("vote-load", "--users", str(USERS), "--projects", str(projects), "--connections", str(connections),
                     "--duration", f"{seconds}s", "--format", "json")
    assert done.returncode == 0, f"vote-load: {done.stdout}{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- vote-commit --------------------------------------------------------------------------------


class Members(VoteCommit):
    """Several vote-commit in one group."""

    def __init__(self, backlog, count):
        super().__init__(backlog)
        self.count = count

    def start(self):
        self.tools = [self.stack.commit("--group", self.group, "--optimism-grace", "24h").start(ready=False)
                      for _ in range(self.count)]
        self.processes = [tool.process for tool in self.tools]

    def assert_alive(self):
        assert not any(child.poll() for child in self.processes), "a vote-commit ended"

    def measure(self, before):
        memory = [process.memory(pid)["pss_mib"] for pid in self.pids()]
        return {**super().measure(before), "memory": sum(memory) / len(memory)}

    def stop(self):
        assert [tool.stop() for tool in self.tools] == [0] * self.count


def measure_partitions(stack):
    curve = Curve("partitions", f"vote-commit: {VOTES:,} votes that wait, 1,000 projects", "partitions", CPU)
    for partitions in PARTITIONS:
        backlog = Backlog(stack, VOTES, 1000, USERS, partitions)
        for count in (count for count in PROCESSES if count <= partitions):
            figures, name = Members(backlog, count).run(), f"{count} process{'es' * (count > 1)}"
            curve.add(partitions, RATE, {name: figures["votes_per_second"]})
            curve.add(partitions, CPU, {name: figures["cpu"]})
            curve.add(partitions, "memory of a process, MiB", {name: figures["memory"]})
    return curve


# Request ids grow with time, as those of vote-ingest do. The triggers are for edits by hand.
FILL = """
set vote.apply = 'on';
insert into vote.votes (project_id, user_id, value, seq, request_id)
  select 'p' || n % {projects} + 1, 'u' || n / {projects} + 1, 0, 1, {request_id} from generate_series(0, {rows} - 1) n;
insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome, seq, topic,
    "partition", "offset", version, commit_latency_ms)
  select {request_id}, now() - interval '1 day', 'u' || n / {projects} + 1, 'p' || n % {projects} + 1, 0, 0, 'unchanged',
    'committed', 1, 'filled', 0, n, 0, 1 from generate_series(0, {rows} - 1) n;
"""
REQUEST_ID = "(lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"


class OnTable(Members):
    """Over tables that have votes already: all taken back, so that they add nothing to the totals."""

    def __init__(self, backlog, rows):
        super().__init__(backlog, 1)
        self.rows = rows

    def prepare(self):
        super().prepare()
        self.sql(FILL.format(projects=TABLE_PROJECTS, rows=self.rows, request_id=REQUEST_ID))
        self.sql("vacuum analyze vote.votes")
        self.sql("vacuum analyze vote.log")
        self.sql("checkpoint")
        self.pages_before = self.pages()

    def pages(self):
        """Whole pages in the write-ahead log, and pages that were not in Postgres' own memory."""
        return self.sql("select (select wal_fpi from pg_stat_wal), (select sum(heap_blks_read + idx_blks_read) "
                        "from pg_statio_user_tables where schemaname = 'vote')")[0]

    def measure(self, before):
        figures = super().measure(before)
        time.sleep(STATISTICS_SECONDS)
        logged, read = (int(after - before) / self.backlog.count for after, before in zip(self.pages(), self.pages_before))
        return {**figures, "whole pages logged": logged, "pages read": read}

    def check(self):
        outcomes = dict(self.sql("select outcome, count(*) from vote.log where topic = 'vote.requests' group by 1"))
        assert outcomes == {"committed": self.backlog.count}, f"vote.log: {outcomes}"
        totals = self.sql("select project_id, upvotes, downvotes from vote.projects")
        assert {row[0]: list(row[1:]) for row in totals} == self.backlog.counts, "the totals are not what the votes come to"


def measure_table(stack):
    curve = Curve("table", f"vote-commit: {VOTES:,} votes over tables of so many votes and ledger rows", "rows", CPU)
    for rows in ROWS:
        users = max(USERS, rows // TABLE_PROJECTS)
        figures = OnTable(Backlog(stack, VOTES, TABLE_PROJECTS, users), rows).run()
        size = max(rows, 1)
        curve.add(size, RATE, {"vote-commit": figures["votes_per_second"]})
        curve.add(size, CPU, {"vote-commit": figures["own"], "Postgres": figures["postgres"], "Redis": figures["redis"],
                              "Kafka": figures["kafka"]})
        curve.add(size, MEMORY, {"vote-commit": figures["memory"]})
        curve.add(size, "pages/vote", {name: figures[name] for name in ("whole pages logged", "pages read")})
    with stack.connect() as connection:
        connection.cursor().execute(OUR_TABLES)
    return curve


# --- vote-ingest --------------------------------------------------------------------------------


def measure_connections(stack):
    curve = Curve("connections", "vote-ingest: as fast as it answers, 200 projects", "connections", CPU)
    stack.add_projects(*(f"p{number + 1}" for number in range(200)))
    ingest = stack.ingest(None, "--max-in-flight", "1536", "--redis-timeout", "5s").start()
    vote_load(stack, SECONDS, 200, 64)  # Kafka compiles what it runs
    for connections in CONNECTIONS:
        meter = Meter(stack, ("redis", "kafka"), ingest)
        figures = vote_load(stack, SECONDS, 200, connections)
        curve.add(connections, RATE, {"vote-ingest": figures["votes_per_second"]})
        curve.add(connections, CPU, meter.us_each(figures["accepted"]))
        curve.add(connections, MEMORY, meter.memory())
    assert ingest.stop() == 0
    return curve


def measure_votes(stack, tools, curve, projects, unit):
    """Adds what each part has spent on votes until all are committed; returns the figures of their load, and the meter."""
    rows, meter = stack.ledger_rows(), Meter(stack, ("redis", "kafka", "postgres"), *tools)
    figures = vote_load(stack, SECONDS, projects, 64)
    wait_until(lambda: stack.ledger_rows() >= rows + figures["accepted"], 120, "all committed")
    curve.add(projects, unit, meter.us_each(figures["accepted"]))
    return figures, meter


def measure_projects(stack):
    curve = Curve("projects", "all stages: as fast as vote-ingest answers, 64 connections", "projects", CPU)
    tools = [stack.ingest(None, "--redis-timeout", "5s"), stack.commit(), stack.tool("vote-invalidate"),
             stack.tool("vote-notify", "--listen", f"127.0.0.1:{free_port()}")]
    for tool in tools:
        tool.start()
    stack.add_projects(*(f"p{number + 1}" for number in range(PROJECTS[0])))
    vote_load(stack, WARM_SECONDS, PROJECTS[0], 64)
    for projects in PROJECTS:
        stack.add_projects(*(f"p{number + 1}" for number in range(projects)))
        measure_votes(stack, tools, curve, projects, f"{CPU}, many a project's first")  # which loads it from Postgres
        figures, meter = measure_votes(stack, tools, curve, projects, CPU)
        curve.add(projects, RATE, {"accepted": figures["votes_per_second"]})
        curve.add(projects, MEMORY, meter.memory())
    assert [tool.stop() for tool in tools] == [0] * len(tools)
    return curve


# --- vote-notify --------------------------------------------------------------------------------


class Crowd:
    """Browsers in a process of their own."""

    def __init__(self, port, clients, projects):
        self.child = subprocess.Popen([sys.executable, BENCH + "/crowd.py", str(port), str(clients), *projects], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        assert self.child.stdout.readline() == "ready\n", "the crowd ended"

    def told(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline())

    def leave(self):
        self.child.kill()
        self.child.wait()


def announce(stack, project, versions):
    """Results that were committed now, as vote-commit announces them, one for each version of the project."""
    producer = Producer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "partitioner": "murmur2_random"})
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"
    for version in versions:
        result = {"request_id": str(uuid.uuid4()), "user_id": "u1", "project_id": project, "vote_type": "up", "previous": "none",
                  "action": "created", "upvotes": version, "downvotes": 0, "vote_count": version, "community_score": 0.5,
                  "version": version, "seq": version, "accepted_at": now, "committed_at": now}
        producer.produce("vote.results", key=project, value=json.dumps(result), headers=[("ce_type", "vote.cast.v1")])
    assert producer.flush(30) == 0


def start_notify(stack):
    port = free_port()
    return stack.tool("vote-notify", "--listen", f"127.0.0.1:{port}", "--conflate", "0", "--max-subscriptions", "100000",
                      "--queue-bytes", "16MiB", "--ping-interval", "10m", "--drain-timeout", "1s").start(), port


def tell_burst(stack, crowd, project, clients, votes):
    """Messages a second of votes that all wait at once."""
    begin_s = time.monotonic()
    announce(stack, project, range(1, votes + 1))
    wait_until(lambda: crowd.told() >= clients * votes, 120, "everybody told")
    return clients * votes / (time.monotonic() - begin_s)


def tell_singly(stack, crowd, project, clients, version):
    """Each vote after everybody was told of the one before."""
    for more in range(1, SINGLES + 1):
        announce(stack, project, [version + more])
        wait_until(lambda: crowd.told() >= clients * (version + more), 60, "everybody told")


def measure_clients(stack):
    unit = "CPU us/message"
    curve = Curve("clients", "vote-notify: votes on a project that all look at", "clients", unit)
    for clients in CLIENTS:
        notify, port = start_notify(stack)
        project = "clients-" + str(clients)
        stack.add_projects(project)
        crowd = Crowd(port, clients, [project])
        votes = max(100, min(5000, MESSAGES // clients))
        meter = Meter(stack, (), notify)
        rate = tell_burst(stack, crowd, project, clients, votes)
        curve.add(clients, "messages/s, a burst", {"vote-notify": rate})
        curve.add(clients, unit, {"a burst": meter.us_each(clients * votes)["vote-notify"]})
        meter = Meter(stack, (), notify)
        tell_singly(stack, crowd, project, clients, votes)
        curve.add(clients, unit, {"one at a time": meter.us_each(clients * SINGLES)["vote-notify"]})
        curve.add(clients, MEMORY, meter.memory())
        crowd.leave()
        assert notify.stop() == 0
    return curve


def measure_looked_at(stack):
    curve = Curve("looked-at", "vote-notify: one browser that looks at so many projects", "projects", "memory, KiB/project")
    for count in LOOKED_AT:
        notify, port = start_notify(stack)
        before = anonymous_kib(notify.process.pid)
        crowd = Crowd(port, 1, [f"looked-at-{number}" for number in range(count)])
        grown = anonymous_kib(notify.process.pid) - before
        curve.add(count, MEMORY, {"vote-notify": process.memory(notify.process.pid)["pss_mib"]})
        curve.add(count, "memory, KiB/project", {"vote-notify": grown / count})
        crowd.leave()
        assert notify.stop() == 0
    return curve


# What goes through vote-commit alone comes first: it wants Postgres for itself.
CURVES = {"partitions": measure_partitions, "table": measure_table, "connections": measure_connections,
          "projects": measure_projects, "clients": measure_clients, "looked-at": measure_looked_at}


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(directory, *names):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(directory, exist_ok=True)
    raise_descriptors()
    try:
        with started_servers(DeployedStack, "votepipe-scale-") as stack:
            for name in names or CURVES:
                curve = CURVES[name](stack)
                curve.print()
                curve.save(directory)
    except (AssertionError, RuntimeError, subprocess.SubprocessError, requests.RequestException) as error:
        sys.exit(f"scale: {error}")
    print(f"\ndrawn: {directory}/*.svg")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(CURVES):
        sys.exit(f"usage: scale.py DIRECTORY [{'|'.join(CURVES)}]...")
    main(*sys.argv[1:])
