# test_engine.py - Engine.IO protocol v4: what its document's own test suite asks for, and more.
# https://socket.io/docs/v4/engine-io-protocol. SPDX-License-Identifier: Apache-2.0
import json
import signal
import socket as net
import threading
import time

import pytest
import requests
import websocket

from conftest import SEPARATOR, eventually

PATH = "/engine.io/"


def in_background(function):
    """Runs it in a thread; the call returned waits for what it returns."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()

    def wait():
        thread.join(10)
        return result[0]

    return wait


# --- Handshake


def check_handshake(text, upgrades):
    assert text[0] == "0"
    value = json.loads(text[1:])
    assert set(value) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert isinstance(value["sid"], str) and len(value["sid"]) == 20
    assert value["upgrades"] == upgrades
    assert (value["pingInterval"], value["pingTimeout"]) == (300, 200)
    assert value["maxPayload"] == 1000000


def test_polling_opens_a_session(server):
    answer = server.get(path=PATH)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    check_handshake(answer.text, ["websocket"])


def test_a_websocket_opens_a_session(server):
    with server.socket(path=PATH) as socket:
        check_handshake(socket.receive(), [])


@pytest.mark.parametrize("query, code, message", [
    ({"EIO": None}, 5, "Unsupported protocol version"),
    ({"EIO": "abc"}, 5, "Unsupported protocol version"),
    ({"EIO": "3"}, 5, "Unsupported protocol version"),
    ({"transport": None}, 0, "Transport unknown"),
    ({"transport": "abc"}, 0, "Transport unknown"),
    ({"transport": "constructor"}, 0, "Transport unknown"),
    ({"sid": "unknown"}, 1, "Session ID unknown"),
    ({"sid": "x" * 300}, 2, None),
])
def test_a_bad_query_is_answered_as_the_reference_server_does(server, query, code, message):
    answer = server.get(path=PATH, **query)
    if message is None:
        assert answer.status_code in (200, 400)
        return
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"code": code, "message": message}


def test_a_websocket_transport_needs_an_upgrade(server):
    answer = requests.get(f"{server.http}{PATH}?EIO=4&transport=websocket", timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_a_handshake_is_a_get(server, method):
    answer = getattr(requests, method)(server.url(path=PATH), timeout=5)
    assert answer.status_code == 400
    assert answer.json() == {"code": 2, "message": "Bad handshake method"}


@pytest.mark.parametrize("query", [{"EIO": None}, {"EIO": "abc"}, {"sid": "unknown"}])
def test_a_websocket_with_a_bad_query_is_refused_with_400(server, query):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        server.socket(path=PATH, **query)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("query", ["?EIO=4", "?EIO=4&transport=abc", "?EIO=4&transport=polling"])
def test_a_websocket_with_another_transport_is_refused(server, query):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(f"{server.ws}{PATH}{query}", timeout=5)
    assert caught.value.status_code == 400


def test_another_path_is_not_found(server):
    assert requests.get(f"{server.http}/other/?EIO=4&transport=polling", timeout=5).status_code == 404


def test_the_path_may_come_without_its_slash(server):
    assert requests.get(f"{server.http}/engine.io?EIO=4&transport=polling", timeout=5).status_code == 200


# --- CORS


def test_a_listed_origin_may_read_the_answers(start):
    server = start("--cors-origins", "https://a.example,https://b.example")
    headers = {"Origin": "https://b.example"}
    answer = server.get(path=PATH, headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://b.example"
    answer = requests.options(server.url(path=PATH), headers=headers, timeout=5)
    assert answer.status_code == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://b.example"


def test_an_origin_that_is_not_listed_may_not(start):
    server = start("--cors-origins", "https://a.example")
    answer = server.get(path=PATH, headers={"Origin": "https://a.example.evil"})
    assert "Access-Control-Allow-Origin" not in answer.headers


# --- Messages by polling


@pytest.mark.parametrize("payload", [
    "4hello",
    SEPARATOR.join(["4test1", "4test2", "4test3"]),
    "4hello" + SEPARATOR + "bAQIDBA==",
    "4" + "€" * 1000,
    "b",
])
def test_a_payload_comes_back(server, payload):
    sid = server.polling_session(PATH)
    answer = server.post(payload.encode(), path=PATH, sid=sid)
    assert (answer.status_code, answer.text) == (200, "ok")
    answer = server.get(path=PATH, sid=sid)
    assert (answer.status_code, answer.content.decode()) == (200, payload)


def test_a_payload_may_come_in_pieces(server):
    sid = server.polling_session(PATH)
    body = SEPARATOR.join(["4" + "a" * 3000, "4b", "bAQIDBA=="]).encode()
    head = (f"POST {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    with net.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(net.IPPROTO_TCP, net.TCP_NODELAY, 1)
        for piece in (head[:20], head[20:-2], head[-2:], body[:1], body[1:3001], body[3001:3003],
                      body[3003:-1], body[-1:]):
            connection.sendall(piece)
            time.sleep(0.01)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.get(path=PATH, sid=sid).content == body


@pytest.mark.parametrize("payload", ["abc", "", "9", "4a" + SEPARATOR, SEPARATOR, "b*", "bAQIDB=A=", "bA"])
def test_an_invalid_packet_closes_the_session(server, payload):
    sid = server.polling_session(PATH)
    assert server.post(payload.encode(), path=PATH, sid=sid).status_code == 400
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_what_follows_an_invalid_packet_is_not_heard(server):
    before = server.stats()["parse error"]
    sid = server.polling_session()
    server.post((SEPARATOR.join(["40", "x", "40"])).encode(), sid=sid)
    assert server.stats()["parse error"] == before + 1


def test_two_polls_at_once_close_the_session(server):
    sid = server.polling_session(PATH)
    first = in_background(lambda: server.get(path=PATH, sid=sid))
    time.sleep(0.05)
    second = server.get(path=PATH, sid=sid, t="burst")
    assert second.status_code == 400
    assert (first().status_code, first().text) == (200, "1")
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_two_posts_at_once_close_the_session(patient):
    sid = patient.polling_session(PATH)
    with net.create_connection(("127.0.0.1", patient.port)) as slow:
        slow.sendall((f"POST {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
                      "Content-Length: 10\r\n\r\n4abc").encode())
        time.sleep(0.05)
        assert patient.post("4x", path=PATH, sid=sid).status_code == 400
        slow.sendall(b"defghi")
        assert slow.recv(4096).startswith(b"HTTP/1.1 400")
    assert patient.get(path=PATH, sid=sid).status_code == 400


def test_a_poll_that_is_given_up_closes_the_session(patient):
    sid = patient.polling_session(PATH)
    with net.create_connection(("127.0.0.1", patient.port)) as connection:
        connection.sendall(f"GET {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\n"
                           "Host: x\r\n\r\n".encode())
        time.sleep(0.05)
    eventually(lambda: patient.post("4x", path=PATH, sid=sid).status_code == 400)


def test_a_post_that_is_given_up_closes_the_session(patient):
    sid = patient.polling_session(PATH)
    with net.create_connection(("127.0.0.1", patient.port)) as connection:
        connection.sendall(f"POST {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\n"
                           "Host: x\r\nContent-Length: 99\r\n\r\n4abc".encode())
        time.sleep(0.05)
    eventually(lambda: patient.get(path=PATH, sid=sid).status_code == 400)


def test_a_poll_whose_session_ends_before_it_has_come_is_refused(server):
    sid = server.polling_session(PATH)
    with net.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall((f"GET {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
                      "Content-Length: 5\r\n\r\nab").encode())
        eventually(lambda: server.get(path=PATH, sid=sid).status_code == 400)
        slow.sendall(b"cde")
        assert slow.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_request_in_front_of_an_answer_closes_the_connection(patient):
    sid = patient.polling_session(PATH)
    request = f"GET {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with net.create_connection(("127.0.0.1", patient.port), timeout=5) as connection:
        connection.sendall(request)
        time.sleep(0.05)
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    eventually(lambda: patient.post("4x", path=PATH, sid=sid).status_code == 400)


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
                                  b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_what_is_no_http_is_refused(patient, data):
    with net.create_connection(("127.0.0.1", patient.port), timeout=5) as connection:
        connection.sendall(data)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        assert connection.recv(4096) == b""


def test_a_request_that_does_not_come_to_its_end_is_given_up(patient):
    head = f"POST {PATH}?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n".encode()
    starts = (b"", b"GET ", head, head + b"Content-Length: 9\r\n\r\n1234")
    connections = [net.create_connection(("127.0.0.1", patient.port), timeout=30) for _ in starts]
    for connection, start in zip(connections, starts):
        connection.sendall(start)
    for connection in connections:
        while connection.recv(4096):
            pass
        connection.close()


def test_headers_are_bounded(patient):
    answer = patient.get(path=PATH, headers={"Cookie": "x" * 9000})
    assert answer.status_code == 431


def test_a_connection_serves_one_request_after_another(patient):
    with requests.Session() as session:
        sid = json.loads(session.get(patient.url(path=PATH), timeout=5).text[1:])["sid"]
        for number in range(20):
            session.post(patient.url(path=PATH, sid=sid), data=f"4{number}", timeout=5)
            assert session.get(patient.url(path=PATH, sid=sid), timeout=5).text == f"4{number}"
        assert session.get(patient.url(path=PATH, EIO="3"), timeout=5).status_code == 400
        assert session.get(patient.url(path=PATH), timeout=5).status_code == 200


def test_a_post_that_is_too_large_gets_413(patient):
    sid = patient.polling_session(PATH)
    answer = patient.post("4" + "x" * 1000000, path=PATH, sid=sid)
    assert answer.status_code == 413
    answer = patient.post("4" + "x" * 999999, path=PATH, sid=sid)
    assert answer.status_code == 200


def test_a_post_may_come_in_chunks(patient):
    sid = patient.polling_session(PATH)
    assert patient.post(iter([b"4hel", b"lo"]), path=PATH, sid=sid).text == "ok"
    assert patient.get(path=PATH, sid=sid).text == "4hello"


def test_chunks_that_add_up_to_too_much_get_413(start):
    server = start("--max-payload", "10KiB", "--ping-interval", "20s")
    sid = server.polling_session(PATH)
    assert server.post(iter([b"4" + b"x" * 6000] * 2), path=PATH, sid=sid).status_code == 413


# --- Messages by WebSocket


@pytest.mark.parametrize("message", ["4hello", "4", "4" + "x" * 70000, b"\x01\x02\x03\x04", b"", b"\xff" * 70000])
def test_a_websocket_message_comes_back(server, message):
    with server.socket(path=PATH) as socket:
        socket.receive()
        socket.send(message)
        assert socket.receive() == message


def test_fragments_are_joined(server):
    with server.socket(path=PATH) as socket:
        socket.receive()
        frame = websocket.ABNF.create_frame
        socket.socket.send_frame(frame("4he", websocket.ABNF.OPCODE_TEXT, 0))
        socket.socket.ping("between")
        socket.socket.send_frame(frame("l", websocket.ABNF.OPCODE_CONT, 0))
        socket.socket.send_frame(frame("lo", websocket.ABNF.OPCODE_CONT, 1))
        assert socket.receive() == "4hello"


def test_frames_right_behind_the_upgrade_request_are_heard(server):
    request = (f"GET {PATH}?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
    frames = b"".join(websocket.ABNF.create_frame(f"4{n}", websocket.ABNF.OPCODE_TEXT).format() for n in range(3))
    with net.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request + frames)
        data = b""
        while not data.endswith(b"\x81\x0242"):
            data += connection.recv(4096) or pytest.fail(f"closed behind {data}")
    assert data.endswith(b"\x81\x0240\x81\x0241\x81\x0242")


@pytest.mark.parametrize("message", ["abc", "", "8", "b*"])
def test_an_invalid_websocket_packet_closes_the_connection(server, message):
    with server.socket(path=PATH) as socket:
        socket.receive()
        socket.send(message)
        socket.wait_closed(0.4)


def test_a_websocket_message_that_is_too_large_closes_the_connection(patient):
    with patient.socket(path=PATH) as socket:
        socket.receive()
        try:
            socket.send("4" + "x" * 1000001)
        except (ConnectionError, websocket.WebSocketException):
            pass
        socket.wait_closed()


def test_many_messages_come_back_in_order(patient):
    with patient.socket(path=PATH) as socket:
        socket.receive()
        for number in range(2000):
            socket.send(f"4{number}")
        assert [socket.receive() for _ in range(2000)] == [f"4{n}" for n in range(2000)]


# --- Heartbeat


def test_polling_is_pinged(server):
    sid = server.polling_session(PATH)
    for _ in range(3):
        answer = server.get(path=PATH, sid=sid)
        assert (answer.status_code, answer.text) == (200, "2")
        assert server.post("3", path=PATH, sid=sid).status_code == 200


def test_polling_without_a_pong_is_closed(server):
    sid = server.polling_session(PATH)
    time.sleep(0.5)
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_a_server_that_was_held_up_for_a_moment_waits_no_longer_for_a_pong(start):
    server = start("--ping-interval", "1s", "--ping-timeout", "1s")
    opened = time.monotonic()
    sid = server.polling_session(PATH)
    time.sleep(0.9)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    server.process.send_signal(signal.SIGCONT)
    time.sleep(opened + 2.02 - time.monotonic())
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_a_websocket_is_pinged(server):
    with server.socket(path=PATH) as socket:
        socket.answers_pings = False
        socket.receive()
        for _ in range(3):
            assert socket.receive() == "2"
            socket.send("3")


def test_a_websocket_without_a_pong_is_closed(server):
    with server.socket(path=PATH) as socket:
        started = time.monotonic()
        socket.receive()
        socket.wait_closed()
        assert 0.45 < time.monotonic() - started < 1


def test_a_ping_of_the_client_is_an_error(patient):
    with patient.socket(path=PATH) as socket:
        socket.receive()
        socket.send("2")
        socket.wait_closed()


# --- Closing


def test_closing_ends_the_poll_with_a_noop(server):
    sid = server.polling_session(PATH)
    poll = in_background(lambda: server.get(path=PATH, sid=sid))
    time.sleep(0.05)
    assert server.post("1", path=PATH, sid=sid).text == "ok"
    assert (poll().status_code, poll().text) == (200, "6")
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_closing_before_the_poll_ends_the_poll_all_the_same(server):
    sid = server.polling_session(PATH)
    server.post("1", path=PATH, sid=sid)
    answer = server.get(path=PATH, sid=sid)
    assert (answer.status_code, answer.text) == (200, "6")
    assert server.get(path=PATH, sid=sid).status_code == 400


def test_closing_closes_the_websocket(server):
    with server.socket(path=PATH) as socket:
        socket.receive()
        socket.send("1")
        socket.wait_closed(0.4)


# --- Upgrade


def test_polling_is_upgraded_to_a_websocket(server):
    sid = server.polling_session(PATH)
    with server.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        answer = server.get(path=PATH, sid=sid)
        assert (answer.status_code, answer.text) == (200, "6")
        socket.send("5")
        socket.send("4hello")
        assert socket.receive() == "4hello"


def test_the_probe_ends_a_poll_that_is_open(server):
    sid = server.polling_session(PATH)
    poll = in_background(lambda: server.get(path=PATH, sid=sid))
    time.sleep(0.05)
    with server.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        assert poll().text == "6"


def test_after_the_upgrade_requests_are_refused(server):
    sid = server.polling_session(PATH)
    with server.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        socket.send("5")
        assert socket.receive() == "3probe"
        eventually(lambda: server.get(path=PATH, sid=sid).status_code == 400)
        assert server.post("4x", path=PATH, sid=sid).status_code == 400
        socket.send("4hello")
        assert socket.receive() == "4hello"


def test_after_the_upgrade_a_second_websocket_is_closed(server):
    sid = server.polling_session(PATH)
    with server.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        socket.send("5")
        assert socket.receive() == "3probe"
        with server.socket(path=PATH, sid=sid) as second:
            second.wait_closed(0.4)
        socket.send("4hello")
        assert socket.receive() == "4hello"


def test_a_second_probe_is_closed_and_the_first_goes_on(patient):
    sid = patient.polling_session(PATH)
    with patient.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        with patient.socket(path=PATH, sid=sid) as second:
            second.wait_closed()
        socket.send("5")
        socket.send("4hello")
        assert socket.receive() == "4hello"


def test_a_probe_that_goes_away_leaves_polling_as_it_was(patient):
    sid = patient.polling_session(PATH)
    with patient.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
    eventually(lambda: patient.post("4a", path=PATH, sid=sid).text == "ok"
               and patient.get(path=PATH, sid=sid).text == "4a")


def test_a_probe_that_says_something_else_is_closed(patient):
    sid = patient.polling_session(PATH)
    with patient.socket(path=PATH, sid=sid) as socket:
        socket.send("4hello")
        socket.wait_closed()
    patient.post("4a", path=PATH, sid=sid)
    assert patient.get(path=PATH, sid=sid).text == "4a"


def test_a_probe_without_an_upgrade_is_closed_in_time(start):
    server = start("--upgrade-timeout", "200ms", "--ping-interval", "20s")
    sid = server.polling_session(PATH)
    with server.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        socket.wait_closed(2)
    server.post("4a", path=PATH, sid=sid)
    assert server.get(path=PATH, sid=sid).text == "4a"


def test_messages_during_an_upgrade_arrive_once_and_in_order(patient):
    """Messages are echoed by whatever is open while the client changes over."""
    sid = patient.polling_session(PATH)
    came = []
    for number in range(5):
        patient.post(f"4a{number}", path=PATH, sid=sid)
    with patient.socket(path=PATH, sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        came += patient.get(path=PATH, sid=sid).text.split(SEPARATOR)
        for number in range(5):
            patient.post(f"4b{number}", path=PATH, sid=sid)
        socket.send("5")
        for number in range(5):
            socket.send(f"4c{number}")
        while len(came) < 15:
            came.append(socket.receive())
    assert came == [f"4{letter}{number}" for letter in "abc" for number in range(5)]


# --- Limits


def test_more_connections_than_allowed_get_503(start):
    server = start("--max-connections", "2", "--ping-interval", "20s")
    with server.socket(path=PATH), server.socket(path=PATH):
        assert server.get(path=PATH).status_code == 503
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            server.socket(path=PATH)
        assert caught.value.status_code == 503
    eventually(lambda: server.get(path=PATH).status_code == 200)


def test_a_flood_closes_the_connection(start):
    server = start("--flood-limit", "20/10s", "--ping-interval", "20s")
    with server.socket(path=PATH) as socket:
        socket.receive()
        for number in range(20):
            socket.send(f"4{number}")
            assert socket.receive() == f"4{number}"
        socket.send("4more")
        socket.wait_closed()
