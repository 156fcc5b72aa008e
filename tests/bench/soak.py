#!/usr/bin/env python3
# soak.py - all daemons under a steady load for long: does anything grow? soak.py [SECONDS [VOTES_PER_SECOND]]
# SPDX-License-Identifier: Apache-2.0
#
# Without a rate it takes half of what the stack can commit. Votes come by a vote-load a minute, so that connections
# come and go; readers and browsers call beside them, and a browser in three leaves and comes back. Before, many
# connections come once: what vote-ingest keeps of them it has then. Memory is sampled for each
# daemon; a line through the samples after the warm-up says how fast what it has by itself grows. At the end every
# accepted vote must have its row in the ledger, and the audit must be clean. Exit 1: something grew, slowed down or
# is missing.
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(BENCH) + "/integration", BENCH]

import jwt  # noqa: E402
import requests  # noqa: E402
import websocket  # noqa: E402

import process  # noqa: E402
from stack import SECRET, DeployedStack, free_port, started_servers, wait_until  # noqa: E402

USERS, PROJECTS, CONNECTIONS, BROWSERS = 1000, 200, 32, 30
CONNECTIONS_MAX = 1500
MINUTE_S, SAMPLE_S, FIND_S, FILL_S, READ_S = 60, 5, 20, 10, 0.1
WARM_UP = 1 / 6  # of the time: caches and tables fill
WANTED = {"kib_per_hour": 1024, "descriptors": 0, "p95_growth": 1.5, "p95_floor_ms": 50}
SERVERS = ("redis", "kafka", "postgres")


