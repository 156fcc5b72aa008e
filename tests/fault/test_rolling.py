# test_rolling.py - daemons are restarted one after the other, and nobody notices. SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import itertools
import json
import socket
import threading

import pytest
import requests

from balancer import Balancer
from browser import Browser
from members import CONFIG, LEAVE, assert_leaves
from stack import free_port, wait_until
from votes import Load, settled, sign

DRAIN = ("--drain-delay", "3s", "--drain-timeout", "6s")
# A member that does not leave its group would hold its partitions for so long, and votes would wait.
SESSION_SECONDS = 45
GROUP = ("-X", f"session.timeout.ms={SESSION_SECONDS * 1000}")
BROWSERS, CACHE_SECONDS = 12, 0.1


class People(Load):
    """Of four, one opens a connection for each click, and one keeps a connection that is mostly idle."""

    def __init__(self, stack, url):
        self.numbers = itertools.count()
        super().__init__(stack, url=url)

    def click(self):
        number, session = next(self.numbers), requests.Session()
        pause_s = 1 if number == 1 else 0.02
        if number == 0:
            session.headers["Connection"] = "close"
        while not self.ended.wait(pause_s):
            self.click_once(session)


class CacheReader(threading.Thread):
    """Reads projects' versions from Postgres and caches those that are not: what vote-invalidate has to purge."""

    def __init__(self, stack, projects):
        super().__init__(daemon=True)
        self.stack, self.projects, self.redis, self.ended = stack, projects, stack.redis(), threading.Event()
        self.start()

    def versions(self):
        return dict(self.stack.sql("select project_id, version from vote.projects where project_id = any(%s)", self.projects))

    def run(self):
        while not self.ended.wait(CACHE_SECONDS):
            for project, version in self.versions().items():
                self.redis.set("cache:project:" + project, version, nx=True)

    def is_purged(self):
        """Nothing is cached that is older than what is committed."""
        cached = {project: self.redis.get("cache:project:" + project) for project in self.projects}
        return all(cached[project] in (None, str(version)) for project, version in self.versions().items())

    def stop(self):
        self.ended.set()
        self.join(20)


class Fleet:
    """Two of each daemon, behind a balancer where clients come from outside."""

    def __init__(self, stack):
        self.stack = stack
        ports = {name: [free_port(), free_port()] for name in ("vote-ingest", "vote-notify")}
        self.tools = {
            "vote-ingest": [stack.ingest(port, *DRAIN) for port in ports["vote-ingest"]],
            "vote-commit": [stack.commit(*GROUP) for _ in range(2)],
            "vote-notify": [stack.tool("vote-notify", "--listen", f"127.0.0.1:{port}", *DRAIN) for port in ports["vote-notify"]],
            "vote-invalidate": [stack.tool("vote-invalidate", "--debounce", "1s", "--max-wait", "2s", *GROUP) for _ in range(2)]}
        for tool in self.each():
            tool.start(ready=False)
        for tool in self.each():
            wait_until(tool.is_ready, 40, tool.name + " ready")
        self.balancer = Balancer(stack.directory, {
            name: [(port, tool.admin_port) for port, tool in zip(ports[name], self.tools[name])] for name in ports})

    def each(self):
        return itertools.chain(*self.tools.values())

    def roll(self, name, load):
        """Ends and starts each of the two under load, as an update of a Deployment does."""
        for tool in self.tools[name]:
            load.wait_more(30)
            assert tool.stop() == 0, open(tool.log).read()[-2000:]
            load.wait_more(30)
            tool.start()
            wait_until(lambda: self.balancer.has(tool.admin_port) is not False, 20, "the balancer sees it again")

    def stop(self):
        for tool in self.each():
            tool.process.terminate()
        for tool in self.each():
            tool.stop()
        self.balancer.stop()


@pytest.fixture(scope="module")
def fleet(running):
    running.main_ingest.stop()
    running.main_commit.stop()
    fleet = Fleet(running)
    yield fleet
    fleet.stop()


@pytest.fixture
def load(fleet):
    load = People(fleet.stack, fleet.balancer.urls["vote-ingest"])
    yield load
    load.close()


@pytest.fixture
def browsers(fleet, load):
    url = fleet.balancer.urls["vote-notify"]
    browsers = [Browser(url, projects=load.projects, reconnects=True) for _ in range(BROWSERS)]
    yield browsers
    for browser in browsers:
        browser.close()


@pytest.fixture
def cache(fleet, load):
    cache = CacheReader(fleet.stack, load.projects)
    yield cache
    cache.stop()


def is_right(browser, project, committed):
    told = browser.of(project, "vote:cast", "vote:removed", "snapshot")
    newest = max(told, key=lambda payload: payload["version"], default=None)
    return newest and browser.client.connected and (newest["upvotes"], newest["downvotes"]) == committed


def check_browsers(stack, browsers, projects):
    for project in projects:
        committed = stack.counts(project)
        for browser in browsers:
            wait_until(lambda: is_right(browser, project, committed), 20, "connected, at the committed counts")


