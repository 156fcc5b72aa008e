# test_socket.py - Socket.IO protocol v5: what its document's own test suite asks for, and more.
# https://socket.io/docs/v4/socket-io-protocol. SPDX-License-Identifier: Apache-2.0
import json
import time

import pytest

from conftest import SEPARATOR, eventually

PLACEHOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.fixture
def socket(server):
    with server.connected() as socket:
        yield socket


def open_engine(server):
    socket = server.socket()
    socket.receive()
    return socket


# --- Connecting


@pytest.mark.parametrize("packet, prefix, auth", [
    ("40", "", "{}"),
    ('40{"token":"123"}', "", '{"token":"123"}'),
    ("40/custom,", "/custom,", "{}"),
    ("40/custom", "/custom,", "{}"),
    ('40/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}'),
])
def test_a_client_joins_a_namespace(server, packet, prefix, auth):
    with open_engine(server) as socket:
        socket.send(packet)
        answer = socket.receive()
        assert answer.startswith("40" + prefix)
        handshake = json.loads(answer[len("40" + prefix):])
        assert list(handshake) == ["sid"] and len(handshake["sid"]) == 20
        assert socket.receive() == f'42{prefix}["auth",{auth}]'


def test_the_socket_id_is_not_the_secret_session_id(server):
    with server.socket() as socket:
        session = json.loads(socket.receive()[1:])["sid"]
        socket.send("40")
        assert json.loads(socket.receive()[2:])["sid"] != session


def test_an_unknown_namespace_is_refused(server):
    with open_engine(server) as socket:
        socket.send("40/random")
        assert socket.receive() == '44/random,{"message":"Invalid namespace"}'


def test_the_application_refuses_with_a_message_and_data(server):
    with open_engine(server) as socket:
        socket.send('40{"refuse":true}')
        assert socket.receive() == '44{"message":"refused","data":{"code":7}}'
        socket.send("40")
        assert socket.receive().startswith('40{"sid":')


@pytest.mark.parametrize("packet", ["4abc", "4", "47", "40[]", '40"text"', "40{", '44{"message":"x"}',
                                    '42["too early"]', "41", "43[]"])
def test_an_invalid_handshake_closes_the_connection(patient, packet):
    with open_engine(patient) as socket:
        socket.send(packet)
        socket.wait_closed(1)


def test_a_client_in_no_namespace_is_closed_in_time(server):
    with open_engine(server) as socket:
        started = time.monotonic()
        while socket.receive() is not None:
            pass
        assert 0.9 < time.monotonic() - started < 2


def test_a_client_that_was_refused_is_closed_in_time(server):
    with open_engine(server) as socket:
        socket.send("40/random")
        socket.receive()
        assert socket.receive() is None


def test_a_second_connect_closes_the_connection(patient):
    with patient.connected() as socket:
        socket.send("40")
        socket.wait_closed(1)


def test_a_packet_for_a_namespace_not_joined_closes_the_connection(patient):
    with patient.connected() as socket:
        socket.send('42/custom,["message"]')
        socket.wait_closed(1)


# --- Leaving


def test_leaving_the_last_namespace_closes_the_connection_in_time(server, socket):
    socket.send("41")
    started = time.monotonic()
    while socket.receive() is not None:
        pass
    assert time.monotonic() - started < 2


def test_leaving_one_namespace_leaves_the_other(server, socket):
    socket.send("40/custom")
    assert socket.receive().startswith("40/custom,")
    assert socket.receive() == '42/custom,["auth",{}]'
    socket.send("41/custom")
    socket.send('42["message","to the main namespace"]')
    assert socket.receive() == '42["message-back","to the main namespace"]'


def test_a_namespace_can_be_joined_again(server, socket):
    for _ in range(3):
        socket.send("40/custom")
        assert socket.receive().startswith("40/custom,")
        socket.receive()
        socket.send("41/custom,")
    socket.send('42["message"]')
    assert socket.receive() == '42["message-back"]'


def test_the_server_disconnects_a_socket(patient):
    with patient.connected() as socket:
        socket.send('42["disconnect-me"]')
        assert socket.receive() == "41"
        socket.send("40")
        assert socket.receive().startswith('40{"sid"')


def test_the_server_closes_a_connection(patient):
    with patient.connected() as socket:
        socket.send('42["close-me"]')
        socket.wait_closed(1)


# --- Events


@pytest.mark.parametrize("args", ['1,"2",{"3":[true]}', "", "1e3", ' 1 , [ ] ', '"\\u20ac\\"\\\\"', '"\\u0000"',
                                  "null", '{"_placeholder":false,"num":9}'])
