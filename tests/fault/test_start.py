# test_start.py - vote-commit starts, and log, database and group do not agree. SPDX-License-Identifier: Apache-2.0
import glob
import json
import os
import re
import subprocess

import pytest
from confluent_kafka.admin import AdminClient

from members import CONFIG, SOON, crash_env, wait_killed
from stack import SCRIPTS, Stack, started_servers, wait_until
from topics import Tail
from votes import Load, check_accepted, check_sums, settled

PG_BIN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
GRACE = ("--optimism-grace", "4s")


class Damaged(Stack):
    """Servers of which the tests break one, and make it anew."""

    def kafka_tool(self, tool, *arguments):
        libs = subprocess.run([os.path.join(SCRIPTS, "kafka-libs.sh")], capture_output=True, text=True, check=True).stdout.strip()
        return subprocess.run(["java", "-cp", libs + "/*", "org.apache.kafka.tools." + tool, "--bootstrap-server",
                               self.env["VOTE_KAFKA_BROKERS"], *arguments], capture_output=True, text=True, timeout=60)

    def delete_group(self):
        """Once nobody is in it any more."""
        def deleted():
            answer = self.kafka_tool("consumer.group.ConsumerGroupCommand", "--delete", "--group", "vote-commit").stdout
            return "was successful" in answer
        wait_until(deleted, 30, "the group is deleted")

    def recreate(self, *topics):
        admin = AdminClient({"bootstrap.servers": self.env["VOTE_KAFKA_BROKERS"]})
        for future in admin.delete_topics(list(topics), operation_timeout=20).values():
            future.result()
        wait_until(lambda: not set(topics) & set(admin.list_topics(timeout=10).topics), 20, "the topics are gone")
        self.run("vote-admin", "topics", check=True)

    def delete_records(self):
        """All that the log has, as retention does; returns where each partition then begins."""
        tail = Tail(self, "vote.requests", from_end=True)
        ends = dict(tail.next)
        tail.close()
        path = os.path.join(self.directory, "delete.json")
        with open(path, "w") as file:
            json.dump({"version": 1, "partitions": [{"topic": "vote.requests", "partition": p, "offset": -1} for p in ends]}, file)
        deleted = self.kafka_tool("DeleteRecordsCommand", "--offset-json-file", path)
        assert deleted.returncode == 0, deleted.stdout + deleted.stderr
        return ends

    def postgres_tool(self, name, *arguments):
        subprocess.run([os.path.join(PG_BIN, name), "-h", "127.0.0.1", "-p", str(self.ports["postgres"]), "-U", "votepipe", *arguments],
                       check=True, timeout=60)

    def new_database(self):
        self.postgres_tool("dropdb", "--force", "votepipe")
        self.postgres_tool("createdb", "votepipe")

    def back_up(self):
        path = os.path.join(self.directory, "backup")
        self.postgres_tool("pg_dump", "-Fc", "-f", path, "votepipe")
        return path

    def restore(self, path):
        self.new_database()
        self.postgres_tool("pg_restore", "-d", "votepipe", path)


@pytest.fixture(scope="module")
def damaged_servers():
    with started_servers(Damaged, "votepipe-damaged-") as stack:
        yield stack


@pytest.fixture
def damaged(damaged_servers):
    """The servers as new, with one of each tool."""
    stack = damaged_servers
    if stack.tools:
        stack.tools.clear()
        stack.new_database()
        stack.recreate("vote.requests", "vote.results", "vote.dead")
        stack.redis().flushall()
        stack.run("vote-admin", "migrate", check=True)
    stack.main_ingest = stack.ingest().start()
    stack.main_commit = stack.commit(*SOON, *GRACE).start()
    yield stack
    for tool in stack.tools:
        tool.stop()


@pytest.fixture
def loads(damaged):
    """loads(): a load, which ends with the test."""
    started = []

    def start():
        started.append(Load(damaged))
        return started[-1]
    yield start
    for load in started:
        load.close()