def longest_wait_ms(stack, projects):
    return stack.sql("select max(commit_latency_ms) from vote.log where project_id = any(%s)", projects)[0][0]


@pytest.mark.parametrize("name", ("vote-ingest", "vote-commit", "vote-notify", "vote-invalidate"))
def test_a_rolling_restart_fails_no_request_loses_no_vote_and_leaves_nobody_behind(fleet, load, browsers, cache, name):
    wait_until(lambda: all(browser.answer for browser in browsers), 20, "all look")
    fleet.roll(name, load)
    load.check()
    cache.stop()
    assert load.failed == []
    assert longest_wait_ms(fleet.stack, load.projects) < SESSION_SECONDS * 1000 / 2
    check_browsers(fleet.stack, browsers, load.projects)
    wait_until(cache.is_purged, 20, "nothing old is cached")
    wait_until(lambda: all(settled(fleet.stack, project) for project in load.projects), 20, "redis settles")
    assert name != "vote-notify" or all(browser.closed for browser in browsers)


# --- The stop of one process --------------------------------------------------------------------


@pytest.fixture
def leaving(stack):
    """leaving(name, flags...): a daemon of the test's own: (tool, port)."""
    started = []

    def start(name, *arguments):
        port = free_port()
        limit = ("--rate-limit", "0") if name == "vote-ingest" else ()
        started.append(stack.tool(name, "--listen", f"127.0.0.1:{port}", *limit, *arguments).start())
        return started[-1], port
    yield start
    for tool in started:
        tool.kill()


def readiness(tool):
    return requests.get(f"http://127.0.0.1:{tool.admin_port}/readyz", timeout=5).text


def terminate(tool):
    tool.signal(15)
    wait_until(lambda: "draining" in readiness(tool), 10, "not ready")


def post(session, port, project):
    return session.post(f"http://127.0.0.1:{port}/api/votes", json={"project_id": project, "vote_type": "up"}, timeout=30,
                        headers={"Authorization": "Bearer " + sign("u1")})


def test_a_vote_ingest_that_leaves_serves_kept_and_new_connections_and_ends_each(stack, project, leaving):
    tool, port = leaving("vote-ingest", "--drain-delay", "5s")
    with requests.Session() as kept, requests.Session() as new:
        assert post(kept, port, project).headers["Connection"] == "keep-alive"
        terminate(tool)
        answers = [post(session, port, project) for session in (kept, new)]
    assert [(answer.status_code, answer.headers["Connection"]) for answer in answers] == [(202, "close")] * 2
    assert tool.process.wait(20) == 0


def test_a_vote_whose_body_is_on_its_way_at_the_stop_is_answered(stack, project, leaving):
    tool, port = leaving("vote-ingest")
    body = json.dumps({"project_id": project, "vote_type": "up"}).encode()
    head = (f"POST /api/votes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {sign('u2')}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(head + body[:10])
        assert post(requests, port, project).status_code == 202  # by then the one before is being read, too
        terminate(tool)
        connection.sendall(body[10:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 202 ") and b"Connection: close\r\n" in answer
    assert tool.process.wait(20) == 0


def test_a_vote_notify_that_leaves_serves_new_clients_until_balancers_have_seen_it(stack, project, leaving):
    tool, port = leaving("vote-notify", "--drain-delay", "5s", "--drain-timeout", "7s")
    terminate(tool)
    browser = Browser(f"http://127.0.0.1:{port}", projects=[project])
    wait_until(lambda: browser.answer and browser.answer["ok"], 10, "it is served")
    wait_until(lambda: browser.closed, 20, "and sent away in the end")
    assert tool.process.wait(20) == 0


@pytest.mark.parametrize("name", ("vote-ingest", "vote-notify"))
def test_a_second_SIGTERM_ends_the_wait(leaving, name):
    tool, _ = leaving(name, "--drain-delay", "5m", "--drain-timeout", "10m")
    terminate(tool)
    tool.signal(15)
    assert tool.process.wait(20) == 0


@LEAVE
def test_a_vote_ingest_leaves_in_time_whatever_its_votes_wait_for(stack, project, leaving, terms, timeout, seconds):
    tool, port = leaving("vote-ingest", "--redis-timeout", "60s", "--drain-timeout", timeout)
    stack.signal_server("redis", "STOP")
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(post, requests, port, project)
            wait_until(lambda: tool.metric("vote_in_flight") == 1, 10, "a vote is in hand")
            assert_leaves(tool, terms, seconds)
            assert isinstance(answer.exception(10), requests.ConnectionError), "nothing is promised"
    finally:
        stack.signal_server("redis", "CONT")


@pytest.mark.parametrize("name", ("vote-ingest", "vote-notify"))
def test_a_delay_that_is_no_shorter_than_the_drain_is_refused(stack, name):
    tool = stack.tool(name, "--drain-delay", "10s").start(ready=False)
    assert tool.process.wait(20) == CONFIG
    assert "--drain-delay" in open(tool.log).read()