def test_an_event_comes_back_with_the_same_text(socket, args):
    socket.send('42["message"' + ("," + args if args else "") + "]")
    assert socket.receive() == '42["message-back"' + ("," + args.rstrip(" ") if args else "") + "]" or \
        args != args.rstrip(" ")


@pytest.mark.parametrize("name", ['"mess\\u0061ge"', ' "message" '])
def test_an_event_name_may_be_written_in_other_ways(socket, name):
    socket.send(f"42[{name},1]")
    assert socket.receive() == '42["message-back",1]'


def test_an_event_goes_to_its_namespace(server):
    with server.connected("/custom") as socket:
        socket.send('42/custom,["message",1]')
        assert socket.receive() == '42/custom,["message-back",1]'


def test_attachments_come_back(socket):
    socket.send(f'452-["message",{PLACEHOLDERS}]')
    socket.send(b"\x01\x02\x03")
    socket.send(b"\x04\x05\x06")
    assert socket.receive() == f'452-["message-back",{PLACEHOLDERS}]'
    assert socket.receive() == b"\x01\x02\x03"
    assert socket.receive() == b"\x04\x05\x06"


def test_placeholders_may_be_nested(socket):
    event = '{"a":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":0}'
    socket.send(f'451-["message",{event}]')
    socket.send(b"")
    assert socket.receive() == f'451-["message-back",{event}]'
    assert socket.receive() == b""


def test_a_binary_event_without_attachments_is_a_plain_one(socket):
    socket.send('450-["message",1]')
    assert socket.receive() == '42["message-back",1]'


