# test_tls.py - Socket.IO over TLS that the transport ends itself: nonsense, clients that do not read, and its ends.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import random
import socket
import ssl
import time

import pytest

from conftest import eventually
from test_noise import changed, settled, stream, throw

RAW_STREAMS, SEALED_STREAMS = 2000, 500
POLL = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def secure(start, certificates):
    return start("--ping-interval", "20s", "--ping-timeout", "20s", certificates=certificates)


def connect(server, certificates):
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    return certificates.trust().wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)


def client_hello(certificates):
    """The first bytes of a connection."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        certificates.trust().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def test_nonsense_before_and_within_tls_changes_nothing(secure, certificates):
    seed = int(os.environ.get("NOISE_SEED", time.time_ns() % 1000000))
    print(f"NOISE_SEED={seed}")
    rng, hello = random.Random(seed), client_hello(certificates)
    before = settled(secure)
    sid = secure.polling_session().encode()
    for _ in range(RAW_STREAMS):
        data = rng.choice((hello, hello[:rng.randrange(len(hello))], changed(rng, hello), rng.randbytes(300), POLL))
        throw(secure, data + rng.choice((b"", rng.randbytes(50), hello))).close()
    for _ in range(SEALED_STREAMS):
        sealed = connect(secure, certificates)
        sealed.sendall(stream(rng, sid))
        sealed.close()
    assert secure.process.poll() is None
    secure.post("1", sid=sid.decode())
    eventually(lambda: settled(secure) == before, timeout=15)
    with secure.connected() as client:
        assert client.call("message-with-ack", "still here") == "still here"


def test_plain_http_is_not_answered(secure):
    with socket.create_connection(("127.0.0.1", secure.port), timeout=5) as plain:
        plain.sendall(POLL)
        assert b"HTTP" not in plain.recv(4096)


def test_messages_over_many_records_come_whole_and_in_order(secure):
    with secure.connected() as client:
        for size in (1, 16383, 16384, 16385, 100_000, 900_000):
            text = "".join(chr(ord("a") + number % 26) for number in range(size))
            assert client.call("message-with-ack", text) == text


def test_who_reads_late_has_all_of_it_in_order(start, certificates):
    server = start("--queue-bytes", "60MiB", "--queue-frames", "20000", "--ping-interval", "20s", certificates=certificates)
    with server.connected() as late, server.connected() as other:
        late.call("join", "room")
        assert other.call("broadcast", "room", 10000, 1000)
        time.sleep(0.5)  # the socket is full long since
        numbers = [json.loads(late.receive()[2:])[1] for _ in range(10000)]
        assert numbers == sorted(numbers) and len(set(numbers)) == 10000


def test_the_end_of_a_refused_connection_is_told_in_tls(secure, certificates):
    with connect(secure, certificates) as client:
        client.sendall(b"nonsense\r\n\r\n")
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400")
        assert client.recv(4096) == b""  # close_notify: a cut would raise


def test_a_client_that_ends_its_side_is_gone(secure, certificates):
    before = settled(secure)
    with connect(secure, certificates) as client:
        client.unwrap()  # has our close_notify: a cut would raise
    eventually(lambda: settled(secure) == before)


def test_a_client_that_is_refused_is_told_why_in_tls(secure):
    with secure.socket() as client:
        client.receive()
        client.send('40{"refuse":true}')
        assert client.receive().startswith("44{")
