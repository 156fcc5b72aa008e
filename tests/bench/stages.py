# stages.py - what counts the votes of a backlog: vote-commit and its peers. SPDX-License-Identifier: Apache-2.0
#
# Each starts with empty tables and a consumer group of its own, tells how many votes its tables have, and is checked
# at the end. Its rate is taken from the tables as another connection sees them.
import os
import subprocess
import sys
import time
import uuid

from confluent_kafka import Consumer, TopicPartition

import limits
import process
from stack import die_with_parent, wait_until

BATCH_SIZE = 1000  # vote-commit's default
WORKERS = 4
POLL_SECONDS = 0.02
DEADLINE_SECONDS = 180

PEER_TABLES = """
drop schema if exists peer cascade;
create schema peer;
create table peer.projects (project_id text primary key, upvotes bigint not null default 0,
    downvotes bigint not null default 0, version bigint not null default 0,
    updated_at timestamptz not null default now()) with (fillfactor = 70);
create table peer.votes (project_id text, user_id text, {value} not null, seq bigint not null, {request_id} not null,
    updated_at timestamptz not null default now(), primary key (project_id, user_id)) with (fillfactor = 80);
"""
OUR_TABLES = "truncate vote.votes, vote.log, vote.progress, vote.projects;"
ADD_PROJECTS = "insert into {schema}.projects (project_id) select unnest(%s); analyze {schema}.projects"

COUNTS = """
select project_id, count(*) filter (where {up}), count(*) filter (where {down}), count(*), sum(seq)
  from {schema}.votes group by project_id"""


def server_pid(stack, name):
    with open(os.path.join(stack.directory, name, "pid")) as file:
        return int(file.read().split()[0])


class Stage:
    """A way to count the votes of a backlog; `first` votes are counted before the time is taken, up to `last`."""

    def __init__(self, backlog, last=None, first=1):
        self.backlog, self.stack = backlog, backlog.stack
        self.first, self.last = first, last or backlog.count
        self.group = "bench-" + uuid.uuid4().hex[:8]
        self.connection = self.stack.connect()
        self.connection.autocommit = True
        self.processes = []

    def sql(self, text, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else None

    def backends(self):
        """Those that are not the bench's own."""
        rows = self.sql("select pid from pg_stat_activity where backend_type = 'client backend' "
                        "and datname = current_database() and pid <> pg_backend_pid()")
        return [row[0] for row in rows]

    def reset(self, tables, schema):
        wait_until(lambda: not self.backends(), 30, "the connections of the last stage closed")
        self.sql(tables)
        self.sql(ADD_PROJECTS.format(schema=schema), self.backlog.projects)
        self.sql("checkpoint")

    def run(self):
        """One round; returns its figures."""
        self.prepare()
        before = self.processor_seconds()
        try:
            self.start()
            figures = {"votes_per_second": self.race()}
            figures.update(self.measure(before))
        finally:
            self.stop()
        self.check()
        self.connection.close()
        return figures

    def pids(self):
        return [child.pid for child in self.processes]

    def race(self):
        """Votes a second between the first and the last that the tables have."""
        deadline, begin = time.monotonic() + DEADLINE_SECONDS, None
        while True:
            done, now = self.done(), time.monotonic()
            begin = begin or (done >= self.first and (now, done))
            if done >= self.last:
                return (done - begin[1]) / (now - begin[0])
            self.assert_alive()
            assert now < deadline, f"{type(self).__name__}: {done} votes of {self.last} in {DEADLINE_SECONDS} s"
            time.sleep(POLL_SECONDS)

    def processor_seconds(self):
        """What the stage and each server have used so far, by name."""
        pids = {name: [server_pid(self.stack, name)] for name in ("postgres", "redis", "kafka")} | {"own": self.pids()}
        return {name: sum(map(process.processor_seconds, list_)) for name, list_ in pids.items()}

    def measure(self, before):
        """Processor time for each vote, in all and of each part."""
        done, after = self.done(), self.processor_seconds()
        figures = {name: (after[name] - before[name]) * 1e6 / done for name in after}
        return {**figures, "cpu": sum(figures.values())}

    def check_rows(self, schema, up, down):
        """Every row is the last vote of its user, and there is one for each."""
        rows = self.sql(COUNTS.format(schema=schema, up=up, down=down))
        counts = dict.fromkeys(self.backlog.counts, [0, 0]) | {row[0]: [row[1], row[2]] for row in rows}
        assert counts == self.backlog.counts, f"{schema}.votes does not have the last votes"
        found = (sum(row[3] for row in rows), sum(row[4] for row in rows))
        wanted = (self.backlog.row_count, self.backlog.seq_sum)
        assert found == wanted, f"{schema}.votes: {found} rows and sum of seq, not {wanted}"

    def check_ours(self):
        self.check_rows("vote", "value = 1", "value = -1")
        totals = self.sql("select project_id, upvotes, downvotes from vote.projects")
        totals = {project_id: [upvotes, downvotes] for project_id, upvotes, downvotes in totals}
        assert totals == self.backlog.counts, "vote.projects is not what the votes add up to"
        outcomes = dict(self.sql("select outcome, count(*) from vote.log group by 1"))
        assert outcomes == {"committed": self.backlog.count}, f"vote.log: {outcomes}"


class TopicEnd:
    """How many records a topic ever had."""

    def __init__(self, stack, topic):
        self.consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "bench-end"})
        partitions = self.consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self.partitions = [TopicPartition(topic, partition) for partition in partitions]

    def __call__(self):
        return sum(self.consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in self.partitions)


