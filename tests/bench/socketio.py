#!/usr/bin/python3
"""socketio.py - what a delivery and an idle connection cost lib/socketio, with its test server.

    tests/bench/socketio.py [BINARY]

Broadcasts to WebSocket clients; CPU time is the server's own, of the broadcast calls alone.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import resource
import socket
import subprocess
import sys

BINARY = sys.argv[1] if len(sys.argv) > 1 else "build/test/socketio"
HANDSHAKE = (b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
             b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def send(connection, text):
    """One short text frame, masked with zeros."""
    data = text.encode()
    assert len(data) < 126
    connection.sendall(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)


def read_until(connection, mark):
    data = b""
    while mark not in data:
        piece = connection.recv(1 << 20)
        assert piece, "closed"
        data += piece
    return data


def connect(port, room=None):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(HANDSHAKE)
    read_until(connection, b'"maxPayload"')
    send(connection, "40")
    read_until(connection, b'["auth",{}]')
    if room:
        send(connection, f'421["join","{room}"]')
        read_until(connection, b"431[true]")
    return connection


def memory_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))


def start():
    server = subprocess.Popen([BINARY, "--port", "0", "--ping-interval", "10m", "--ping-timeout", "10m"],
                              stdout=subprocess.PIPE, text=True)
    return server, int(server.stdout.readline())


def measure_broadcast(clients, size, rounds=50, count=20):
    server, port = start()
    listeners = [connect(port, "all") for _ in range(clients)]
    caller = connect(port)
    cpu_ns = deliveries = 0
    for _ in range(rounds):
        send(caller, f'427["broadcast","all",{count},{size}]')
        answer = read_until(caller, b"}]").decode(errors="replace")
        told = json.loads(answer[answer.index("437[") + 3:])[0]
        cpu_ns += told["cpu_ns"]
        deliveries += told["deliveries"]
        for listener in listeners:
            read_until(listener, f'["news",{count - 1},'.encode())
    server.terminate()
    server.wait()
    print(f"broadcast: {clients} clients, {size} bytes: {cpu_ns / deliveries / 1000:.2f} us CPU a delivery "
          f"({deliveries} deliveries)")


def measure_idle(clients):
    server, port = start()
    first = connect(port)
    before = memory_kib(server.pid)
    idle = [connect(port, "all") for _ in range(clients)]
    after = memory_kib(server.pid)
    print(f"idle: {clients} clients in a room: {(after - before) / clients:.2f} KiB a connection")
    for connection in [first, *idle]:
        connection.close()
    server.terminate()
    server.wait()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.pop("http_proxy", None)
    measure_broadcast(1000, 200)
    measure_broadcast(1000, 2000)
    measure_idle(4000)
