#!/usr/bin/env python3
# ingest.py - vote-ingest beside the usual Python service, in one run: ingest.py [SECONDS [ROUNDS]]
# SPDX-License-Identifier: Apache-2.0
#
# Both get the same votes from wrk by turns, over the same Redis and Postgres. Nobody consumes meanwhile: neither
# vote-commit nor a Celery worker. What is compared is the way to the 202, each up to a queue that has the vote;
# a consumer would take processor time from both, and Celery's takes more of it for each vote.
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import jwt
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/tests/integration")

import limits  # noqa: E402
import process  # noqa: E402
from stack import SECRET, DeployedStack, die_with_parent, free_port, started_servers, wait_until  # noqa: E402

BENCH = ROOT + "/tests/bench"
USERS, PROJECTS, CONNECTIONS = 1000, 200, 64
PEER_THREADS = 8
WORKERS = 2 * os.cpu_count() + 1
WARM_UP_SECONDS = 40  # the broker compiles what is called often: its time for a vote falls for half a minute
WORKLOADS = (("200 projects", PROJECTS), ("1 hot project", 1))
WANTED = {"speed": 15, "memory": 10, "p95_ms": 50}


class Server:
    """One of the two: its name, where it listens and the process whose tree is measured."""

    def __init__(self, name, url, pid):
        self.name, self.url, self.pid = name, url, pid


def start_ingest(stack):
    tool = stack.ingest().start()
    return Server("vote-ingest", stack.url, tool.process.pid)


