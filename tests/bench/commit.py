#!/usr/bin/env python3
# commit.py - vote-commit beside other ways from Kafka into Postgres, in one run: commit.py [ROUNDS]
# SPDX-License-Identifier: Apache-2.0
#
# All get the same votes by turns, waiting in vote.requests, over the same Kafka and Postgres. vote-commit does more
# than any of them: it also writes the ledger, settles Redis and announces each result.
import json
import os
import signal
import statistics
import subprocess
import sys

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(BENCH) + "/integration", BENCH]

import requests  # noqa: E402

import backlog  # noqa: E402
from peers import connect  # noqa: E402
from stack import DeployedStack, started_servers, wait_until  # noqa: E402
from stages import OUR_TABLES, WORKERS, CommitBatch, ConnectSink, PsycopgWorkers, VoteCommit  # noqa: E402

VOTES = 200_000
PSYCOPG_WARM_UP = 0.2  # of its votes
WORKLOADS = {"SPREAD": {"projects": 1000, "users": 5000, "psycopg_votes": 10_000},
             "HOT": {"projects": 1, "users": 50_000, "psycopg_votes": 4_000}}
WANTED = {"psycopg": 15, "connect": 3, "limit": 0.8, "hot": 0.8, "p95_ms": 100}
LOAD = {"rate": 2000, "seconds": 15, "projects": 200, "users": 1000, "connections": 64}

LINES = {"commit": "vote-commit", "limit": "commit_batch alone, 1 connection",
         "psycopg": f"psycopg2, {WORKERS} processes", "connect_plain": "Connect, its defaults",
         "connect": "Connect, tuned"}


def medians(rounds):
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def compare(votes, worker, psycopg_votes, rounds):
    """Rounds by turns; returns the medians of each stage."""
    makers = {"commit": lambda: VoteCommit(votes), "limit": lambda: CommitBatch(votes),
              "psycopg": lambda: PsycopgWorkers(votes, psycopg_votes, int(psycopg_votes * PSYCOPG_WARM_UP)),
              "connect_plain": lambda: ConnectSink(votes, worker, connect.PLAIN),
              "connect": lambda: ConnectSink(votes, worker, connect.TUNED)}
    figures = {name: [] for name in makers}
    for _ in range(rounds):
        for name, make in makers.items():
            figures[name].append(make().run())
    return {name: medians(list_) for name, list_ in figures.items()}


def verdict(met):
    return "" if met else "  MISSED"


def print_comparison(title, workload, results):
    ours = results["commit"]["votes_per_second"]
    ratios = {name: ours / figures["votes_per_second"] for name, figures in results.items()}
    title += f": {workload['projects']} projects, {workload['users']} users"
    print(f"\n{title:36}{'votes/s':>10}{'CPU us/vote':>14}{'vote-commit':>14}")
    for name, text in LINES.items():
        figures = results[name]
        print(f"{text:36}{figures['votes_per_second']:10.0f}{figures['cpu']:14.0f}{ratios[name]:12.2f} x")
    print("  CPU us/vote: vote-commit %(own).0f, its Postgres backend %(backend).0f, all of Postgres %(postgres).0f, "
          "Redis %(redis).0f, Kafka %(kafka).0f\n"
          "  the last result comes %(behind_ms).0f ms after the last commit" % results["commit"])
    print(f"  {ratios['psycopg']:.1f} times psycopg2, wanted >= {WANTED['psycopg']}"
          f"{verdict(ratios['psycopg'] >= WANTED['psycopg'])}")
    print(f"  {ratios['connect']:.2f} times Connect tuned, wanted >= {WANTED['connect']}"
          f"{verdict(ratios['connect'] >= WANTED['connect'])}")
    print(f"  {ratios['limit']:.0%} of commit_batch alone, wanted >= {WANTED['limit']:.0%}"
          f"{verdict(ratios['limit'] >= WANTED['limit'])}", flush=True)


def print_hot_share(results):
    share = results["HOT"]["commit"]["votes_per_second"] / results["SPREAD"]["commit"]["votes_per_second"]
    print(f"\nvote-commit HOT at {share:.0%} of SPREAD, wanted >= {WANTED['hot']:.0%}{verdict(share >= WANTED['hot'])}",
          flush=True)


def load(stack):
    """The figures of vote-load at a rate that leaves room, once all that was accepted is committed."""
    rows = stack.ledger_rows()
    done = stack.run("vote-load", "--users", str(LOAD["users"]), "--projects", str(LOAD["projects"]),
                     "--rate", f"{LOAD['rate']}/s", "--connections", str(LOAD["connections"]),
                     "--duration", f"{LOAD['seconds']}s", "--format", "json")
    assert done.returncode == 0, f"vote-load: {done.stdout}{done.stderr}"
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    wait_until(lambda: stack.ledger_rows() >= rows + figures["accepted"], 30, "all committed")
    return figures


def print_latency(stack):
    """From accepted_at to committed_at, over HTTP and with everything in between, behind as much that warms it."""
    backlog.empty_topic(stack)
    stack.redis().flushall()
    stack.sql(OUR_TABLES)
    stack.add_projects(*(f"p{number + 1}" for number in range(LOAD["projects"])))
    stack.ingest().start()
    stack.commit("--group", "bench-latency").start()
    load(stack)
    warm = stack.sql("select clock_timestamp()")[0][0]
    sent = load(stack)["votes_per_second"]
    stack.assert_totals_equal_rows()
    p50, p95, p99 = stack.sql("select percentile_cont(array[0.5, 0.95, 0.99]) within group "
                              "(order by commit_latency_ms) from vote.log where accepted_at > %s", warm)[0][0]
    met = p95 < WANTED["p95_ms"] and sent >= 0.95 * LOAD["rate"]
    print(f"\nFrom accepted_at to committed_at: asked {LOAD['rate']}/s, sent {sent}/s, p50 {p50:.1f} ms, "
          f"p95 {p95:.1f} ms, p99 {p99:.1f} ms\n  p95 {p95:.1f} ms, wanted < {WANTED['p95_ms']} ms{verdict(met)}", flush=True)


def bench(stack, log, rounds):
    worker = connect.Connect(stack)
    worker.start(log)
    try:
        print(f"{VOTES} votes wait in Kafka, medians of {rounds} rounds by turns, {os.cpu_count()} cores; "
              "CPU: of the stage and of all servers", flush=True)
        results = {}
        for title, workload in WORKLOADS.items():
            votes = backlog.Backlog(stack, VOTES, workload["projects"], workload["users"])
            if not results:
                ConnectSink(votes, worker, connect.TUNED).run()  # compiles what it runs
            results[title] = compare(votes, worker, workload["psycopg_votes"], rounds)
            print_comparison(title, workload, results[title])
    finally:
        worker.stop()
    print_hot_share(results)
    print_latency(stack)


def main(rounds=2):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with started_servers(DeployedStack, "votepipe-bench-") as stack, open(stack.directory + "/peer.log", "w+") as log:
        try:
            bench(stack, log, rounds)
        except (AssertionError, RuntimeError, subprocess.SubprocessError, requests.RequestException) as error:
            log.seek(0)
            sys.exit(f"bench: {error}\n{log.read()[-2000:]}".rstrip())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
