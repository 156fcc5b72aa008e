# test_deflate.py - messages that are compressed on their way (RFC 7692). SPDX-License-Identifier: Apache-2.0
import json
import os
import struct
import zlib

import pytest
import websocket
from websocket import ABNF

PATH = "/engine.io/"
OFFER = "permessage-deflate; client_max_window_bits"
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TAIL = b"\x00\x00\xff\xff"
MAX_PAYLOAD = 1000000


@pytest.fixture
def compressing(start):
    return start("--permessage-deflate", "64B", "--ping-interval", "10s")


def opened(server, offer):
    """A WebSocket behind its open packet, and what was answered to the offer."""
    header = [f"Sec-WebSocket-Extensions: {offer}"] if offer else []
    socket = websocket.create_connection(server.url(path=PATH, transport="websocket"), timeout=5, header=header)
    answer = socket.getheaders().get("sec-websocket-extensions")
    received(socket)
    return socket, answer


def frame(socket):
    """The next frame's first byte, and its payload."""
    stream = socket.sock.makefile("rb", buffering=0)

    def read(size):
        data = b""
        while len(data) < size:
            data += stream.read(size - len(data)) or pytest.fail(f"closed within {data}")
        return data

    first, size = read(2)
    if size > 125:
        size = int.from_bytes(read(2 if size == 126 else 8), "big")
    return first, read(size)


def received(socket):
    """The next message and whether it came compressed."""
    first, data = frame(socket)
    assert first & 0xbf in (0x80 | ABNF.OPCODE_TEXT, 0x80 | ABNF.OPCODE_BINARY), data
    is_compressed = bool(first & 0x40)
    return zlib.decompressobj(-15).decompress(data + TAIL) if is_compressed else data, is_compressed


def compressed(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert packed.endswith(TAIL)
    return packed[:-len(TAIL)]


def send_raw(socket, data, opcode=ABNF.OPCODE_TEXT, rsv1=1, fin=1):
    """One frame, masked with zeros."""
    size = struct.pack("!BH", 0x80 | 126, len(data)) if 125 < len(data) < 65536 else bytes([0x80 | len(data)])
    socket.sock.sendall(bytes([fin << 7 | rsv1 << 6 | opcode]) + size + bytes(4) + data)


def close_code(socket):
    first, data = frame(socket)
    assert first == 0x80 | ABNF.OPCODE_CLOSE, data
    return struct.unpack("!H", data[:2])[0]


def test_it_is_off_unless_asked_for(server):
    assert opened(server, OFFER)[1] is None


@pytest.mark.parametrize("offer, taken", [
    (OFFER, True), ("permessage-deflate", True), ("x-other, permessage-deflate", True),
    ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
    ("permessage-deflate; server_max_window_bits=15; client_max_window_bits=12", True),
    ("permessage-deflate; server_max_window_bits=10", False), ("permessage-deflate; unheard_of", False),
    ("permessage-deflate2", False), (";,;", False), (None, False)])
def test_an_offer_is_taken_if_it_can_be(compressing, offer, taken):
    assert opened(compressing, offer)[1] == (ANSWER if taken else None)


def test_a_compressed_message_comes_back_compressed(compressing):
    socket, _ = opened(compressing, OFFER)
    message = b"4" + json.dumps([{"project_id": f"p{n}", "upvotes": n} for n in range(300)]).encode()
    send_raw(socket, compressed(message))
    assert received(socket) == (message, True)


def test_a_small_message_or_one_that_does_not_shrink_is_sent_as_it_is(compressing):
    socket, _ = opened(compressing, OFFER)
    noise = os.urandom(5000)
    send_raw(socket, compressed(b"4small"))
    assert received(socket) == (b"4small", False)
    socket.send_binary(noise)
    assert received(socket) == (noise, False)


def test_a_compressed_message_may_come_in_fragments(compressing):
    socket, _ = opened(compressing, OFFER)
    packed = compressed(b"4" + b"fragment " * 100)
    send_raw(socket, packed[:7], fin=0)
    send_raw(socket, packed[7:], opcode=ABNF.OPCODE_CONT, rsv1=0)
    assert received(socket) == (b"4" + b"fragment " * 100, True)


def test_a_last_block_may_end_a_message(compressing):
    socket, _ = opened(compressing, OFFER)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"4last") + packer.flush(zlib.Z_FINISH)
    send_raw(socket, packed + b"\x00")
    assert received(socket) == (b"4last", False)


def test_a_message_that_grows_too_large_is_refused(compressing):
    socket, _ = opened(compressing, OFFER)
    send_raw(socket, compressed(b"4" * (MAX_PAYLOAD + 1)))
    assert close_code(socket) == 1009


def test_a_message_of_the_largest_size_is_taken(compressing):
    socket, _ = opened(compressing, OFFER)
    send_raw(socket, compressed(b"4" * MAX_PAYLOAD))
    assert received(socket) == (b"4" * MAX_PAYLOAD, True)


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x07not deflate"])
def test_what_does_not_inflate_is_refused(compressing, data):
    socket, _ = opened(compressing, OFFER)
    send_raw(socket, data)
    assert close_code(socket) == 1002


def test_what_was_not_agreed_on_is_refused(compressing):
    socket, _ = opened(compressing, None)
    send_raw(socket, compressed(b"4hello"))
    assert close_code(socket) == 1002


def test_a_fragment_that_goes_on_says_it_no_more(compressing):
    socket, _ = opened(compressing, OFFER)
    send_raw(socket, b"abc", fin=0)
    send_raw(socket, b"def", opcode=ABNF.OPCODE_CONT)
    assert close_code(socket) == 1002
