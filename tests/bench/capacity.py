#!/usr/bin/env python3
# capacity.py - what a vote, a connection and a row cost, stage by stage: capacity.py [RATE [SECONDS]]
# SPDX-License-Identifier: Apache-2.0
#
# The whole pipeline at a rate that it carries with ease, so that what is told is processor time and not waiting: from it
# pipelines/capacity.md works out deployments. A batch of vote-commit grows with the rate, and a vote then costs less.
import json
import os
import resource
import subprocess
import sys

import websocket

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT + "/tests/integration", os.path.dirname(os.path.abspath(__file__))]

import process  # noqa: E402
from stack import BIN, DeployedStack, anonymous_kib, free_port, started_servers, wait_until  # noqa: E402
from stages import server_pid  # noqa: E402

PROJECTS, USERS, CONNECTIONS = 1000, 10_000, 1000
SERVERS = ("redis", "kafka", "postgres")


class Site:
    """The servers, one of each daemon, and browsers that look at twenty projects each."""

    def __init__(self, stack):
        self.stack, self.browsers = stack, []
        stack.add_projects(*(f"p{n + 1}" for n in range(PROJECTS)))
        self.port = free_port()
        self.tools = {"vote-ingest": stack.ingest(), "vote-commit": stack.commit(),
                      "vote-notify": stack.tool("vote-notify", "--listen", f"127.0.0.1:{self.port}"),
                      "vote-invalidate": stack.tool("vote-invalidate")}
        for tool in self.tools.values():
            tool.start()

    def processor_ns(self):
        spent = {name: process.processor_ns(tool.process.pid) for name, tool in self.tools.items()}
        return spent | {name: sum(map(process.processor_ns, process.tree(server_pid(self.stack, name)))) for name in SERVERS}

    def open_browser(self, number):
        browser = websocket.create_connection(f"ws://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket", timeout=20)
        browser.recv()
        browser.send("40")
        browser.recv()
        looked_at = [f"p{(number * 20 + n) % PROJECTS + 1}" for n in range(20)]
        browser.send("420" + json.dumps(["subscribe", {"project_ids": looked_at}]))
        assert browser.recv().startswith("430"), "no snapshot"
        self.browsers.append(browser)

    def rows(self):
        return self.stack.sql("select (select count(*) from vote.log), (select count(*) from vote.votes), "
                              "(select sum(pg_total_relation_size(relid)) from pg_partition_tree('vote.log')), "
                              "pg_total_relation_size('vote.votes')")[0]

    def load(self, rate, seconds):
        """Votes of the mix; returns how many were counted."""
        before = self.rows()[0]
        subprocess.run([os.path.join(BIN, "vote-load"), "--url", self.stack.url, "--users", str(USERS), "--projects", str(PROJECTS),
                        "--rate", f"{rate}/s", "--duration", f"{seconds}s", "--seed", str(before + 1)],
                       env=self.stack.env, check=True, capture_output=True)
        wait_until(lambda: json.loads(self.stack.run("vote-admin", "lag", "--format", "json").stdout)["max_seconds"] == 0, 60, "no lag")
        return self.rows()[0] - before


def log_bytes(stack):
    directory = os.path.join(stack.directory, "kafka")
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(directory) for name in names
               if name.endswith(".log") and os.path.basename(root).startswith("vote.re"))


def print_votes(site, rate, seconds, title):
    before = site.processor_ns()
    votes = site.load(rate, seconds)
    after = site.processor_ns()
    print(f"{title}, {votes} votes at {rate}/s, us of processor time a vote:")
    for name in before:
        print(f"  {name:16} {(after[name] - before[name]) / 1000 / votes:7.1f}")
    print(f"  {'all':16} {sum(after[n] - before[n] for n in after) / 1000 / votes:7.1f}", flush=True)


def print_browsers(site):
    notify = site.tools["vote-notify"].process.pid
    before = anonymous_kib(notify)
    for number in range(CONNECTIONS):
        site.open_browser(number)
    kib = anonymous_kib(notify) - before
    print(f"{CONNECTIONS} WebSockets that look at 20 projects each: {kib / CONNECTIONS:.1f} KiB each in vote-notify", flush=True)


def print_sizes(site, redis_before, kafka_before, votes):
    ledger, rows, ledger_bytes, rows_bytes = site.rows()
    stack = site.stack
    redis_bytes = stack.redis().info("memory")["used_memory"] - redis_before
    state = stack.redis().memory_usage("vote:state:{p1}", samples=0)
    voters = stack.redis().memory_usage("vote:voters:{p1}", samples=0) / stack.redis().hlen("vote:voters:{p1}")
    request = stack.redis().memory_usage(next(stack.redis().scan_iter("vote:request:*")), samples=0)
    print("bytes, with indexes and overhead:")
    for what, size in (("a row of vote.log", ledger_bytes / ledger), ("a row of vote.votes", rows_bytes / rows),
                       ("Kafka, vote.requests and vote.results, a vote", (log_bytes(stack) - kafka_before) / votes),
                       ("Redis, a project's state", state), ("Redis, a voter of a project", voters),
                       ("Redis, a request (24 h)", request), ("Redis, all of it, a vote of this run", redis_bytes / votes)):
        print(f"  {what:48} {size:7.0f}")


def bench(stack, rate, seconds):
    site = Site(stack)
    site.load(rate, 5)  # states are loaded, plans are made
    redis_before, kafka_before, ledger_before = stack.redis().info("memory")["used_memory"], log_bytes(stack), site.rows()[0]
    print_votes(site, rate, seconds, "nobody looks on")
    print_sizes(site, redis_before, kafka_before, site.rows()[0] - ledger_before)
    print_browsers(site)
    for name, tool in site.tools.items():
        print(f"{name}: {process.memory(tool.process.pid)['pss_mib']:.1f} MiB")


def main(rate=1000, seconds=20):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with started_servers(DeployedStack, "votepipe-bench-") as stack:
        bench(stack, rate, seconds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
