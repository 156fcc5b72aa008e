# fanout.py - one room of many WebSockets: the servers that are compared, and the load.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess

import process
from stack import BIN, ROOT, anonymous_kib, die_with_parent

TEST = os.path.dirname(BIN) + "/test"
PEER = ROOT + "/tests/bench/peers/socketio"
MODULES = ROOT + "/build/socketio-bench"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
NEWS = '42["news",0,"%s"]'  # what Socket.IO makes of a broadcast


def install_peer():
    """The npm packages of package-lock.json, in the build directory; installed again when the lock has changed."""
    os.makedirs(MODULES, exist_ok=True)
    for name in ("package.json", "server.cjs"):
        shutil.copy(f"{PEER}/{name}", MODULES)
    with open(PEER + "/package-lock.json") as file:
        wanted = file.read()
    lock, installed = MODULES + "/package-lock.json", MODULES + "/installed"
    if os.path.exists(installed) and open(installed).read() == wanted:
        return
    shutil.copy(PEER + "/package-lock.json", lock)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=MODULES, check=True, timeout=120,
                   capture_output=True, text=True)
    with open(installed, "w") as file:
        file.write(wanted)


def peer_version():
    """socket.io 1.2.3, ws 1.2.3, node 1.2.3"""
    with open(PEER + "/package-lock.json") as file:
        packages = json.load(file)["packages"]
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip().lstrip("v")
    versions = [f"{name} {packages['node_modules/' + name]['version']}" for name in ("socket.io", "ws")]
    return ", ".join([*versions, f"node {node}"])


def command_of(kind, size):
    if kind == "ours":
        settings = ["--auth-delay", "0", "--ping-interval", "10m", "--ping-timeout", "10m"]
        return [TEST + "/socketio", "--port", "0", *settings]
    if kind == "peer":
        return ["node", MODULES + "/server.cjs"]
    return [TEST + "/raw_fanout", str(len(NEWS % ("x" * (size - 1))))]


def start(command, core):
    def prepare():
        die_with_parent()
        os.sched_setaffinity(0, {core})

    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=prepare)


def line_of(child):
    line = child.stdout.readline().strip()
    assert line, f"{child.args[0]} ended"
    return line


class Fanout:
    """A server on one core, and its room's listeners in one process on the other."""

    def __init__(self, kind, connections, size):
        self.kind, self.connections = kind, connections
        self.children = [start(command_of(kind, size), SERVER_CORE)]
        try:
            self.pid = self.children[0].pid
            port = line_of(self.children[0])
            raw = ["raw"] if kind == "raw" else []
            self.children.append(start([TEST + "/listeners", port, str(connections), str(size), *raw], LOAD_CORE))
            assert line_of(self.children[1]) == "ready"
        except BaseException:
            self.stop()
            raise

    def idle_kib(self):
        """Memory of the server for a connection: all that it has, not only what the connections added."""
        return anonymous_kib(self.pid) / self.connections

    def run(self, run_ms, burst):
        """Broadcasts, `burst` at once and the next as these have reached everybody: figures for a delivery."""
        server_ns, load_ns = (process.processor_ns(child.pid) for child in self.children)
        self.children[1].stdin.write(f"{run_ms} {burst}\n")
        self.children[1].stdin.flush()
        broadcasts, deliveries, size = map(int, line_of(self.children[1]).split())
        assert deliveries == broadcasts * self.connections, f"{deliveries} deliveries of {broadcasts} broadcasts"
        server_ns = process.processor_ns(self.pid) - server_ns
        load_ns = process.processor_ns(self.children[1].pid) - load_ns
        return {"us": server_ns / deliveries / 1000, "per_cpu_second": deliveries / server_ns * 1e9,
                "busy": server_ns / run_ms / 1e6, "load_us": load_ns / deliveries / 1000, "bytes": size / deliveries}

    def stop(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()