def answers(url):
    try:
        return requests.get(url + "/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def start_peer(stack, log):
    """gunicorn with its state in database 1 of the same Redis and its queue in database 2."""
    port = free_port()
    redis_url = stack.env["VOTE_REDIS_URL"]
    env = dict(stack.env, PEER_THREADS=str(PEER_THREADS), PEER_REDIS_URL=redis_url + "/1",
               PEER_BROKER_URL=redis_url + "/2")
    gunicorn = subprocess.Popen(
        ["gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--workers", str(WORKERS),
         "--threads", str(PEER_THREADS), "--keep-alive", "30", "--preload", "--log-level", "warning",
         "--chdir", BENCH + "/peers", "flask_votes:app"],
        env=env, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        peer = Server("Flask", f"http://127.0.0.1:{port}", gunicorn.pid)
        wait_until(lambda: gunicorn.poll() is not None or answers(peer.url), 40, "gunicorn ready")
        assert gunicorn.poll() is None, "gunicorn ended"
    except BaseException:
        end(gunicorn)
        raise
    return peer, gunicorn


def end(child):
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def mint_tokens(path):
    expires_at_s = int(time.time()) + 24 * 3600
    with open(path, "w") as file:
        for user in range(1, USERS + 1):
            claims = {"sub": f"u{user}", "exp": expires_at_s}
            file.write(jwt.encode(claims, SECRET, algorithm="HS256") + "\n")


def load_states(stack, servers, token):
    """Every round starts from an empty Redis with every project voted once, so that no round pays for another."""
    stack.redis().flushall()
    for server in servers:
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer " + token
            for project in range(1, PROJECTS + 1):
                answer = session.post(server.url + "/api/votes", timeout=30,
                                      json={"project_id": f"p{project}", "vote_type": "up"})
                assert answer.status_code == 202, f"{server.name}: {answer.status_code} {answer.text}"


def drive(server, tokens, projects, seconds):
    """One round of wrk; fails when any answer is not 202."""
    done = subprocess.run(
        ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", BENCH + "/votes.lua",
         server.url + "/api/votes", "--", tokens, str(projects)],
        capture_output=True, text=True, timeout=seconds + 60, preexec_fn=die_with_parent)
    assert done.returncode == 0, f"wrk: {done.stdout}{done.stderr}"
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    failed = figures["refused"] or figures["broken"] or not figures["accepted"]
    assert not failed, f"{server.name}: {json.dumps(figures)}"
    return figures


def measure(server, parts, tokens, projects, seconds):
    """A round, with the memory of the server at its end and the processor time of each part for a vote."""
    before = {name: process.processor_seconds(pid) for name, pid in parts.items()}
    figures = drive(server, tokens, projects, seconds)
    figures.update(process.memory(server.pid))
    for name, pid in parts.items():
        spent_us = (process.processor_seconds(pid) - before[name]) * 1e6
        figures[name + "_us"] = spent_us / figures["accepted"]
    figures["votes_per_second"] = figures["accepted"] / figures["seconds"]
    return figures


def server_pid(stack, name):
    with open(os.path.join(stack.directory, name, "pid")) as file:
        return int(file.read().split()[0])


def compare(stack, servers, tokens, projects, seconds, rounds):
    """Rounds by turns; returns the medians of each server, by name."""
    with open(tokens) as file:
        token = file.readline().strip()
    figures = {server.name: [] for server in servers}
    for turn in range(rounds + 1):
        for server in servers:
            load_states(stack, servers, token)
            parts = {"server": server.pid, "redis": server_pid(stack, "redis"), "kafka": server_pid(stack, "kafka")}
            if turn == 0:
                drive(server, tokens, projects, WARM_UP_SECONDS)
            else:
                figures[server.name].append(measure(server, parts, tokens, projects, seconds))
    return {name: medians(list_) for name, list_ in figures.items()}


def medians(figures):
    return {key: statistics.median(f[key] for f in figures) for key in figures[0]}


ROWS = (("votes/s", "votes_per_second", 0), ("p50 ms", "p50_ms", 2), ("p95 ms", "p95_ms", 2),
        ("p99 ms", "p99_ms", 2), ("RSS MiB", "rss_mib", 1), ("PSS MiB", "pss_mib", 1),
        ("server CPU us/vote", "server_us", 0), ("Redis CPU us/vote", "redis_us", 0),
        ("Kafka CPU us/vote", "kafka_us", 0))


def verdict(met):
    return "" if met else "  MISSED"


def print_comparison(title, ours, peer):
    print(f"\n{title:20}{'vote-ingest':>14}{'Flask':>14}{'ratio':>10}")
    for name, key, digits in ROWS:
        ratio = f"{ours[key] / peer[key]:.3f}" if peer[key] else "-"
        print(f"{name:20}{ours[key]:14.{digits}f}{peer[key]:14.{digits}f}{ratio:>10}")
    speed = ours["votes_per_second"] / peer["votes_per_second"]
    print(f"  votes/s {speed:.1f} times the peer's, wanted >= {WANTED['speed']}{verdict(speed >= WANTED['speed'])}")
    print(f"  p99 {ours['p99_ms']:.2f} ms against {peer['p99_ms']:.2f} ms, wanted lower"
          f"{verdict(ours['p99_ms'] < peer['p99_ms'])}")
    for name, key in (("RSS", "rss_mib"), ("PSS", "pss_mib")):
        share = peer[key] / ours[key]
        print(f"  {name} 1/{share:.1f} of the peer's, wanted <= 1/{WANTED['memory']}"
              f"{verdict(share >= WANTED['memory'])}", flush=True)


def print_half_rate(stack, highest, seconds):
    """p95 of vote-ingest at half of its highest rate: what a user waits for on a server with room."""
    rate = int(highest / 2)
    stack.redis().flushall()
    done = stack.run("vote-load", "--users", str(USERS), "--projects", str(PROJECTS), "--rate", f"{rate}/s",
                     "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--format", "json")
    assert done.returncode == 0, f"vote-load: {done.stdout}{done.stderr}"
    load = json.loads(done.stdout.strip().splitlines()[-1])
    assert not load["refused"] and not load["retries"], f"vote-load: {done.stdout}"
    print(f"\nAt half of the highest rate: asked {rate}/s, sent {load['votes_per_second']}/s, "
          f"p50 {load['p50_ms']} ms, p95 {load['p95_ms']} ms, p99 {load['p99_ms']} ms")
    print(f"  p95 {load['p95_ms']} ms, wanted < {WANTED['p95_ms']} ms{verdict(load['p95_ms'] < WANTED['p95_ms'])}", flush=True)


def print_limits(stack, ours, seconds):
    print("\nThe limits, on the same machine in the same run:")
    rate = limits.civetweb(free_port(), seconds, CONNECTIONS)
    print(f"  civetweb, POST answered without work, {CONNECTIONS} connections: {rate:.0f}/s")
    for pipeline, word in ((1, "unpipelined"), (16, "16 to a pipeline")):
        rate = limits.redis_scripts(stack, 16, pipeline, 20000 * seconds)
        print(f"  Redis, EVALSHA vote.lua only, 16 connections, {word}: {rate:.0f}/s")
    print(f"  Redis, all that a vote asks of it, by its processor time in the rounds: {1e6 / ours['redis_us']:.0f}/s")
    limits.make_topic_like_requests(stack, "bench.produce")
    for rate in (-1, int(ours["votes_per_second"])):
        asked = "as fast as it goes" if rate < 0 else f"at vote-ingest's {rate}/s"
        got, p99_ms = limits.produce(stack, "bench.produce", rate, seconds * (100000 if rate < 0 else rate))
        print(f"  Kafka, ProducerPerformance, acks=all, {limits.RECORD_BYTES} bytes, {asked}: "
              f"{got:.0f}/s, p99 {p99_ms:.0f} ms", flush=True)


def bench(stack, log, seconds, rounds):
    tokens = stack.directory + "/tokens"
    mint_tokens(tokens)
    stack.add_projects(*(f"p{project}" for project in range(1, PROJECTS + 1)))
    ours = start_ingest(stack)
    peer, gunicorn = start_peer(stack, log)
    try:
        print(f"{CONNECTIONS} connections, {USERS} users, medians of {rounds} rounds of {seconds} s by turns, "
              f"{os.cpu_count()} cores; gunicorn: {WORKERS} workers of {PEER_THREADS} threads", flush=True)
        results = {}
        for title, projects in WORKLOADS:
            results[title] = compare(stack, (ours, peer), tokens, projects, seconds, rounds)
            print_comparison(title, results[title][ours.name], results[title][peer.name])
    finally:
        end(gunicorn)
    highest = results[WORKLOADS[0][0]][ours.name]
    print_half_rate(stack, highest["votes_per_second"], seconds)
    print_limits(stack, highest, max(1, seconds // 2))


def main(seconds=8, rounds=3):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with started_servers(DeployedStack, "votepipe-bench-") as stack, open(stack.directory + "/peer.log", "w+") as log:
        try:
            bench(stack, log, seconds, rounds)
        except (AssertionError, RuntimeError, subprocess.SubprocessError) as error:
            log.seek(0)
            sys.exit(f"bench: {error}\n{log.read()[-2000:]}".rstrip())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
