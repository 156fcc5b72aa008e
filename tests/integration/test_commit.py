# test_commit.py - the commit stage beside the guarantees: replay, settling, announcements, members, metrics.
# SPDX-License-Identifier: Apache-2.0
import json
import random
import re
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition

from stack import wait_until
from test_guarantees import finish, produce, requests_log, start_load, unique_copy, wait_applied

VOTES = "select project_id, user_id, value, seq, request_id::text from vote.votes where project_id = any(%s) order by 1, 2"
PROJECTS = "select project_id, upvotes, downvotes, community_score, version from vote.projects where project_id = any(%s) order by 1"
LEDGER = ("select request_id::text, accepted_at, user_id, project_id, value, previous, action, outcome, seq, \"partition\", "
          "\"offset\", version from vote.log where project_id = any(%s) order by 1")


def tables(stack, projects):
    return [stack.sql(query, projects) for query in (VOTES, PROJECTS, LEDGER)]


def results_of_project(stack, project):
    """The results of a project in the order of their partition: (ce_type, value)."""
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "none", "enable.partition.eof": True})
    partitions = consumer.list_topics("vote.results", 10).topics["vote.results"].partitions
    consumer.assign([TopicPartition("vote.results", p, 0) for p in partitions])
    found, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ended += 1
        elif message.key().decode() == project:
            found.append((dict(message.headers())["ce_type"].decode(), json.loads(message.value())))
    consumer.close()
    return found


def metric(tool, name):
    return sum(float(line.split()[-1]) for line in tool.metrics().splitlines() if re.match(name + r"[ {]", line))


@pytest.fixture
def empty(stack):
    """A stack of the same Kafka, with an empty database and an empty Redis."""
    name = "empty_" + uuid.uuid4().hex[:8]
    connection = stack.connect()
    connection.autocommit = True
    connection.cursor().execute(f"create database {name}")
    other = stack.__class__.__new__(stack.__class__)
    other.__dict__.update(stack.__dict__)
    other.tools = []
    other.env = dict(stack.env, VOTE_DATABASE_URL=re.sub(r"/votepipe$", "/" + name, stack.env["VOTE_DATABASE_URL"]),
                     VOTE_REDIS_URL=stack.env["VOTE_REDIS_URL"] + "/7")
    other.run("vote-admin", "migrate", check=True)
    yield other
    for tool in other.tools:
        tool.stop()
    connection.cursor().execute(f"drop database {name}")
    connection.close()


def test_G8_replay_into_an_empty_database_makes_the_same_tables(stack, empty, tmp_path):
    path, projects = unique_copy(stack, tmp_path)
    finish(start_load(stack, path))
    empty.commit("--group", "again-" + uuid.uuid4().hex).start()
    wait_applied(empty)
    assert tables(empty, projects) == tables(stack, projects)


def test_G8_any_range_of_the_log_again_changes_nothing(stack, tmp_path):
    path, projects = unique_copy(stack, tmp_path)
    finish(start_load(stack, path))
    before, log = tables(stack, projects), [r for r in requests_log(stack) if r[0].decode() in projects]
    for _ in range(5):
        start = random.randrange(len(log))
        produce(stack, log[start:start + random.randrange(1, 200)])
    wait_applied(stack)
    assert tables(stack, projects) == before


def test_redis_shows_postgres_counts_when_nothing_is_pending_any_more(stack):
    projects = [f"p{n}" for n in range(1, 9)]
    stack.add_projects(*projects)
    load = stack.run("vote-load", "--users", "40", "--projects", "8", "--hot", "0.6",
                     "--duration", "3s", "--connections", "16")
    assert load.returncode == 0, load.stdout + load.stderr
    wait_applied(stack)

    def shown(project):
        state = stack.redis().hgetall("vote:state:{%s}" % project)
        return state and (state["pending"], state["upvotes"], state["downvotes"], state["base_up"], state["base_down"])

    for project in projects:
        up, down = stack.counts(project)
        wait_until(lambda: shown(project) in ({}, ("0", str(up), str(down), str(up), str(down))), 20, f"{project} settled")
        voters = {user: int(value) for user, value in stack.redis().hgetall("vote:voters:{%s}" % project).items()}
        rows = dict(stack.sql("select user_id, value from vote.votes where project_id = %s", project))
        assert voters == {user: rows[user] for user in voters}


