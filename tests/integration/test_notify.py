# test_notify.py - what open browsers are told. SPDX-License-Identifier: Apache-2.0
import datetime
import json
import os
import random
import signal
import socket
import statistics
import threading
import time
import uuid

import pytest
import requests
import socketio
import websocket

from asyncapi import check_event
from browser import Browser
from stack import BIN, SECRET, free_port, wait_until
from topics import produce, wait_applied


def hello(token):
    return "40" + (json.dumps({"token": token}) if token else "")


class Wire(Browser):
    """The same over the bare protocol, in the order of the wire, which the client above does not keep: it has a thread for
    each message."""

    def __init__(self, url, transport="websocket", token=None):
        self.events, self.closed, self.asked = [], 0, False
        self.session, self.url = requests.Session(), url + "/socket.io/?EIO=4&transport="
        if transport == "websocket":
            self.socket = websocket.create_connection(self.url.replace("http", "ws") + transport, timeout=20)
            self.receive, self.send = lambda: [self.socket.recv()], self.socket.send
        else:
            sid = json.loads(self.session.get(self.url + transport, timeout=20).text[1:])["sid"]
            self.url += f"polling&sid={sid}"
            self.receive = lambda: self.session.get(self.url, timeout=60).text.split("\x1e")
            self.send = lambda packet: requests.post(self.url, packet, timeout=20)
        self.send(hello(token))
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            while True:
                for packet in self.receive():
                    self.take(packet)
        except (OSError, websocket.WebSocketException, requests.RequestException):
            self.closed += 1

    def take(self, packet):
        if packet == "2":
            self.send("3")
        elif packet.startswith("42"):
            self.events.append(tuple(json.loads(packet[2:])))
        elif packet.startswith("43"):
            self.keep_answer(json.loads(packet[packet.index("["):])[0])
            self.asked = True

    def subscribe(self, *projects):
        self.send('420["subscribe",%s]' % json.dumps({"project_ids": projects}))
        wait_until(lambda: self.asked, 20, "the answer")

    def close(self):
        self.session.close()
        if hasattr(self, "socket"):
            self.socket.close()


@pytest.fixture
def notifier(stack):
    """notifier(flags...) starts a vote-notify of the test's own: (tool, url)."""
    started = []

    def start(*arguments):
        port = free_port()
        tool = stack.tool("vote-notify", "--listen", f"127.0.0.1:{port}", "--drain-timeout", "1s", *arguments)
        started.append(tool.start())
        return tool, f"http://127.0.0.1:{port}"

    yield start
    for tool in started:
        tool.stop()


@pytest.fixture
def browse():
    opened = []

    def browse(*arguments, **options):
        opened.append(Browser(*arguments, **options))
        return opened[-1]

    yield browse
    for browser in opened:
        try:
            browser.close()
        except Exception:
            pass
    for browser in opened:
        for told in browser.events:
            check_event(*told)


def assert_versions_grow(browser, project):
    versions = [payload["version"] for payload in browser.of(project, "vote:cast", "vote:removed", "snapshot")]
    assert versions == sorted(versions), versions


def test_a_vote_shows_up_in_another_browser(stack, project, token, notifier, browse):
    _, url = notifier()
    other = browse(url)
    assert other.subscribe(project) == {"ok": True, "projects": {project: {
        "upvotes": 0, "downvotes": 0, "voteCount": 0, "community_score": 0.0, "version": 0}}}
    stack.vote(token, project, "up")
    wait_until(lambda: other.of(project, "vote:cast"), 20, "vote:cast")
    told = other.of(project, "vote:cast")[0]
    assert set(told) == {"project_id", "upvotes", "downvotes", "voteCount", "community_score", "version", "action", "coalesced", "committed_at"}
    assert (told["upvotes"], told["voteCount"], told["version"], told["action"], told["coalesced"]) == (1, 1, 1, "created", 1)
    stack.vote(token, project, "up")
    wait_until(lambda: other.of(project, "vote:removed"), 20, "vote:removed")
    assert other.of(project, "vote:removed")[0]["upvotes"] == 0


def test_my_own_votes_come_one_by_one_with_their_request(stack, project, user, token, notifier, browse):
    _, url = notifier("--conflate", "1s")
    mine, other = browse(url, token), browse(url, stack.token("somebody"))
    ids = [stack.vote(token, project, kind).json()["data"]["request_id"] for kind in ("up", "down", "down", "up")]
    wait_until(lambda: len(mine.of(project)) == 4, 20, "four events")
    told = [(name, p["request_id"], p["user_vote"]) for name, p in mine.events]
    assert told == [("vote:cast", ids[0], "up"), ("vote:cast", ids[1], "down"), ("vote:removed", ids[2], None), ("vote:cast", ids[3], "up")]
    assert other.of(project) == []