def wait_settled(stack, *loads):
    wait_until(lambda: all(settled(stack, project) for load in loads for project in load.projects), 15, "redis settles")


def test_G1_G2_a_database_restored_from_a_backup_catches_up_with_the_log(damaged, loads):
    load = loads()
    load.wait_committed(50)
    backup = damaged.back_up()
    load.wait_committed(100)
    load.stop()
    wait_until(lambda: load.committed() >= len(load.accepted), 20, "all is in the ledger")
    assert damaged.main_commit.stop() == 0
    damaged.restore(backup)
    assert load.committed() < len(load.accepted)
    damaged.main_commit.start()
    more = loads()
    more.wait_committed(20)
    more.check()
    load.check()
    wait_settled(damaged, load, more)


def test_G2_a_deleted_consumer_group_counts_nothing_twice(damaged, loads):
    load = loads()
    load.wait_committed(50)
    assert damaged.main_commit.stop() == 0
    damaged.delete_group()
    damaged.main_commit.start()
    load.wait_committed(50)
    load.check()
    wait_settled(damaged, load)


def test_G5_what_was_not_announced_is_announced_although_the_group_was_deleted(damaged, loads):
    load, at = loads(), "before-announcement:1"
    load.wait_committed(50)
    assert damaged.main_commit.stop() == 0
    wait_killed(damaged.commit(*SOON).start(ready=False, env=crash_env(at)), at)
    load.stop()
    damaged.delete_group()
    damaged.main_commit.start()
    load.check()


def test_a_topic_that_was_made_anew_takes_votes_and_those_of_the_old_one_stay(damaged, loads):
    old = loads()
    old.wait_committed(50)
    old.check()
    for tool in (damaged.main_commit, damaged.main_ingest):
        assert tool.stop() == 0
    damaged.recreate("vote.requests")
    damaged.main_ingest.start()
    damaged.main_commit.start()
    new = loads()
    new.wait_committed(20)
    new.stop()
    wait_until(lambda: new.committed() >= len(new.accepted), 20, "all is in the ledger")
    check_accepted(damaged, old.accepted + new.accepted, old.outcomes)
    damaged.assert_totals_equal_rows()
    wait_settled(damaged, old, new)
    assert set(differences(damaged)) <= set(old.accepted)


def differences(stack):
    """The request of each difference that the audit names; a difference without one fails."""
    lines = stack.run("vote-admin", "audit").stdout.splitlines()
    said = re.compile(r"\d+ (projects|records)|audit:|redis: \d+ states compared, 0 differ|partition \d+: \d+ records wait")
    named = [re.search(r"request ([0-9a-f-]{36})", line) for line in lines if not said.match(line)]
    assert None not in named, lines
    return [match[1] for match in named]


def test_records_removed_before_they_were_applied_stop_the_start_until_the_loss_is_accepted(damaged, loads):
    load = loads()
    load.wait_committed(50)
    assert damaged.main_commit.stop() == 0
    before = load.committed()
    load.wait_more(100)
    load.stop()
    progress = dict(damaged.sql('select "partition", next_offset from vote.progress'))
    begins = damaged.delete_records()
    refused = damaged.commit(*SOON).start(ready=False)
    assert refused.process.wait(20) == CONFIG
    said = open(refused.log).read()
    gaps = [p for p, begin in begins.items() if progress.get(p, 0) < begin]
    assert "--accept-loss" in said
    assert any(all(re.search(rf"\b{number}\b", said) for number in (p, progress.get(p, 0), begins[p])) for p in gaps), said
    assert load.committed() == before  # nothing was done meanwhile
    damaged.main_commit = damaged.commit(*SOON, *GRACE, "--accept-loss").start()
    more = loads()
    more.wait_committed(20)
    more.check()
    assert load.committed() == before
    wait_settled(damaged, load, more)
    check_sums(damaged)