class VoteCommit(Stage):
    def prepare(self):
        self.reset(OUR_TABLES, "vote")
        self.backlog.reset_redis()
        self.results = TopicEnd(self.stack, "vote.results")
        self.announced = self.results() + self.backlog.count

    def start(self):
        self.tool = self.stack.commit("--group", self.group, "--optimism-grace", "24h").start(ready=False)
        self.processes = [self.tool.process]

    def assert_alive(self):
        assert self.tool.process.poll() is None, open(self.tool.log).read()[-2000:]

    def done(self):
        return int(self.sql("select coalesce(sum(next_offset), 0) from vote.progress")[0][0])

    def measure(self, before):
        """Also of its own backends, and how long the last result comes after the last commit."""
        committed = time.monotonic()
        wait_until(lambda: self.results() >= self.announced, 30, "every result announced")
        behind_ms = (time.monotonic() - committed) * 1000
        spent = sum(map(process.processor_seconds, self.backends()))
        return {**super().measure(before), "behind_ms": behind_ms, "backend": spent * 1e6 / self.backlog.count}

    def stop(self):
        code = self.tool.stop()
        assert code == 0, f"vote-commit left with {code}: {open(self.tool.log).read()[-2000:]}"

    def check(self):
        self.check_ours()


class CommitBatch(Stage):
    """The limit: the same batches without Kafka and Redis. Its processor time is the backend's alone."""

    def run(self):
        self.reset(OUR_TABLES, "vote")
        rate, backend = limits.commit_batches(self.stack, self.backlog.records, BATCH_SIZE)
        self.check_ours()
        self.connection.close()
        return {"votes_per_second": rate, "cpu": backend}


class PsycopgWorkers(Stage):
    """The usual worker in four processes; ends before the backlog does, since its rate is all that is asked."""

    def prepare(self):
        self.reset(PEER_TABLES.format(value="value smallint", request_id="request_id uuid"), "peer")

    def start(self):
        worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "psycopg_worker.py")
        self.processes = [subprocess.Popen([sys.executable, worker, self.group], env=self.stack.env,
                                           preexec_fn=die_with_parent) for _ in range(WORKERS)]

    def assert_alive(self):
        assert all(worker.poll() is None for worker in self.processes), "a psycopg worker ended"

    def done(self):
        return int(self.sql("select sum(version) from peer.projects")[0][0])

    def stop(self):
        for worker in self.processes:
            worker.terminate()
        codes = [worker.wait(20) for worker in self.processes]
        assert not any(codes), f"psycopg workers left with {codes}"

    def check(self):
        wrong = self.sql("select project_id from peer.projects p left join (" +
                         COUNTS.format(schema="peer", up="value = 1", down="value = -1") +
                         ") v (project_id, up, down) using (project_id) "
                         "where (upvotes, downvotes) is distinct from (coalesce(up, 0), coalesce(down, 0))")
        assert wrong == [], f"peer.projects is not what peer.votes adds up to: {wrong[:3]}"


class ConnectSink(Stage):
    """Ends when the last record of every partition is in the table; earlier ones of a partition are then, too."""

    def __init__(self, backlog, connect, settings):
        super().__init__(backlog)
        self.connect, self.settings, self.seen, self.polls = connect, settings, 0, 0
        self.processes = [connect.process]
        self.last_seqs = [request["seq"] for request in backlog.last_requests()]
        self.last_rows = [(r["project_id"], r["user_id"]) for r in backlog.last_requests()]

    def prepare(self):
        self.reset(PEER_TABLES.format(value="vote_type text", request_id="request_id text"), "peer")

    def start(self):
        self.connect.add(self.group, self.settings)

    def assert_alive(self):
        self.polls += 1
        if self.polls % 100 == 0:
            self.connect.assert_runs(self.group)

    def done(self):
        if not self.seen:
            self.seen = self.sql("select count(*) from peer.votes")[0][0]
            return self.seen
        found = self.sql("select seq from peer.votes where (project_id, user_id) in %s", tuple(self.last_rows))
        return self.last if sorted(row[0] for row in found) == sorted(self.last_seqs) else self.seen

    def stop(self):
        self.connect.remove(self.group)

    def check(self):
        self.check_rows("peer", "vote_type = 'up'", "vote_type = 'down'")