def test_G10_public_events_never_carry_a_user(stack, project, user, token, notifier, browse):
    _, url = notifier("--conflate", "0")
    other = browse(url)
    other.subscribe(project)
    stack.vote(token, project, "up")
    wait_until(lambda: other.of(project, "vote:cast"), 20, "vote:cast")
    assert user not in json.dumps(other.events) and "request_id" not in json.dumps(other.events)


def test_a_row_changed_by_hand_tells_its_user_to_refetch(stack, project, user, token, notifier, browse):
    _, url = notifier()
    mine = browse(url, token)
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.sql("update vote.votes set value = 0 where user_id = %s", user)
    stack.vote(token, project, "down")
    wait_until(lambda: mine.of(project, "vote:reconciled"), 20, "vote:reconciled")
    told = mine.of(project, "vote:reconciled")[0]
    assert (told["user_vote"], told["downvotes"], told["upvotes"]) == ("down", 1, 0) and told["reason"]


def test_a_failed_vote_tells_its_user_to_roll_back(stack, project, user, token, notifier, browse):
    _, url = notifier()
    mine = browse(url, token)
    stack.main_commit.stop()
    picky = stack.commit("-X", "session.timeout.ms=6000", "--retry-delays", "100ms,100ms").start()
    stack.sql("alter table vote.votes add constraint refuses check (user_id <> '%s') not valid" % user)
    try:
        request = stack.vote(token, project, "up").json()["data"]["request_id"]
        wait_until(lambda: mine.of(project, "vote:failed"), 20, "vote:failed")
        told = mine.of(project, "vote:failed")[0]
        assert (told["request_id"], told["user_vote"]) == (request, None) and "refuses" in told["reason"]
    finally:
        stack.sql("alter table vote.votes drop constraint refuses")
        picky.stop()


