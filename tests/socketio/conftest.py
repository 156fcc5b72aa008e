# conftest.py - the test server, and the small clients that speak to it by hand.
# SPDX-License-Identifier: Apache-2.0
import functools
import json
import os
import signal
import subprocess
import time

import pytest
import requests
import websocket
from secured import Certificates

BINARY = os.environ.get("SOCKETIO_SERVER", "build/test/socketio")
SEPARATOR = "\x1e"


class Server:
    """One test server; stopping it checks that it ends by itself and without a sanitizer's report."""

    def __init__(self, *options, certificates=None):
        tls = certificates.flags if certificates else []
        self.ca = certificates and certificates.ca
        self.process = subprocess.Popen([BINARY, "--port", "0", "--auth-delay", "0", *tls, *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.is_stopping = False
        self.port = int(self.process.stdout.readline())
        self.http = f"http{'s' if certificates else ''}://127.0.0.1:{self.port}"
        self.ws = f"ws{'s' if certificates else ''}://127.0.0.1:{self.port}"

    def terminate(self):
        """Asks it to stop, once: a second signal would end it in the middle."""
        if not self.is_stopping and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.is_stopping = True

    def stop(self):
        self.terminate()
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors

    def url(self, path="/socket.io/", transport="polling", sid=None, **query):
        query = {"EIO": "4", "transport": transport, "sid": sid, **query}
        words = [f"{key}={value}" for key, value in query.items() if value is not None]
        return f"{self.ws if transport == 'websocket' else self.http}{path}?{'&'.join(words)}"

    def get(self, timeout=5, headers=None, **query):
        return requests.get(self.url(**query), timeout=timeout, headers=headers, verify=self.ca)

    def post(self, body, timeout=5, headers=None, **query):
        return requests.post(self.url(**query), data=body, timeout=timeout, headers=headers, verify=self.ca)

    def polling_session(self, path="/socket.io/"):
        answer = self.get(path=path)
        assert answer.status_code == 200 and answer.text[0] == "0"
        return json.loads(answer.text[1:])["sid"]

    def socket(self, path="/socket.io/", sid=None, **query):
        return Socket(self.url(path=path, transport="websocket", sid=sid, **query), ca=self.ca)

    def stats(self):
        with self.connected() as socket:
            return socket.call("stats")

    def connected(self, namespace="", auth=""):
        """A WebSocket that is in a namespace, its `auth` event read."""
        socket = self.socket()
        socket.receive()
        socket.send("40" + (namespace + "," if namespace else "") + auth)
        socket.receive()
        socket.receive()
        return socket


class Socket:
    """A WebSocket; pings are answered unless asked otherwise."""

    def __init__(self, url, answers_pings=True, timeout=5, ca=None):
        self.socket = websocket.create_connection(url, timeout=timeout, sslopt={"ca_certs": ca} if ca else None)
        self.answers_pings = answers_pings
        self.next_ack = 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, text):
        if isinstance(text, bytes):
            self.socket.send_binary(text)
        else:
            self.socket.send(text)

    def receive(self, timeout=5):
        """The next message; None when the connection has been closed."""
        self.socket.settimeout(timeout)
        while True:
            try:
                opcode, data = self.socket.recv_data()
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                return None
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return None
            if opcode == websocket.ABNF.OPCODE_BINARY:
                return bytes(data)
            text = data.decode()
            if text != "2" or not self.answers_pings:
                return text
            self.send("3")

    def call(self, event, *args):
        """Emits with an acknowledgement and returns its first argument; other events are skipped."""
        self.next_ack += 1
        self.send(f"42{self.next_ack}" + json.dumps([event, *args]))
        while True:
            message = self.receive()
            assert message is not None, "closed before the acknowledgement"
            if isinstance(message, str) and message.startswith(f"43{self.next_ack}["):
                return json.loads(message[len(f"43{self.next_ack}"):])[0]

    def wait_closed(self, timeout=5):
        self.answers_pings = False
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.receive(timeout) is None:
                return
        raise AssertionError("still open")

    def close(self):
        self.socket.close()


def eventually(what, timeout=10):
    """Waits until `what` returns something true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(str(tmp_path_factory.mktemp("certificates")))


@pytest.fixture(scope="session")
def server():
    """With the settings of the protocol documents' suites."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def patient():
    """With pings so far apart that they do not get in the way."""
    server = Server("--ping-interval", "20s", "--ping-timeout", "20s")
    yield server
    server.stop()


@pytest.fixture
def start():
    """Starts servers with options of their own."""
    servers = []

    def launch(*options, **tls):
        servers.append(Server(*options, **tls))
        return servers[-1]

    yield launch
    for server in servers:
        server.stop()


@pytest.fixture(params=["plain", "TLS"])
def start_both(request, start, certificates):
    """As `start`, for a test that is to hold without TLS and with it."""
    return functools.partial(start, certificates=certificates if request.param == "TLS" else None)
