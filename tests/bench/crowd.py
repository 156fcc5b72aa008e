# crowd.py - many open browsers in one process: they count what they are told. SPDX-License-Identifier: Apache-2.0
#
# They answer no ping: the server is told to send none.
#
#     crowd.py PORT CLIENTS PROJECT...
#
# Prints "ready" once each has its snapshot, then the number of vote:cast so far after each line of its input.
import base64
import json
import os
import selectors
import socket
import sys
import threading


def frame(text):
    """A masked text frame (RFC 6455 section 5.2), with a mask of zeros."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + data


def upgrade(port):
    key = base64.b64encode(os.urandom(16)).decode()
    return (f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def read_until(connection, mark):
    data = b""
    while mark not in data:
        piece = connection.recv(65536)
        assert piece, data
        data = data[-256:] + piece
    return data


def open_all(port, count, projects):
    connections = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(count)]
    for connection in connections:
        connection.sendall(upgrade(port))
    wish = frame("40") + b"".join(
        frame('42%d["subscribe",%s]' % (number, json.dumps({"project_ids": projects[number * 400:number * 400 + 400]})))
        for number in range((len(projects) + 399) // 400))
    for connection in connections:
        read_until(connection, b"maxPayload")
        connection.sendall(wish)
    for connection in connections:
        read_until(connection, b"43%d[" % ((len(projects) + 399) // 400 - 1))
    return connections


class Counter(threading.Thread):
    """Marks are counted even where a read ends within one."""

    MARK = b'"vote:cast"'

    def __init__(self, connections):
        super().__init__(daemon=True)
        self.count, self.selector = 0, selectors.DefaultSelector()
        for connection in connections:
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, [b""])
        self.start()

    def run(self):
        while True:
            for key, _ in self.selector.select():
                self.take(key.fileobj, key.data)

    def take(self, connection, rest):
        piece = connection.recv(1 << 20)
        if not piece:
            self.selector.unregister(connection)
            return
        data = rest[0] + piece
        self.count += data.count(self.MARK)
        rest[0] = data[-(len(self.MARK) - 1):]


def main(port, count, *projects):
    counter = Counter(open_all(int(port), int(count), projects))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(counter.count, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