@pytest.mark.parametrize("token", ("x", 7, {"a": 1}))
def test_a_bad_token_is_refused_and_none_is_fine(notifier, token):
    _, url = notifier()
    client = socketio.Client(reconnection=False)
    refused = []
    client.on("connect_error", refused.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(url, auth={"token": token}, transports=["websocket"])
    assert refused and "message" in refused[0]
    Browser(url).close()


@pytest.mark.parametrize("payload", (None, {}, {"project_ids": None}, {"project_ids": "p1"}, {"project_ids": ["a b"]},
                                     {"project_ids": ["x" * 65]}, {"project_ids": [1]}, {"project_ids": ["p"] * 501}))
def test_a_bad_subscribe_says_what_is_wrong(notifier, browse, payload):
    _, url = notifier()
    answer = browse(url).call("subscribe", payload)
    assert answer["ok"] is False and "project_ids" in answer["error"]


def test_a_page_without_projects_subscribes_none(notifier, browse):
    _, url = notifier()
    browser = browse(url)
    assert browser.call("subscribe", {"project_ids": []}) == {"ok": True, "projects": {}}
    assert browser.call("unsubscribe", {"project_ids": []}) == {"ok": True}


def test_a_client_may_look_at_so_many_projects_and_no_more(stack, notifier, browse):
    _, url = notifier("--max-subscriptions", "3")
    browser = browse(url)
    names = [f"many-{uuid.uuid4().hex[:8]}-{n}" for n in range(4)]
    assert browser.subscribe(*names[:3])["ok"] is True
    assert browser.subscribe(*names[:3])["ok"] is True  # the same ones again are no more
    assert browser.call("subscribe", {"project_ids": names[3:]})["ok"] is False
    assert browser.call("unsubscribe", {"project_ids": names[:1]}) == {"ok": True}
    assert browser.call("subscribe", {"project_ids": names[3:]})["ok"] is True


def test_no_event_comes_after_an_unsubscribe(stack, project, token, notifier, browse):
    _, url = notifier("--conflate", "0")
    leaves, stays = browse(url), browse(url)
    leaves.subscribe(project), stays.subscribe(project)
    assert leaves.call("unsubscribe", {"project_ids": [project]}) == {"ok": True}
    stack.vote(token, project, "up")
    wait_until(lambda: stays.of(project, "vote:cast"), 20, "vote:cast")
    assert leaves.of(project, "vote:cast") == []


def test_an_unknown_project_has_no_counts_until_it_has_a_vote(stack, token, notifier, browse):
    _, url = notifier()
    name = "later-" + uuid.uuid4().hex[:8]
    browser = browse(url)
    assert browser.subscribe(name) == {"ok": True, "projects": {}}
    stack.add_projects(name)
    stack.vote(token, name, "up")
    wait_until(lambda: [p["upvotes"] for p in browser.of(name, "vote:cast")] == [1], 20, "vote:cast")


def test_one_public_event_in_the_interval_always_the_newest(stack, project, notifier, browse):
    _, url = notifier("--conflate", "2s")
    browser = browse(url)
    browser.subscribe(project)
    for n in range(20):
        stack.vote(stack.token(f"c{n}-{project}"), project, "up")
    wait_until(lambda: browser.of(project, "vote:cast") and browser.of(project, "vote:cast")[-1]["upvotes"] == 20, 20, "the newest")
    told = browser.of(project, "vote:cast")
    assert len(told) <= 4 and sum(p["coalesced"] for p in told) == 20


def hammer(stack, project, stop, users=8):
    tokens = [stack.token(f"h{n}-{project}") for n in range(users)]
    while not stop.is_set():
        stack.vote(random.choice(tokens), project, random.choice(("up", "down")))


def test_between_snapshot_and_events_there_is_no_gap(stack, project, notifier, browse):
    urls = [notifier("--conflate", conflate)[1] for conflate in ("0", "50ms")]
    stop = threading.Event()
    threads = [threading.Thread(target=hammer, args=(stack, project, stop)) for _ in range(3)]
    for thread in threads:
        thread.start()
    browsers = []
    try:
        for n in range(30):
            browsers.append(Wire(urls[n % 2], "websocket" if n % 3 else "polling"))
            browsers[-1].subscribe(project)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    wait_applied(stack)
    committed = stack.counts(project)
    newest = lambda b: max(b.of(project, "vote:cast", "vote:removed", "snapshot"), key=lambda p: p["version"])
    for browser in browsers:
        wait_until(lambda: (newest(browser)["upvotes"], newest(browser)["downvotes"]) == committed, 20, "the committed counts")
        assert_versions_grow(browser, project)
        browser.close()


# How long clients do not read: with VOTE_SLOW_SECONDS=60 pings come as by default, otherwise as much sooner.
SLOW_SECONDS = float(os.environ.get("VOTE_SLOW_SECONDS", "10"))
SLOW_RATE, SLOW_TICK_SECONDS = 1000, 0.05


class Watcher(Wire):
    """A client that reads: the newest version of each project, the requests that are its own, and how late each was."""

    def __init__(self, url, token):
        self.newest, self.own, self.late_ms = {}, [], []
        super().__init__(url, token=token)

    def take(self, packet):
        if not packet.startswith('42["vote:cast"'):
            super().take(packet)
            return
        told = json.loads(packet[2:])[1]
        committed = datetime.datetime.fromisoformat(told["committed_at"].replace("Z", "+00:00"))
        self.late_ms.append((time.time() - committed.timestamp()) * 1000)
        self.newest[told["project_id"]] = told["version"]
        if "request_id" in told:
            self.own.append(told["request_id"])


class Deaf:
    """A client that subscribes and then reads nothing."""

    def __init__(self, url, projects, token=None):
        self.socket = websocket.create_connection(url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", timeout=20,
                                                  sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 2048),))
        self.socket.send(hello(token))
        self.socket.send('420["subscribe",%s]' % json.dumps({"project_ids": projects}))

    def pong(self):
        """As if it had read a ping."""
        try:
            self.socket.send("3")
        except (OSError, websocket.WebSocketException):
            pass  # it was closed

    def read_until(self, versions):
        """Reads what has waited, until it has these versions."""
        newest = {}
        while any(newest.get(project, 0) < version for project, version in versions.items()):
            packet = self.socket.recv()
            if packet.startswith('42["vote:cast"'):
                told = json.loads(packet[2:])[1]
                newest[told["project_id"]] = told["version"]


def resident_bytes(tool):
    return int(open(f"/proc/{tool.process.pid}/statm").read().split()[1]) * 4096


def closed_for(tool, reason):
    line = 'vote_notify_closed_total{reason="%s"} ' % reason
    return next(int(text[len(line):]) for text in tool.metrics().splitlines() if text.startswith(line))