def sizes_of(pid):
    """Resident KiB, KiB of its own, descriptors; nothing of a backend that has just ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kib = {line.split()[0]: int(line.split()[1]) for line in file if line.endswith(" kB\n")}
        return kib["Rss:"], kib["Pss_Anon:"], len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0, 0


class Daemon:
    """A process and its children: resident memory, memory of their own (KiB) and descriptors, each with its second."""

    def __init__(self, name, pid):
        self.name, self.pid, self.samples = name, pid, []

    def sample(self, now_s):
        sizes = [sizes_of(pid) for pid in process.tree(self.pid)]
        self.samples.append((now_s, *map(sum, zip(*sizes))))

    def settled(self, seconds):
        return [sample for sample in self.samples if sample[0] >= seconds * WARM_UP]


def slope(points):
    """Least squares: how much y grows for 1 of x, and the standard error of that."""
    xs, ys = zip(*points)
    rate, start = statistics.linear_regression(xs, ys)
    rest = sum((y - start - rate * x) ** 2 for x, y in points) / max(1, len(points) - 2)
    return rate, (rest / sum((x - statistics.fmean(xs)) ** 2 for x in xs)) ** 0.5


# --- Load ---------------------------------------------------------------------------------------


def vote_load(stack, seconds, rate, connections=CONNECTIONS):
    """One run of vote-load; rate 0: as fast as answered."""
    done = stack.run("vote-load", "--users", str(USERS), "--projects", str(PROJECTS), "--rate", f"{rate}/s",
                     "--connections", str(connections), "--duration", f"{seconds}s", "--format", "json",
                     "--seed", str(time.monotonic_ns() % 1_000_000), timeout=seconds + 120)
    assert done.returncode == 0, f"vote-load: {done.stdout}{done.stderr}"
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert not figures["refused"], f"vote-load: {done.stdout}"
    return figures


def find_half(stack, before):
    """Half of the votes a second that come through to their commit, and how many it took to find out."""
    begin_s, accepted = time.monotonic(), vote_load(stack, FIND_S, 0)["accepted"]
    wait_until(lambda: stack.ledger_rows() >= before + accepted, 120, "all committed")
    return int(accepted / (time.monotonic() - begin_s) / 2), accepted


class Reader(threading.Thread):
    """Someone who looks at everything that can be read, time and again."""

    def __init__(self, stack, ended):
        super().__init__(daemon=True)
        token = jwt.encode({"sub": "u1", "exp": int(time.time()) + 24 * 3600}, SECRET, "HS256")
        self.url, self.ended, self.read, self.failed = stack.url, ended, 0, []
        self.headers = {"Authorization": "Bearer " + token}
        self.start()

    def run(self):
        paths = itertools.cycle(("/api/projects/p1", "/api/votes/user", "/api/leaderboard", "/api/votes/metrics",
                                 "/api/projects/none", "/openapi.json"))
        session = requests.Session()
        while not self.ended.wait(READ_S):
            answer = session.get(self.url + next(paths), headers=self.headers, timeout=30)
            self.read += 1
            if answer.status_code not in (200, 404):
                self.failed.append(f"{answer.url}: {answer.status_code}")


class Browser(threading.Thread):
    """A WebSocket that looks at ten projects; `visits`: it leaves after so many packets and comes back."""

    def __init__(self, port, number, ended):
        super().__init__(daemon=True)
        self.port, self.ended, self.packets = port, ended, 0
        self.visits = 200 if number % 3 == 0 else float("inf")
        self.projects = [f"p{(number * 7 + step) % PROJECTS + 1}" for step in range(10)]
        self.start()

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self.visit()

    def visit(self):
        url = f"ws://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket"
        with contextlib.closing(websocket.create_connection(url, timeout=60)) as socket:
            socket.send("40")
            socket.send('420["subscribe",%s]' % json.dumps({"project_ids": self.projects}))
            seen = 0
            while seen < self.visits and not self.ended.is_set():
                if socket.recv() == "2":
                    socket.send("3")
                seen, self.packets = seen + 1, self.packets + 1


# --- The soak -----------------------------------------------------------------------------------


def start_daemons(stack, port):
    """Each daemon of ours and each server, by what is sampled."""
    tools = [stack.ingest(), stack.commit(), stack.tool("vote-notify", "--listen", f"127.0.0.1:{port}"),
             stack.tool("vote-invalidate")]
    ours = [Daemon(tool.name, tool.start().process.pid) for tool in tools]
    pids = {name: int(open(f"{stack.directory}/{name}/pid").read().split()[0]) for name in SERVERS}
    return ours, [Daemon(name, pid) for name, pid in pids.items()]


def sample_all(daemons, begin_s, ended):
    while not ended.is_set():
        for daemon in daemons:
            daemon.sample(time.monotonic() - begin_s)
        ended.wait(SAMPLE_S)


def soak(stack, daemons, seconds, rate):
    """Minutes of load until the time is over; the figures of each."""
    begin_s, ended, minutes = time.monotonic(), threading.Event(), []
    sampler = threading.Thread(target=sample_all, args=(daemons, begin_s, ended), daemon=True)
    sampler.start()
    try:
        while (left_s := round(seconds - (time.monotonic() - begin_s))) >= min(seconds, MINUTE_S // 2):
            minutes.append(vote_load(stack, min(MINUTE_S, left_s), rate))
            assert sampler.is_alive(), "nothing is sampled any more"
            print(f"minute {len(minutes):4}: {minutes[-1]['votes_per_second']:7}/s  p50 {minutes[-1]['p50_ms']} ms  "
                  f"p95 {minutes[-1]['p95_ms']} ms  p99 {minutes[-1]['p99_ms']} ms", flush=True)
    finally:
        ended.set()
        sampler.join(60)
    return minutes


def verdict(met):
    return "" if met else "  MISSED"


def print_growth(daemon, seconds, wanted):
    """One line: level and slope. Growth is what stands clear of the samples' own noise."""
    samples = daemon.settled(seconds)
    rate, error = (3600 * figure for figure in slope([(at, own) for at, _, own, _ in samples]))
    more = max(sample[3] for sample in samples[len(samples) // 2:]) - max(sample[3] for sample in samples[:len(samples) // 2])
    met = not wanted or (rate - 2 * error <= WANTED["kib_per_hour"] and more <= WANTED["descriptors"])
    print(f"{daemon.name:16}{samples[0][1]:12.0f}{samples[-1][1]:12.0f}{samples[0][2]:12.0f}{samples[-1][2]:12.0f}"
          f"{rate:12.0f} ± {error:<6.0f}{samples[-1][3]:8}{more:+8}{verdict(met)}")
    return met


def print_course(daemon, seconds):
    """By the tenths of the time: a step, which a line through it all shows as a slope, is told from one."""
    tenths = [[own for at, _, own, _ in daemon.samples if tenth <= 10 * at / seconds < tenth + 1] for tenth in range(10)]
    print(f"  {daemon.name:14}" + "".join(f"{statistics.median(tenth):8.0f}" for tenth in tenths if tenth))


def print_memory(ours, servers, seconds):
    print(f"\n{'':16}{'RSS KiB':>12}{'at the end':>12}{'own KiB':>12}{'at the end':>12}{'own KiB/hour':>16}"
          f"{'':5}{'files':>6}{'more':>8}")
    met = [print_growth(daemon, seconds, True) for daemon in ours]
    for daemon in servers:
        print_growth(daemon, seconds, False)
    print("own KiB by tenths of the time, medians")
    for daemon in ours:
        print_course(daemon, seconds)
    print(f"  what each daemon has by itself grows by <= {WANTED['kib_per_hour']} KiB/hour and its descriptors not at all, wanted"
          f"{verdict(all(met))}\n  what Redis keeps for a day, and what Postgres and Kafka cache, grows with the votes",
          flush=True)
    return all(met)


def print_latency(minutes):
    """The later half of the minutes against the earlier one, after the warm-up."""
    p95s = [minute["p95_ms"] for minute in minutes[int(len(minutes) * WARM_UP):]]
    if len(p95s) < 4:
        print("p95 by the minute: too few minutes to compare")
        return True
    early, late = (statistics.median(half) for half in (p95s[:len(p95s) // 2], p95s[len(p95s) // 2:]))
    met = late <= max(early * WANTED["p95_growth"], WANTED["p95_floor_ms"])
    print(f"p95 by the minute: {min(p95s)} to {max(p95s)} ms, median {early} ms in the first half, {late} ms in the second\n"
          f"  second half <= {WANTED['p95_growth']} times the first (or {WANTED['p95_floor_ms']} ms), wanted{verdict(met)}")
    return met


def print_ledger(stack, accepted):
    wait_until(lambda: stack.ledger_rows() >= accepted, 300, "all committed")
    rows, audit = stack.ledger_rows(), stack.run("vote-admin", "audit", timeout=1800)
    clean = audit.returncode == 0 and audit.stdout.endswith("audit: clean\n")
    print(f"{accepted} votes accepted, {rows} rows in the ledger, wanted as many{verdict(rows == accepted)}\n"
          + audit.stdout.strip()[-500:] + verdict(clean), flush=True)
    return rows == accepted and clean


def bench(stack, seconds, rate):
    stack.add_projects(*(f"p{number + 1}" for number in range(PROJECTS)))
    port, ended, found = free_port(), threading.Event(), 0
    ours, servers = start_daemons(stack, port)
    found = vote_load(stack, FILL_S, 0, CONNECTIONS_MAX)["accepted"]
    if not rate:
        rate, more = find_half(stack, found)
        found += more
    print(f"{seconds} s at {rate} votes/s by {USERS} users on {PROJECTS} projects over {CONNECTIONS} connections, "
          f"{BROWSERS} browsers, 1 process of each daemon, {os.cpu_count()} cores", flush=True)
    reader, browsers = Reader(stack, ended), [Browser(port, number, ended) for number in range(BROWSERS)]
    minutes = soak(stack, ours + servers, seconds, rate)
    ended.set()
    met = [print_memory(ours, servers, seconds), print_latency(minutes),
           print_ledger(stack, found + sum(minute["accepted"] for minute in minutes))]
    print(f"{sum(browser.packets for browser in browsers)} packets to browsers; {reader.read} reads, "
          f"{len(reader.failed)} failed{verdict(not reader.failed)} {reader.failed[:3] or ''}")
    return all(met) and not reader.failed


def main(seconds=3600, rate=0):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with started_servers(DeployedStack, "votepipe-soak-") as stack:
            met = bench(stack, seconds, rate)
    except (AssertionError, subprocess.SubprocessError, requests.RequestException) as error:
        sys.exit(f"soak: {error}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
