# test_cluster.py - the same tests with a Redis Cluster of three real nodes. SPDX-License-Identifier: Apache-2.0
import copy
import os
import subprocess
import tempfile

import pytest
import redis.cluster

from stack import die_with_parent, free_port, wait_until
from test_api import *  # noqa: F401,F403 - collected here again, with this module's stack
from test_guarantees import test_G1_flushall_during_a_run_loses_nothing_and_the_api_is_right_again  # noqa: F401
from test_guarantees import test_G2_ten_kills_of_vote_commit_count_nothing_twice  # noqa: F401
from test_invalidate import invalidator  # noqa: F401
from test_invalidate import test_a_pattern_is_purged_by_scan_when_it_is_asked_for  # noqa: F401
from test_invalidate import test_what_a_vote_has_changed_is_purged_and_nothing_else  # noqa: F401
from test_vote import *  # noqa: F401,F403

# What has nothing to do with Redis is not run twice.
for name in list(globals()):
    if any(word in name for word in ("openapi", "bad_query", "public_key", "issuer", "origins", "does_not_start", "bad_limit")):
        if name.startswith("test_"):
            del globals()[name]


class RedisCluster:
    """Three masters below a directory of their own."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="votepipe-cluster-")
        self.processes = []
        self.ports = [free_port() for _ in range(3)]  # the cluster's bus listens 10,000 above
        for port in self.ports:
            self.start(port)
        nodes = [f"127.0.0.1:{port}" for port in self.ports]
        for port in self.ports:
            wait_until(lambda: self.cli(port, "ping").stdout.strip() == "PONG", 10, "redis")
        created = subprocess.run(["redis-cli", "--cluster", "create", *nodes, "--cluster-yes"], capture_output=True, text=True, timeout=60)
        assert created.returncode == 0, created.stdout + created.stderr
        for port in self.ports:
            wait_until(lambda: "cluster_state:ok" in self.cli(port, "cluster", "info").stdout, 30, "the cluster")

    def cli(self, port, *words):
        return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=10)

    def start(self, port):
        directory = os.path.join(self.directory.name, str(port))
        os.makedirs(directory, exist_ok=True)
        self.processes.append(subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--cluster-enabled", "yes"],
            stdout=subprocess.DEVNULL, preexec_fn=die_with_parent))

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.directory.cleanup()


@pytest.fixture(scope="module")
def clustered(running):
    """The running servers, but Redis is a cluster and the tools are others."""
    cluster = RedisCluster()
    stack = copy.copy(running)
    stack.tools, stack.cluster = [], cluster
    stack.ports = dict(running.ports, api=free_port())
    stack.env = dict(running.env, VOTE_REDIS_URL="redis://" + ",".join(f"127.0.0.1:{p}" for p in cluster.ports),
                     VOTE_URL=f"http://127.0.0.1:{stack.ports['api']}")
    stack.url = stack.env["VOTE_URL"]
    stack.redis = lambda: redis.cluster.RedisCluster(host="127.0.0.1", port=cluster.ports[0], decode_responses=True)
    running.main_commit.stop()
    try:
        stack.main_ingest = stack.ingest().start()
        stack.main_commit = stack.commit("-X", "session.timeout.ms=6000").start()
        yield stack
    finally:
        for tool in stack.tools:
            tool.stop()
        running.main_commit.start()
        cluster.close()


@pytest.fixture
def stack(clustered):
    for tool in (clustered.main_ingest, clustered.main_commit):
        if tool.process.poll() is not None:
            tool.start()
    return clustered


def test_keys_are_spread_over_the_three_nodes(stack, token):
    projects = [f"spread-{n}" for n in range(30)]
    stack.add_projects(*projects)
    for name in projects:
        assert stack.vote(token, name, "up").status_code == 202
    states = [stack.cluster.cli(port, "--scan", "--pattern", "vote:state:{spread-*").stdout.split() for port in stack.cluster.ports]
    assert sorted(sum(states, [])) == sorted("vote:state:{%s}" % name for name in projects)
    assert all(states)


def test_a_slot_that_moves_to_another_node_is_followed(stack, project, token):
    assert stack.vote(token, project, "up").status_code == 202
    client = stack.redis()
    slot = client.keyslot("vote:state:{%s}" % project)
    owner = client.nodes_manager.get_node_from_slot(slot).port
    other = next(port for port in stack.cluster.ports if port != owner)
    ids = {port: stack.cluster.cli(port, "cluster", "myid").stdout.strip() for port in stack.cluster.ports}
    stack.cluster.cli(other, "cluster", "setslot", str(slot), "importing", ids[owner])
    stack.cluster.cli(owner, "cluster", "setslot", str(slot), "migrating", ids[other])
    half_way = stack.vote(token, project, "down")  # ASK, for the keys that are not there yet
    assert half_way.status_code == 202
    stack.wait_committed(token, half_way.json()["data"]["request_id"])
    keys = stack.cluster.cli(owner, "cluster", "getkeysinslot", str(slot), "1000").stdout.split()
    stack.cluster.cli(owner, "migrate", "127.0.0.1", str(other), "", "0", "5000", "keys", *keys)
    for port in stack.cluster.ports:
        stack.cluster.cli(port, "cluster", "setslot", str(slot), "node", ids[other])
    # A script whose keys are on two nodes is refused (TRYAGAIN): what could not be settled is loaded again.
    shown = lambda: client.hmget("vote:state:{%s}" % project, "upvotes", "downvotes")
    wait_until(lambda: shown() in ([None, None], ["0", "1"]), 20, "the state is right again")
    answer = stack.vote(token, project, "down")
    assert (answer.status_code, answer.json()["data"]["action"]) == (202, "removed")  # and all moved: MOVED
    assert "vote:state:{%s}" % project in stack.cluster.cli(other, "cluster", "getkeysinslot", str(slot), "1000").stdout