def announce_steadily(stack, seconds, projects, users, each_second):
    """Results at an even pace, one in ten of the first user's and the others of the second's: the versions they end at, and the
    requests of the first user."""
    producer, versions, requests_of_first, begun, ticks = results_producer(stack), dict.fromkeys(projects, 0), [], time.monotonic(), 0
    while ticks < seconds / SLOW_TICK_SECONDS:
        if ticks % round(1 / SLOW_TICK_SECONDS) == 0:
            each_second()
        for _ in range(round(SLOW_RATE * SLOW_TICK_SECONDS)):
            number = sum(versions.values())
            project, user = projects[number % len(projects)], users[number % 10 > 0]
            versions[project] += 1
            kind, result = result_of(project, versions[project], user)
            if user == users[0]:
                requests_of_first.append(result["request_id"])
            produce_result(producer, kind, result)
        ticks += 1
        time.sleep(max(0, begun + ticks * SLOW_TICK_SECONDS - time.monotonic()))
    assert producer.flush(60) == 0
    return versions, requests_of_first


def test_clients_that_never_read_harm_nobody_and_cost_little(stack, notifier):
    tool, url = notifier("--conflate", "0", "--queue-bytes", "64KiB", "--ping-interval", f"{SLOW_SECONDS * 1000 * 25 // 60:.0f}ms",
                         "--ping-timeout", f"{SLOW_SECONDS * 1000 * 20 // 60:.0f}ms")
    projects, users = [f"slow-{uuid.uuid4().hex[:8]}-{n}" for n in range(40)], ["reads-" + uuid.uuid4().hex[:8], "deaf-" + uuid.uuid4().hex[:8]]
    stack.add_projects(*projects)
    reader, undisturbed = (Watcher(where, stack.token(users[0])) for where in (url, notifier("--conflate", "0")[1]))
    for watcher in (reader, undisturbed):
        watcher.subscribe(*projects)
    silent, public, owner = Deaf(url, projects), Deaf(url, projects), Deaf(url, projects, stack.token(users[1]))
    wait_until(lambda: tool.metric("vote_notify_sockets") == 4, 10, "all of them")
    resident = [resident_bytes(tool)]

    def each_second():
        resident.append(resident_bytes(tool))
        public.pong(), owner.pong()

    versions, own = announce_steadily(stack, SLOW_SECONDS, projects, users, each_second)
    wait_until(lambda: all(reader.newest.get(project) == version for project, version in versions.items()), 20, "the reader has the newest")
    wait_until(lambda: len(reader.own) >= len(own), 20, "the reader has its own")
    each_second()
    late_ms, usual_ms = (statistics.quantiles(watcher.late_ms, n=100) for watcher in (reader, undisturbed))
    print(f"{SLOW_SECONDS:g} s, {sum(versions.values())} results: the reader was told within p50 {late_ms[49]:.1f} ms, p95 {late_ms[94]:.1f} ms, "
          f"p99 {late_ms[98]:.1f} ms, without them p95 {usual_ms[94]:.1f} ms; memory {resident[0] / 2**20:.1f} MiB + {(max(resident) - resident[0]) / 2**20:.1f} MiB; "
          f"{tool.metric('vote_notify_conflated_total'):.0f} counts replaced for slow clients")
    assert sorted(reader.own) == sorted(own) and late_ms[94] < max(500, 3 * usual_ms[94])
    quarantine = 512 if "asan" in BIN else 0  # what the address sanitizer keeps of freed memory
    assert max(resident) - resident[0] < (8 + quarantine) * 2**20
    # One gets the newest when it reads again, one has answered no ping, and one has votes of its own that no other replaces.
    public.read_until(versions)
    wait_until(lambda: closed_for(tool, "ping timeout") == 1, 20, "the silent one closed")
    wait_until(lambda: closed_for(tool, "slow client") == 1, 20, "the owner of votes closed")
    assert tool.metric("vote_notify_conflated_total") > 0
    for client in (reader, undisturbed, silent, public, owner):
        client.socket.close()


def result_of(project, version, user):
    """A result that is committed now."""
    committed_at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"
    return ("vote.cast.v1", {"request_id": str(uuid.uuid4()), "user_id": user, "project_id": project, "vote_type": "up", "previous": "none",
                             "action": "created", "upvotes": version, "downvotes": 0, "vote_count": version, "community_score": 0.5,
                             "version": version, "seq": version, "accepted_at": "2026-11-25T00:00:00.000Z", "committed_at": committed_at})