def test_an_event_is_acknowledged(socket):
    socket.send('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert socket.receive() == '43456[1,"2",{"3":[false]}]'


def test_an_event_with_attachments_is_acknowledged(socket):
    socket.send(f'452-789["message-with-ack",{PLACEHOLDERS}]')
    socket.send(b"\x01\x02\x03")
    socket.send(b"\x04\x05\x06")
    assert socket.receive() == f"462-789[{PLACEHOLDERS}]"
    assert socket.receive() == b"\x01\x02\x03"
    assert socket.receive() == b"\x04\x05\x06"


@pytest.mark.parametrize("packet", [
    "4abc", "42{}", "42", "42[]", "42[null]", "42[{}]", '42"x"', "42[1", '42abc["message-with-ack",1]',
    '42["connect"]', '42["disconnect"]', '42["connect_error"]', '42["message"]x', "43[]", "43", "431{}",
    '45["message"]', '45x-["message"]', '451["message"]', '4565-["message"]', '41{"x":1}',
    '429007199254740992["message"]', '42["message",' + "[" * 100 + "]" * 100 + "]", "46-1[]",
    b"\x01\x02",
])
def test_an_invalid_packet_closes_the_connection(patient, packet):
    with patient.connected() as socket:
        socket.send(packet)
        socket.wait_closed(1)


@pytest.mark.parametrize("event", ['{"_placeholder":true,"num":1}', '{"_placeholder":true,"num":-1}',
                                   '{"_placeholder":true}', '{"_placeholder":true,"num":"0"}'])
def test_a_placeholder_without_its_attachment_closes_the_connection(patient, event):
    with patient.connected() as socket:
        socket.send(f'451-["message",{event}]')
        socket.send(b"x")
        socket.wait_closed(1)


def test_text_between_attachments_closes_the_connection(patient):
    with patient.connected() as socket:
        socket.send(f'452-["message",{PLACEHOLDERS}]')
        socket.send(b"x")
        socket.send('42["message"]')
        socket.wait_closed(1)


def test_attachments_are_bounded_together(start):
    server = start("--max-payload", "10KiB", "--ping-interval", "20s")
    with server.connected() as socket:
        socket.send('4560-["message"]')
        for _ in range(3):
            socket.send(b"x" * 9000)
        socket.wait_closed(1)


# --- The server asks


def test_the_client_answers_a_question_of_the_server(socket):
    socket.send('42["ask",1]')
    assert socket.receive() == '420["question",1]'
    socket.send("430[2,3]")
    assert socket.receive() == '42["answered",2,3]'


def test_a_question_without_an_answer_times_out(patient):
    with patient.connected() as socket:
        socket.send('42["ask"]')
        assert socket.receive() == '420["question"]'
        assert socket.receive() == '42["answered",null]'
        socket.send("430[]")
        socket.send('42["message"]')
        assert socket.receive() == '42["message-back"]'


def test_an_answer_that_was_not_asked_for_is_ignored(socket):
    socket.send("4377[1]")
    socket.send('42["message"]')
    assert socket.receive() == '42["message-back"]'


# --- Rooms


def test_a_broadcast_reaches_the_room_and_nobody_else(patient):
    with patient.connected() as inside, patient.connected() as left, patient.connected() as outside:
        assert inside.call("join", "room") is True
        assert inside.call("join", "room") is False
        assert left.call("join", "room") is True
        assert left.call("leave", "room") is True
        assert left.call("leave", "room") is False
        assert outside.call("broadcast", "room", 2, 5)["deliveries"] == 2
        assert inside.receive() == '42["news",0,"xxxx"]'
        assert inside.receive() == '42["news",1,"xxxx"]'
        for other in (left, outside):
            other.send('42["message"]')
            assert other.receive() == '42["message-back"]'


def test_rooms_of_two_namespaces_are_apart(patient):
    with patient.connected() as main, patient.connected("/custom") as custom:
        assert main.call("join", "same") is True
        custom.send('42/custom,1["join","same"]')
        assert custom.receive() == "43/custom,1[true]"
        assert main.call("broadcast", "same", 1, 1)["deliveries"] == 1


def test_a_room_ends_with_its_last_member(patient):
    def counts():
        stats = patient.stats()
        return stats["rooms"], stats["memberships"]

    before = counts()
    with patient.connected() as one, patient.connected() as two:
        one.call("join", "passing")
        two.call("join", "passing")
        assert counts() == (before[0] + 1, before[1] + 2)
    eventually(lambda: counts() == before)


# --- Polling


def test_polling_carries_events_and_attachments(patient):
    sid = patient.polling_session()
    patient.post("40", sid=sid)
    connect, auth = patient.get(sid=sid).text.split(SEPARATOR)
    assert connect.startswith('40{"sid"') and auth == '42["auth",{}]'
    body = SEPARATOR.join([f'452-["message",{PLACEHOLDERS}]', "bAQID", "bBAUG"])
    assert patient.post(body, sid=sid).text == "ok"
    assert patient.get(sid=sid).text == body.replace("message", "message-back")


def test_a_socket_outlives_the_upgrade(patient):
    sid = patient.polling_session()
    patient.post("40", sid=sid)
    patient.get(sid=sid)
    before = patient.stats()["upgraded"]
    with patient.socket(sid=sid) as socket:
        socket.send("2probe")
        assert socket.receive() == "3probe"
        socket.send("5")
        assert socket.call("message-with-ack", 5) == 5
        assert patient.stats()["upgraded"] == before + 1


# --- Slow clients


def test_a_newer_value_replaces_one_that_waits(start):
    """A client that does not read gets the newest value of each key, not each value."""
    server = start("--ping-interval", "20s")
    with server.connected() as socket:
        socket.send('421["counts",4000,20000,4]')
        time.sleep(0.5)
        numbers = []
        while True:
            message = socket.receive()
            if message == "431[true]":
                break
            numbers.append(json.loads(message[2:])[1])
        assert sorted(numbers)[-4:] == [3996, 3997, 3998, 3999]
        assert len(numbers) < 3000
        assert server.stats()["conflated"] == 4000 - len(numbers)


def test_a_slow_client_is_closed_and_the_others_do_not_wait(start_both):
    server = start_both("--queue-bytes", "100KiB", "--ping-interval", "20s")
    with server.connected() as slow, server.connected() as fast:
        slow.call("join", "room")
        for _ in range(40):
            assert fast.call("broadcast", "room", 50, 5000)["cpu_ns"] > 0
        assert fast.call("stats")["slow client"] == 1
        assert fast.call("stats")["queued_bytes"] == 0


def test_a_queue_has_a_bound_in_frames_too(start):
    server = start("--queue-frames", "10", "--ping-interval", "20s")
    with server.connected() as slow, server.connected() as fast:
        slow.call("join", "room")
        fast.call("broadcast", "room", 2000, 20000)
        eventually(lambda: fast.call("stats")["slow client"] == 1)


# --- The end


def test_a_stopping_server_closes_its_clients_and_leaves(start):
    server = start("--ping-interval", "20s")
    polling = server.polling_session()
    sockets = [server.connected() for _ in range(20)]
    server.terminate()
    started = time.monotonic()
    for socket in sockets:
        socket.wait_closed()
    assert server.get(sid=polling).text == "1"
    server.process.wait(5)
    assert time.monotonic() - started < 4


def test_a_stopping_server_takes_nobody_in(start):
    server = start("--ping-interval", "20s")
    polling = server.polling_session()
    server.terminate()
    eventually(lambda: server.get().status_code == 503)
    assert server.get(sid=polling).text == "1"
