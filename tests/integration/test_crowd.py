# test_crowd.py - many connections, slow senders, and more load than fits. SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import http.client
import json
import socket
import statistics
import threading
import time

import pytest

from stack import free_port, wait_until


@pytest.fixture
def own(stack):
    """A vote-ingest of the test's own: own(flags...) returns (tool, its port)."""
    started = []

    def start(*arguments):
        port = free_port()
        started.append(stack.ingest(port, *arguments).start())
        return started[-1], port

    yield start
    for tool in started:
        tool.stop()


def request_bytes(token, project, extra=""):
    body = json.dumps({"project_id": project, "vote_type": "up", "toggle": False})
    return (f"POST /api/votes HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{extra}\r\n{body}").encode()


def vote_over(connection, token, project):
    """One vote over a kept connection: status and seconds."""
    began = time.monotonic()
    connection.request("POST", "/api/votes", json.dumps({"project_id": project, "vote_type": "up", "toggle": False}),
                       {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.monotonic() - began


def p99_of_votes(port, token, project, count=300):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    votes = [vote_over(connection, token, project) for _ in range(count)]
    connection.close()
    assert {status for status, _ in votes} == {202}
    return statistics.quantiles([seconds for _, seconds in votes], n=100)[98]


def memory_bytes(tool):
    for line in open(f"/proc/{tool.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


class Crowd:
    """1,000 idle keep-alive connections, each of which was used once, and 200 that send a byte a second."""

    def __init__(self, port, token, project):
        self.idle = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(1000)]
        for connection in self.idle:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: t\r\nIf-None-Match: x\r\n\r\n")
        for connection in self.idle:
            assert connection.recv(12) == b"HTTP/1.1 200"
        self.slow = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(200)]
        self.bytes, self.stopped = request_bytes(token, project), threading.Event()
        self.thread = threading.Thread(target=self.drip)
        self.thread.start()

    def drip(self):
        for position in range(len(self.bytes)):
            for connection in self.slow:
                try:
                    connection.send(self.bytes[position:position + 1])
                except OSError:
                    pass  # the service may have had enough of it
            if self.stopped.wait(1):
                return

    def close(self):
        self.stopped.set()
        self.thread.join()
        for connection in self.idle + self.slow:
            connection.close()


def test_idle_and_slow_connections_do_not_stop_the_others(stack, project, token, own):
    tool, port = own()
    p99_of_votes(port, token, project, 50)  # warm
    quiet = p99_of_votes(port, token, project)
    crowd = Crowd(port, token, project)
    try:
        # The best of three: a busy test machine may hold up any single vote, starvation holds up all.
        crowded = min(p99_of_votes(port, token, project) for _ in range(3))
        assert memory_bytes(tool) < 256 * 1024 * 1024
    finally:
        crowd.close()
    assert crowded < max(5 * quiet, 0.1), (quiet, crowded)


def test_more_votes_than_can_be_carried_get_503_at_once(stack, project, token, own):
    tool, port = own("--max-in-flight", "8", "--kafka-timeout", "10s")
    p99_of_votes(port, token, project, 5)
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(40)]
    stack.signal_server("kafka", "STOP")  # votes in hand stay in hand
    try:
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            votes = [pool.submit(vote_over, c, token, project) for c in connections]
            wait_until(lambda: sum(v.done() for v in votes) == 32, 5, "the refusals")
            refused = [v.result() for v in votes if v.done()]
            assert {status for status, _ in refused} == {503} and max(seconds for _, seconds in refused) < 2
            stack.signal_server("kafka", "CONT")
            assert sorted(v.result()[0] for v in votes) == [202] * 8 + [503] * 32
    finally:
        stack.signal_server("kafka", "CONT")
        for connection in connections:
            connection.close()
    assert p99_of_votes(port, token, project, 5) < 5  # and the next one works


def read_answers(connection, count):
    """The status codes of `count` answers, in order."""
    statuses, data = [], b""
    while len(statuses) < count:
        head, gap, rest = data.partition(b"\r\n\r\n")
        size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        if gap and len(rest) >= size:
            statuses.append(int(head.split(b" ")[1]))
            data = rest[size:]
            continue
        more = connection.recv(65536)
        assert more, (statuses, data)
        data += more
    assert not data
    return statuses


def test_pipelined_requests_are_answered_in_order_within_bounds(stack, project, token, own):
    tool, port = own()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        some = b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n" + request_bytes(token, project) + b"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n"
        sender = threading.Thread(target=connection.sendall, args=(some * 200,))  # more than is taken ahead
        sender.start()
        assert len(some * 200) > 65536
        statuses = read_answers(connection, 600)
        sender.join()
    assert statuses[0::3] == [200] * 200 and statuses[2::3] == [404] * 200 and set(statuses[1::3]) <= {202, 429} and 202 in statuses


def test_who_does_not_read_is_not_written_for(stack, project, token, own):
    tool, port = own()
    p99_of_votes(port, token, project, 5)
    before = memory_bytes(tool)
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(50)]
    for connection in connections:
        connection.setblocking(False)
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: t\r\n\r\n" * 2000  # 50 times 2,000 answers of some 30 KiB
    try:
        for connection in connections:
            connection.send(asked)
        time.sleep(2)
        # Kept for all of them it would be 3 GiB; a build with a sanitizer frees memory late.
        assert memory_bytes(tool) - before < 512 * 1024 * 1024
        assert p99_of_votes(port, token, project, 5) < 5
    finally:
        for connection in connections:
            connection.close()


def seconds_until_closed(connection, began):
    connection.settimeout(60)
    answer = b""
    while more := connection.recv(65536):
        answer += more
    return time.monotonic() - began, answer


def test_a_silent_connection_is_closed(stack, token, project, own):
    """Without a whole request after 10 s, between two of them after 30 s."""
    tool, port = own()
    whole = request_bytes(token, project)
    sent = {"nothing": b"", "half a head": whole[:30], "half a body": whole[:-5], "a request": b"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n"}
    began = time.monotonic()
    connections = {name: socket.create_connection(("127.0.0.1", port), 30) for name in sent}
    for name, connection in connections.items():
        connection.sendall(sent[name])
    ends = {name: seconds_until_closed(connection, began) for name, connection in connections.items()}
    assert {name: seconds >= (29 if name == "a request" else 9) for name, (seconds, _) in ends.items()} == dict.fromkeys(sent, True)
    assert ends["nothing"][1] == ends["half a head"][1] == b""
    assert ends["half a body"][1].startswith(b"HTTP/1.1 400 ") and ends["a request"][1].startswith(b"HTTP/1.1 404 ")


def test_who_waits_to_be_invited_is(stack, token, project, own):
    tool, port = own()
    head, body = request_bytes(token, project, "Expect: 100-continue\r\n").split(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_answers(connection, 1) == [202]
