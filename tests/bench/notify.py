#!/usr/bin/env python3
# notify.py - what it costs to tell open browsers, beside the official Socket.IO server and beside plain writes, and how
# long after a click another browser is told: notify.py [ROUND_MS [ROUNDS]]
# SPDX-License-Identifier: Apache-2.0
#
# A broadcast, or a burst of them, reaches everybody before the next is asked for. What counts is processor time of the
# server, for a delivery. Most of it is the kernel's: over loopback the core that sends also does the receiver's part of
# TCP. The limit shows how much that is. The pipeline is measured with all of its stages.
import contextlib
import datetime
import http.client
import json
import os
import resource
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

import fanout  # noqa: E402
from stack import BIN, SECRET, DeployedStack, die_with_parent, free_port, started_servers, wait_until  # noqa: E402
from topics import read_topic  # noqa: E402

ROOMS = {1000: (1, 10), 4000: (1,)}  # connections: how many broadcasts at once
MANY = 10_000
PAYLOAD_BYTES = 200
SPARE_DESCRIPTORS = 100
KINDS = {"ours": "lib/socketio", "peer": "socket.io", "raw": "the limit: a write each"}
WANTED = {"peer": 5, "raw": 1.6, "idle_kib": 10, "p95_ms": 50}
CLICKS, CLICKS_PER_SECOND = 100, 5
LOAD = {"rate": 500, "projects": 200, "users": 1000, "connections": 16,
        "lead_seconds": 20}  # until then Kafka compiles what it runs, on the cores that the votes need
PARTS = ("HTTP and Redis", "Kafka and Postgres", "commit", "Kafka and vote-notify")


def verdict(met):
    return "" if met else "  MISSED"


# --- Fan-out ------------------------------------------------------------------------------------


def medians(rounds):
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def compare(servers, burst, round_ms, rounds):
    """Rounds by turns, after one that is not counted; returns the medians of each server."""
    figures = {kind: [] for kind in servers}
    for turn in range(rounds + 1):
        for kind, server in servers.items():
            measured = server.run(round_ms, burst)
            if turn > 0:
                figures[kind].append(measured)
    results = {kind: medians(list_) for kind, list_ in figures.items()}
    sizes = {kind: round(result["bytes"]) for kind, result in results.items()}
    assert len(set(sizes.values())) == 1, f"bytes of a message: {sizes}"
    return results


def print_comparison(connections, burst, results):
    title = f"{connections} connections" + (f", {burst} messages at once" if burst > 1 else "")
    print(f"\n{title:38}{'CPU us/message':>16}{'messages/CPU s':>16}{'server busy':>13}{'load us':>9}")
    for kind, name in KINDS.items():
        figures = results[kind]
        print(f"{name:38}{figures['us']:16.2f}{figures['per_cpu_second']:16.0f}{figures['busy']:13.0%}"
              f"{figures['load_us']:9.2f}")
    ours, peer, limit = (results[kind]["us"] for kind in KINDS)
    print(f"  {peer / ours:.1f} times the messages of socket.io in a CPU second (the limit: {peer / limit:.1f} times), "
          f"wanted >= {WANTED['peer']}{verdict(peer / ours >= WANTED['peer'])}")
    print(f"  {ours / limit:.2f} times the CPU of the limit for a message, wanted <= {WANTED['raw']}"
          f"{verdict(ours / limit <= WANTED['raw'])}\n"
          f"  above the limit: {ours - limit:.2f} us, socket.io {peer - limit:.2f} us", flush=True)


def print_room(connections, round_ms, rounds):
    with contextlib.ExitStack() as cleanup:
        servers, idle_kib = {}, {}
        for kind in KINDS:
            servers[kind] = fanout.Fanout(kind, connections, PAYLOAD_BYTES)
            cleanup.callback(servers[kind].stop)
            idle_kib[kind] = servers[kind].idle_kib()
        for burst in ROOMS[connections]:
            print_comparison(connections, burst, compare(servers, burst, round_ms, rounds))
    print_idle(connections, idle_kib["ours"], f" (socket.io {idle_kib['peer']:.2f})")


def print_idle(connections, idle_kib, beside=""):
    print(f"\n{connections} idle connections: {idle_kib:.2f} KiB each{beside}, wanted <= {WANTED['idle_kib']}"
          f"{verdict(idle_kib <= WANTED['idle_kib'])}", flush=True)


def print_many(round_ms):
    """The largest room, of ours alone."""
    room = fanout.Fanout("ours", MANY, PAYLOAD_BYTES)
    try:
        idle_kib = room.idle_kib()
        figures = room.run(round_ms, 1)
    finally:
        room.stop()
    print_idle(MANY, idle_kib)
    print(f"  {figures['us']:.2f} us CPU a message")


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def bench_fanout(round_ms, rounds):
    descriptors = raise_descriptors()
    fanout.install_peer()
    print(f"Broadcasts of {PAYLOAD_BYTES} bytes to one room, medians of {rounds} rounds of {round_ms / 1000:g} s by "
          f"turns, server on one core, load on another of {os.cpu_count()}\n"
          f"{fanout.peer_version()}, broadcasts as in its documents", flush=True)
    for connections in ROOMS:
        print_room(connections, round_ms, rounds)
    if descriptors >= MANY + SPARE_DESCRIPTORS:
        print_many(round_ms)
    else:
        print(f"\n{MANY} connections: not measured, a process may have {descriptors} descriptors (ulimit -n)")