def test_a_state_that_does_not_say_what_postgres_had_is_loaded_again(stack, project, token):
    state = "vote:state:{%s}" % project
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    assert stack.redis().hdel(state, "base_up") == 1  # as one of an earlier version
    stack.wait_committed(token, stack.vote(token, project, "down").json()["data"]["request_id"])
    wait_until(lambda: not stack.redis().exists(state), 10, "the state is dropped")
    shown = stack.vote(stack.token("another"), project, "up").json()["data"]
    assert (shown["upvotes"], shown["downvotes"]) == (1, 1)


def test_G5_every_request_is_announced_and_versions_only_grow(stack, tmp_path):
    path, projects = unique_copy(stack, tmp_path)
    load = start_load(stack, path, "--rate", "150/s")
    wait_until(lambda: stack.sql("select count(*) from vote.log where project_id = any(%s)", projects)[0][0] > 100)
    stack.main_commit.kill()
    stack.main_commit.start()
    finish(load)
    for project in projects[:12]:
        requests = {r for r, in stack.sql("select request_id::text from vote.log where project_id = %s", project)}
        wait_until(lambda: {v["request_id"] for _, v in results_of_project(stack, project)} == requests, 20, "every result")
        seen = {}  # the first announcement of each version that a vote made
        for kind, value in results_of_project(stack, project):
            if kind in ("vote.cast.v1", "vote.removed.v1") and value["request_id"] not in seen.values():
                assert value["version"] >= max(seen, default=0)
                seen.setdefault(value["version"], value["request_id"])


def test_a_static_member_comes_back_without_a_rebalance(stack):
    group = "static-" + uuid.uuid4().hex
    members = [stack.commit("--group", group, "--group-instance-id", name, "-X", "session.timeout.ms=10000").start() for name in "ab"]
    told = lambda tool, what: open(tool.log).read().count("partition " + what)
    owned = lambda tool: told(tool, "assigned") - told(tool, "revoked")
    try:
        wait_until(lambda: [owned(member) for member in members] == [3, 3], 40, "each has its half")
        before = told(members[0], "assigned"), told(members[0], "revoked")
        assert members[1].stop() == 0 and owned(members[1]) == 0
        members[1].start(ready=False)
        wait_until(lambda: owned(members[1]) == 3, 30, "it has its half again")
        assert (told(members[0], "assigned"), told(members[0], "revoked")) == before
    finally:
        for member in members:
            member.stop()


def test_bad_retry_delays_stop_the_start(stack):
    for value in ("5", "5s,,10s", "x", ",".join(["1s"] * 17)):
        started = stack.run("vote-commit", "--retry-delays", value)
        assert started.returncode == 64 and "--retry-delays" in started.stderr, value


def test_the_metrics_tell_what_the_stage_does(stack, project, token):
    tool = stack.main_commit
    before = {name: metric(tool, name) for name in ("vote_committed_total", "vote_rows_written_total", "vote_batch_votes_count")}
    last = [stack.vote(token, project, kind).json()["data"]["request_id"] for kind in ("up", "down", "down", "up")][-1]
    stack.wait_committed(token, last)
    wait_until(lambda: metric(tool, "vote_committed_total") >= before["vote_committed_total"] + 4, 10)
    assert metric(tool, "vote_rows_written_total") > before["vote_rows_written_total"]
    assert metric(tool, "vote_batch_votes_count") > before["vote_batch_votes_count"]
    assert metric(tool, "vote_fold_ratio") >= 1
    text = tool.metrics()
    for name in ("vote_commit_lag_records", "vote_commit_lag_seconds", 'vote_commit_retries_total{class="connection"}',
                 'vote_dead_total{reason="undecodable"}', 'vote_dead_total{reason="refused"}', "vote_parked_total",
                 'vote_committed_total{outcome="reconciled"}', 'vote_committed_total{outcome="superseded"}',
                 "vote_commit_latency_seconds_bucket", "vote_fenced_total", "vote_lost_records_total"):
        assert name in text, name


def test_lag_is_told_in_records_and_in_the_age_of_the_oldest(stack, project, token):
    tool = stack.main_commit
    blocker = stack.connect()
    blocker.cursor().execute("select * from vote.projects where project_id = %s for update", (project,))
    try:
        for _ in range(3):
            assert stack.vote(token, project, "up", toggle=False).status_code == 202
        wait_until(lambda: metric(tool, "vote_commit_lag_records") >= 3 and metric(tool, "vote_commit_lag_seconds") > 1, 15, "lag")
    finally:
        blocker.rollback()
        blocker.close()
    wait_applied(stack)
    wait_until(lambda: metric(tool, "vote_commit_lag_records") == 0 and metric(tool, "vote_commit_lag_seconds") == 0, 10, "no lag")
