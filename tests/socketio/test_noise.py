# test_noise.py - ten thousand streams of nonsense, after which the server serves as before and has
# kept nothing of them. SPDX-License-Identifier: Apache-2.0
import os
import random
import socket
import time

from conftest import SEPARATOR, eventually

STREAMS = 10000
AT_ONCE = 50
BOUND_S = 60

PIECES = [
    b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    b"GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /engine.io/?EIO=4&transport=websocket&sid=%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n",
    b"\x81\x82\x00\x00\x00\x0040", b"\x81\x81\x00\x00\x00\x005", b"\x81\x86\x00\x00\x00\x002probe",
    b"\x81\xfe\xff\xff", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01\x80\x00\x00\x00\x00",
    b"\x89\xff", b"\x88\x80\x00\x00\x00\x00", b"\xc1\x85\x00\x00\x00\x00", b'42["message",1]',
    b'452-["message"]', b"bAQID", SEPARATOR.encode(), b"\r\n", b"\r\n\r\n", b"x" * 9000,
]


PACKETS = [b"40", b"40/custom,", b"41", b'42["message",1]', b'420["message-with-ack",{"a":[1]}]', b'42["join","r"]',
           b'42["broadcast","r",3,100]', b'452-["message",{"_placeholder":true,"num":0}]', b'42["ask"]', b"430[1]",
           b"3", b"1", b"5", b"2probe", b"6", b"bAQID", b"4", b'42["stats"]', b'42["close-me"]', b'42["disconnect-me"]']


def changed(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def frame(rng, opcode, data):
    """A masked frame of fewer than 126 bytes, at times said to be compressed; the mask is zeros."""
    return bytes([rng.choice((0x80, 0x80, 0x80, 0xc0, 0)) | opcode, 0x80 | len(data), 0, 0, 0, 0]) + data


def conversation(rng):
    """A WebSocket whose frames are well-formed, and their packets mostly."""
    offer = rng.choice((b"", OFFER))
    data = PIECES[1][:-2] + offer + b"\r\n" + frame(rng, 1, b"40")
    for _ in range(rng.randrange(1, 12)):
        packet = rng.choice(PACKETS)
        data += frame(rng, rng.choice((1, 1, 1, 1, 2, 0, 9, 10, 8)),
                      changed(rng, packet) if rng.random() < 0.2 else packet)
    return data


def stream(rng, sid):
    """Pieces that make sense and bytes that do not, some of them changed."""
    if rng.random() < 0.4:
        return conversation(rng)
    data = b""
    for _ in range(rng.randrange(1, 6)):
        piece = rng.choice(PIECES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 200))
        data += piece.replace(b"%s", sid)
    return changed(rng, data) if rng.random() < 0.3 else data


def throw(server, data):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=2)
    connection.setblocking(False)
    try:
        connection.send(data)
    except OSError:
        pass
    return connection


def settled(server):
    stats = server.stats()
    return {name: stats[name] for name in ("descriptors", "polling", "websocket", "engine", "sockets", "rooms",
                                           "queued_frames", "queued_bytes")}


def test_nonsense_changes_nothing(start):
    seed = int(os.environ.get("NOISE_SEED", time.time_ns() % 1000000))
    print(f"NOISE_SEED={seed}")
    rng = random.Random(seed)
    server = start("--permessage-deflate", "1B")
    before = settled(server)
    sid = server.polling_session().encode()
    started, connections = time.monotonic(), []
    for number in range(STREAMS):
        connections.append(throw(server, stream(rng, sid)))
        if len(connections) == AT_ONCE:
            connections.pop(rng.randrange(AT_ONCE)).close()
        if number % 500 == 0:
            sid = server.polling_session().encode()
    for connection in connections:
        connection.close()
    assert server.process.poll() is None
    eventually(lambda: settled(server) == before, timeout=15)
    assert time.monotonic() - started < BOUND_S
    assert server.stats()["opened"] > STREAMS / 10
    with server.connected() as client:
        assert client.call("message-with-ack", "still here") == "still here"