# --- The pipeline -------------------------------------------------------------------------------


class Listener:
    """Another browser: a bare WebSocket that notes when it was told of each version of a project."""

    def __init__(self, port, project):
        self.told_s = {}
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket",
                                                  timeout=60)
        self.socket.send("40")
        self.socket.send('420["subscribe",%s]' % json.dumps({"project_ids": [project]}))
        while not self.socket.recv().startswith("430"):
            continue
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError, websocket.WebSocketException):
            while True:
                self.take(self.socket.recv(), time.monotonic())

    def take(self, packet, now_s):
        if packet == "2":
            self.socket.send("3")
        elif packet.startswith('42["vote:cast"'):
            self.told_s[json.loads(packet[2:])[1]["version"]] = now_s

    def close(self):
        self.socket.close()


def click(connection, user, project):
    """One vote over the kept-alive connection; returns when it was started, in seconds."""
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + jwt.encode(claims, SECRET, "HS256")}
    body = json.dumps({"project_id": project, "vote_type": "up"}).encode()
    start_s = time.monotonic()
    connection.request("POST", "/api/votes", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 202, f"{answer.status} {text}"
    return start_s


def moments_ms(stack, listener, project, clicked_s):
    """Of each click by the wall clock: when it began, its request and its commit and its result were made, it was told."""
    wall_s = time.time() - time.monotonic()
    of_project = lambda topic: [message for message in read_topic(stack, topic) if message.key() == project.encode()]
    requested_ms = [message.timestamp()[1] for message in of_project("vote.requests")]
    results = [(json.loads(message.value()), message.timestamp()[1]) for message in of_project("vote.results")]
    assert [result["version"] for result, _ in results] == list(range(1, CLICKS + 1)) and len(requested_ms) == CLICKS
    for click_s, request_ms, (result, result_ms) in zip(clicked_s, requested_ms, results):
        committed_ms = datetime.datetime.fromisoformat(result["committed_at"].replace("Z", "+00:00")).timestamp() * 1000
        yield ((click_s + wall_s) * 1000, request_ms, committed_ms, result_ms,
               (listener.told_s[result["version"]] + wall_s) * 1000)


def sample(stack, listener, project):
    """Clicks of as many users at an even pace; when each was made."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports["api"], timeout=30)
    first_s, clicked_s = time.monotonic(), []
    for number in range(CLICKS):
        time.sleep(max(0, first_s + number / CLICKS_PER_SECOND - time.monotonic()))
        clicked_s.append(click(connection, f"clicks-{number}", project))
    wait_until(lambda: len(listener.told_s) >= CLICKS, 30, "every click told")
    connection.close()
    return clicked_s


def start_load(stack):
    """Votes on other projects, for as long as the sample takes."""
    seconds = LOAD["lead_seconds"] + CLICKS // CLICKS_PER_SECOND
    return subprocess.Popen(
        [BIN + "/vote-load", "--users", str(LOAD["users"]),
         "--projects", str(LOAD["projects"]), "--rate", f"{LOAD['rate']}/s", "--connections", str(LOAD["connections"]),
         "--duration", f"{seconds}s", "--format", "json"],
        env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)


def measure_pipeline(stack, port):
    stack.add_projects("clicked", *(f"p{number + 1}" for number in range(LOAD["projects"])))
    stack.ingest().start()
    stack.commit("--group", "bench-commit").start()
    stack.tool("vote-notify", "--listen", f"127.0.0.1:{port}", "--conflate", "0").start()
    listener, load = Listener(port, "clicked"), start_load(stack)
    try:
        time.sleep(LOAD["lead_seconds"])
        clicked_s = sample(stack, listener, "clicked")
        text = load.communicate(timeout=60)[0]
        assert load.returncode == 0, f"vote-load: {text}"
        moments = list(moments_ms(stack, listener, "clicked", clicked_s))
    finally:
        load.kill()
        listener.close()
    return moments, json.loads(text.strip().splitlines()[-1])["votes_per_second"]


def percentiles(values):
    return [statistics.quantiles(values, n=100)[percent - 1] for percent in (50, 95, 99)]


def bench_pipeline():
    with started_servers(DeployedStack, "votepipe-bench-") as stack:
        moments, sent = measure_pipeline(stack, free_port())
    p50, p95, p99 = percentiles([click[-1] - click[0] for click in moments])
    parts = {name: percentiles([click[at + 1] - click[at] for click in moments]) for at, name in enumerate(PARTS)}
    met = p95 < WANTED["p95_ms"] and sent >= 0.95 * LOAD["rate"]
    print(f"\nFrom a click to another browser's vote:cast, {CLICKS} clicks beside {LOAD['rate']} votes/s on other "
          f"projects (sent {sent}/s):\n  p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms\n  its parts, p50 and p95: "
          + ", ".join(f"{name} {part[0]:.1f} and {part[1]:.1f} ms" for name, part in parts.items())
          + f"\n  p95 {p95:.1f} ms, wanted < {WANTED['p95_ms']} ms{verdict(met)}", flush=True)


def main(round_ms=1000, rounds=3):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench_fanout(round_ms, rounds)
        bench_pipeline()
    except (AssertionError, RuntimeError, subprocess.SubprocessError, requests.RequestException) as error:
        sys.exit(f"bench: {error}{getattr(error, 'stderr', None) or ''}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