def results_producer(stack):
    from confluent_kafka import Producer
    return Producer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "partitioner": "murmur2_random", "linger.ms": 1})


def produce_result(producer, kind, result):
    producer.produce("vote.results", key=result["project_id"], value=json.dumps(result), headers=[("ce_type", kind)])
    producer.poll(0)


def test_two_instances_have_all_results(stack, project, token, notifier, browse):
    browsers = [browse(notifier()[1]) for _ in range(2)]
    for browser in browsers:
        browser.subscribe(project)
    stack.vote(token, project, "up")
    for browser in browsers:
        wait_until(lambda: browser.of(project, "vote:cast"), 20, "vote:cast")


def test_kafka_away_clients_stay_and_end_at_the_right_counts(stack, project, notifier, browse):
    tool, url = notifier()
    tokens = [stack.token(f"k{n}-{project}") for n in range(5)]
    browser = browse(url)
    browser.subscribe(project)
    stack.server("stop", "kafka")
    try:
        assert stack.vote(tokens[0], project, "up").status_code == 202  # applied at once, announced later
        wait_until(lambda: "kafka\":\"not ready" in readyz(tool), 30, "health says so")
    finally:
        stack.server("start", "kafka")
    wait_until(lambda: "kafka\":\"ok" in readyz(tool), 30, "health says so")
    for token in tokens[1:]:
        wait_until(lambda: stack.vote(token, project, "up", toggle=False).status_code == 202, 20)
    wait_until(lambda: browser.of(project, "vote:cast") and browser.of(project, "vote:cast")[-1]["upvotes"] == 5, 60, "the right counts")
    assert browser.closed == 0


def test_postgres_away_is_noticed_though_nobody_asks_for_counts(stack, project, notifier, browse):
    tool, url = notifier()
    stack.server("stop", "postgres")
    try:
        wait_until(lambda: "postgres\":\"not ready" in readyz(tool), 5, "health says so")
    finally:
        stack.server("start", "postgres")
    wait_until(lambda: "postgres\":\"ok" in readyz(tool), 5, "health says so")
    assert browse(url).subscribe(project)["ok"] is True


def readyz(tool):
    return requests.get(f"http://127.0.0.1:{tool.admin_port}/readyz", timeout=5).text


def test_a_restart_brings_every_client_back_to_the_right_counts(stack, project, token, notifier, browse):
    tool, url = notifier("--drain-timeout", "2s")
    browsers = [browse(url, projects=[project], reconnects=True) for _ in range(20)]
    wait_until(lambda: all(b.answer for b in browsers), 20, "all look")
    assert tool.stop() == 0
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    tool.start()
    newest = lambda b: max(b.of(project, "vote:cast", "snapshot"), key=lambda p: p["version"])
    for browser in browsers:
        wait_until(lambda: newest(browser)["upvotes"] == 1, 20, "back and right")


def frame(text):
    """A masked text frame (RFC 6455 section 5.2), with a mask of zeros."""
    size = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0xFE]) + len(text).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + text.encode()


def upgrade(port):
    return (f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def read_until(connection, mark):
    data = b""
    while mark not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return data


def crowd(port, project, count):
    """Many sockets that look at a project: each with the counts it was answered with."""
    sockets = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(count)]
    for connection in sockets:
        connection.sendall(upgrade(port))
    for connection in sockets:
        read_until(connection, b'"maxPayload"')
        connection.sendall(frame("40") + frame('420["subscribe",{"project_ids":["%s"]}]' % project))
    return [(connection, read_until(connection, b"430[")) for connection in sockets]


def test_two_thousand_clients_are_back_and_right_within_ten_seconds_of_a_restart(stack, project, token, notifier):
    tool, url = notifier("--drain-timeout", "2s")
    port = int(url.rsplit(":", 1)[1])
    before = crowd(port, project, 2000)
    assert tool.stop() == 0
    for connection, _ in before:
        while connection.recv(65536):
            pass  # it was told, and closed
        connection.close()
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    tool.start()
    began = time.monotonic()
    after = crowd(port, project, 2000)
    assert time.monotonic() - began < 10
    assert all(b'"upvotes":1,' in answer for _, answer in after)
    for connection, _ in after:
        connection.close()


def test_an_expired_token_ends_its_connection(stack, notifier, browse):
    import jwt
    _, url = notifier()
    browser = browse(url, jwt.encode({"sub": "u1", "exp": int(time.time()) + 3}, SECRET, algorithm="HS256"))
    wait_until(lambda: browser.closed, 20, "the end")
