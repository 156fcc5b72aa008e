# test_invalidate.py - caches are right again soon after a commit, whatever stops meanwhile.
# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import pytest
import requests
from confluent_kafka import Consumer, TopicPartition

from stack import BIN, ROOT, anonymous_kib, die_with_parent, free_port, wait_until
from topics import Tail, event, send

QUICK = ("--debounce", "200ms", "--max-wait", "1s", "--check-interval", "0", "-X", "session.timeout.ms=6000")


@pytest.fixture
def invalidator(stack):
    """Makes vote-invalidates of a group of their own, which begins where the topic ends now."""
    made, groups = [], set()

    def make(*arguments, group=None, env=None, ready=True):
        name = group or "g-" + uuid.uuid4().hex[:8]
        tool = stack.tool("vote-invalidate", "--group", name, *QUICK, *arguments)
        tool.base = 0 if name in groups else begin_at_the_end(stack, name)
        groups.add(name)
        made.append(tool)
        tool.start(env=env, ready=ready)
        return tool

    yield make
    for tool in made:
        tool.stop()


def metric(tool, name):
    return sum(float(line.split()[-1]) for line in tool.metrics().splitlines()
               if line.startswith(name + " ") or line.startswith(name + "{") or line.split(" ")[0] == name)


def results_count(stack):
    tail = Tail(stack, "vote.results", from_end=True)
    tail.close()
    return sum(tail.next.values())


def begin_at_the_end(stack, group):
    """What other tests have left in the topic is not this group's; returns how many records that is."""
    tail = Tail(stack, "vote.results", from_end=True)
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": group})
    consumer.commit(offsets=[TopicPartition("vote.results", p, end) for p, end in tail.next.items()], asynchronous=False)
    consumer.close()
    tail.close()
    return sum(tail.next.values())


def has_read(tool):
    """Whether the group has read what has come since it began."""
    return metric(tool, "vote_invalidate_records_total") >= results_count(tool.stack) - tool.base


def settle(tool):
    """Until the group has read and purged what was in the topic before."""
    wait_until(lambda: has_read(tool) and metric(tool, "vote_invalidate_pending_keys") == 0
               and metric(tool, "vote_invalidate_lag_records") == 0, 20, "nothing waits")


def vote_committed(stack, token, project, kind="up"):
    return stack.wait_committed(token, stack.vote(token, project, kind).json()["data"]["request_id"])


class Cache(http.server.ThreadingHTTPServer):
    """An HTTP cache that only notes what it is asked to purge; `broken`: it answers 503."""
    daemon_threads = True

    def __init__(self):
        self.calls, self.asked, self.broken = [], 0, False
        super().__init__(("127.0.0.1", free_port()), Handler)
        self.url = "http://127.0.0.1:%d" % self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def keys(self):
        return [key for _, _, headers in list(self.calls) for key in headers.get("Surrogate-Key", "").split()]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_PURGE(self):
        self.server.asked += 1
        status = 503 if self.server.broken or self.path == "/refused" else 200
        if status == 200:
            self.server.calls.append((time.monotonic(), self.path, dict(self.headers)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def cache():
    server = Cache()
    yield server
    server.shutdown()
    server.server_close()


class Varnish:
    """A real Varnish with the VCL that we ship, in a directory of its own."""

    def __init__(self, backend_port):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = tempfile.mkdtemp(prefix="votepipe-varnish-")
        os.chmod(self.directory, 0o755)
        vcl = open(os.path.join(ROOT, "pipelines", "varnish", "votepipe.vcl")).read()
        assert '.port = "8080"' in vcl
        with open(self.directory + "/votepipe.vcl", "w") as file:
            file.write(vcl.replace('.port = "8080"', f'.port = "{backend_port}"'))
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{self.port}", "-n", self.directory + "/run", "-s", "malloc,16m",
             "-f", self.directory + "/votepipe.vcl", "-p", "thread_pools=1", "-p", "thread_pool_min=10"],
            stdout=open(self.directory + "/log", "ab"), stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        wait_until(self.answers, 20, "varnish")

    def answers(self):
        assert self.process.poll() is None, open(self.directory + "/log").read()
        try:
            return requests.get(self.url + "/api/nothing", timeout=2).status_code
        except requests.RequestException:
            return None

    def get(self, token, path, **headers):
        return requests.get(self.url + path, headers={"Authorization": "Bearer " + token, **headers}, timeout=10)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def varnish_server(running):
    server = Varnish(running.ports["api"])
    yield server
    server.stop()
    shutil.rmtree(server.directory, ignore_errors=True)


@pytest.fixture
def varnish(varnish_server):
    if varnish_server.process.poll() is not None:
        varnish_server.start()
    return varnish_server


def test_what_a_vote_has_changed_is_purged_and_nothing_else(stack, project, user, token, invalidator):
    tool, redis = invalidator("--key", "app:{project_id}:{user_id}", "--key", "tag app:tag:{project_id}"), stack.redis()
    settle(tool)
    gone = [f"cache:project:{project}", f"cache:user:{user}:votes", "cache:feed:home", "cache:feed:unnamed", "cache:leaderboard:77",
            f"app:{project}:{user}", "app:tagged:1", "app:tagged:2"]
    stays = [f"cache:project:{project}x", f"cache:user:{user}x:votes", "cache:leaderboard:x"]
    for key in gone + stays:
        redis.set(key, "old", ex=60)
    redis.sadd("cache:tag:feed", "cache:feed:home")
    redis.sadd(f"app:tag:{project}", "app:tagged:1", "app:tagged:2")
    vote_committed(stack, token, project)
    wait_until(lambda: redis.exists(*gone, "cache:tag:feed", f"app:tag:{project}") == 0, 10, "purged")
    assert redis.exists(*stays) == len(stays)
    redis.delete(*stays)


def test_a_pattern_is_purged_by_scan_when_it_is_asked_for(stack, project, token, invalidator):
    redis = stack.redis()
    tool = invalidator("--key", "pattern app:page:{project_id}:*")
    settle(tool)
    for n in range(1200):
        redis.set(f"app:page:{project}:{n}", "old", ex=60)
    redis.set(f"app:page:{project}", "stays", ex=60)
    vote_committed(stack, token, project)
    wait_until(lambda: not list(redis.scan_iter(f"app:page:{project}:*", count=5000)), 10, "purged")
    assert redis.exists(f"app:page:{project}") == 1


@pytest.mark.parametrize("arguments, sentence", (
    (("--key", "cache:{project}"), "in braces there may be project_id"), (("--key", "cache:*"), "pattern"),
    (("--key", "pattern *"), "fixed start"), (("--key", "vote:state:{project_id}"), "pipeline's own"),
    (("--keys-file", "/nowhere"), "/nowhere"), (("--http-url", "127.0.0.1:80"), "--http-url"),
    (("--max-wait", "1s"), "--max-wait is shorter")))
def test_a_bad_setting_is_refused_with_a_sentence(servers, arguments, sentence):
    refused = servers.run("vote-invalidate", *arguments)
    assert refused.returncode == 78 and refused.stderr.startswith("vote-invalidate: fatal: ") and sentence in refused.stderr


def test_a_keys_file_replaces_what_is_built_in(servers, stack, project, token, invalidator, tmp_path):
    (tmp_path / "keys").write_text("# mine\nkey  mine:{project_id}\n")
    tool, redis = invalidator("--keys-file", str(tmp_path / "keys")), stack.redis()
    settle(tool)
    redis.mset({f"mine:{project}": "old", f"cache:project:{project}": "stays"})
    vote_committed(stack, token, project)
    wait_until(lambda: not redis.exists(f"mine:{project}"), 10, "purged")
    assert redis.getdel(f"cache:project:{project}") == "stays"


def test_10000_votes_on_one_project_in_10_s_are_a_purge_every_5_s_and_6_at_most(stack, project, invalidator, cache):
    tool = invalidator("--debounce", "2s", "--max-wait", "5s", "--http-url", cache.url)
    settle(tool)
    cache.calls.clear()
    before = metric(tool, "vote_invalidate_records_total")
    tokens = [stack.token(f"crowd-{n}") for n in range(20)]
    begun = time.monotonic()

    def clicks(token):
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer " + token
            for n in range(500):
                assert session.post(stack.url + "/api/votes", json={"project_id": project, "vote_type": "up"}, timeout=30).status_code == 202
                time.sleep(max(0, begun + (n + 1) * 0.02 - time.monotonic()))

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(clicks, tokens))
    ended = time.monotonic()
    key = "project-" + project
    purges = lambda: [at for at, _, headers in list(cache.calls) if key in headers.get("Surrogate-Key", "").split()]
    wait_until(lambda: metric(tool, "vote_invalidate_records_total") >= before + 10000, 60, "read")
    settle(tool)
    moments = purges()
    assert len(moments) <= 6 + max(0, ended - begun - 10) / 2, moments  # more only if the votes took longer than meant
    gaps = [b - a for a, b in zip([begun, *moments], moments)]
    assert max(gaps) < 6.5, gaps  # the way to a commit, and a busy machine, are in it
    assert purges()[-1] > ended - 5, gaps


def test_a_kill_in_the_window_forgets_no_key(stack, project, token, invalidator):
    redis, group = stack.redis(), "killed-" + uuid.uuid4().hex[:8]
    names = [f"{project}-{n}" for n in range(20)]
    stack.add_projects(*names)
    tool = invalidator(group=group)
    settle(tool)
    tool.stop()
    again = invalidator("--debounce", "60s", "--max-wait", "60s", "-X", "group.instance.id=" + group, group=group)
    for name in names:
        redis.set("cache:project:" + name, "old", ex=100)
    before = metric(again, "vote_invalidate_records_total")
    ids = [stack.vote(token, name, "up").json()["data"]["request_id"] for name in names]
    for request_id in ids:
        stack.wait_committed(token, request_id)
    wait_until(lambda: metric(again, "vote_invalidate_records_total") >= before + 20, 20, "read")
    time.sleep(0.6)  # offsets would have moved by now
    again.kill()
    assert redis.exists(*["cache:project:" + name for name in names]) == 20
    invalidator("-X", "group.instance.id=" + group, group=group)
    wait_until(lambda: redis.exists(*["cache:project:" + name for name in names]) == 0, 20, "purged after the restart")


def test_two_members_purge_everything_while_one_comes_and_goes(stack, project, token, invalidator):
    redis, group = stack.redis(), "two-" + uuid.uuid4().hex[:8]
    names = [f"{project}-{n}" for n in range(30)]
    stack.add_projects(*names)
    first = invalidator(group=group)
    settle(first)
    for name in names:
        redis.set("cache:project:" + name, "old", ex=100)
    ids = []
    for n, name in enumerate(names):
        ids.append(stack.vote(token, name, "up").json()["data"]["request_id"])
        if n == 10:
            second = invalidator(group=group, ready=False)
        if n == 20:
            first.kill()
    for request_id in ids:
        stack.wait_committed(token, request_id)
    wait_until(lambda: redis.exists(*["cache:project:" + name for name in names]) == 0, 30, "purged")
    assert second.process.poll() is None


@pytest.mark.skipif("asan" in BIN, reason="the address sanitizer keeps what is freed")
def test_what_was_held_up_leaves_no_memory_behind(stack, project, invalidator):
    tool = invalidator()
    settle(tool)
    before = anonymous_kib(tool.process.pid)
    value = event(1, project_id=project, vote_count=1, community_score=0.5, committed_at="2026-11-23T18:03:39.601Z", later="x" * 4000)
    results = [{"key": f"k{number}", "value": value, "headers": {"ce_type": "vote.cast.v1"}} for number in range(4000)]
    for _ in range(3):
        tool.process.send_signal(signal.SIGSTOP)
        send(stack, "vote.results", results)
        tool.process.send_signal(signal.SIGCONT)
        settle(tool)
    assert anonymous_kib(tool.process.pid) < before + 4096  # what was read is given back, not kept for the next time: that were 20 MiB


def test_redis_away_is_held_and_done_when_it_is_back(stack, project, token, invalidator, cache):
    tool, redis = invalidator("--redis-timeout", "300ms", "--http-url", cache.url), stack.redis()
    settle(tool)
    key = f"cache:project:{project}"
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    redis.set(key, "old", ex=100)
    stack.signal_server("redis", "STOP")
    try:
        wait_until(lambda: metric(tool, 'vote_invalidate_failures_total{target="redis"}') > 1, 20, "failures")
        ready = requests.get(f"http://127.0.0.1:{tool.admin_port}/readyz", timeout=5)
        assert ready.status_code == 503 and ready.json()["checks"]["redis"] == "not ready"
        assert ready.json()["checks"][cache.url] == "ok"
        wait_until(lambda: "project-" + project in cache.keys(), 10, "the other target does not wait")
        assert metric(tool, "vote_invalidate_pending_keys") > 0 and metric(tool, "vote_invalidate_lag_records") > 0
    finally:
        stack.signal_server("redis", "CONT")
    wait_until(lambda: not redis.exists(key), 20, "purged")
    stack.wait_committed(token, request_id)
    wait_until(tool.is_ready, 20, "ready")
    settle(tool)


def test_a_real_varnish_is_purged_by_surrogate_key_and_by_url(stack, project, token, invalidator, varnish):
    tool = invalidator("--http-url", varnish.url + "/", "--key", "url /api/leaderboard?limit=3")
    settle(tool)
    path = "/api/projects/" + project
    votes = lambda: varnish.get(token, path).json()["data"]["upvotes"]
    board = lambda: varnish.get(token, "/api/leaderboard?limit=3").headers["X-Cache"]
    assert (votes(), varnish.get(token, path).headers["X-Cache"], varnish.get(token, path).headers["X-Cache"]) == (0, "hit", "hit")
    other = "/api/projects/" + project + "x"
    stack.add_projects(project + "x")
    varnish.get(token, other), board()
    vote_committed(stack, token, project)
    wait_until(lambda: votes() == 1, 10, "purged")
    assert varnish.get(token, other).headers["X-Cache"] == "hit"
    assert varnish.get(stack.token("nobody"), "/api/votes/user").json()["data"]["votes"] == []  # never kept


def test_varnish_away_is_held_and_done_when_it_is_back(stack, project, token, invalidator, varnish):
    tool, redis = invalidator("--http-url", varnish.url, "--http-timeout", "500ms"), stack.redis()
    settle(tool)
    path, key = "/api/projects/" + project, f"cache:project:{project}"
    varnish.get(token, path)
    assert varnish.get(token, path).headers["X-Cache"] == "hit"
    redis.set(key, "old", ex=100)
    varnish.process.send_signal(signal.SIGSTOP)
    children = subprocess.run(["pgrep", "-P", str(varnish.process.pid)], capture_output=True, text=True).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGSTOP)
    try:
        vote_committed(stack, token, project)
        label = 'target="%s"' % varnish.url
        wait_until(lambda: metric(tool, "vote_invalidate_failures_total{%s}" % label) >= 3, 20, "failures")
        assert metric(tool, "vote_invalidate_breaker_state{%s}" % label) > 0
        ready = requests.get(f"http://127.0.0.1:{tool.admin_port}/readyz", timeout=5)
        assert ready.status_code == 503 and ready.json()["checks"][varnish.url] == "not ready"
        assert not redis.exists(key), "Redis does not wait for Varnish"
        assert metric(tool, "vote_invalidate_lag_records") > 0
    finally:
        for child in children:
            os.kill(int(child), signal.SIGCONT)
        varnish.process.send_signal(signal.SIGCONT)
    wait_until(lambda: varnish.get(token, path).json()["data"]["upvotes"] == 1, 20, "purged")
    settle(tool)
    assert metric(tool, "vote_invalidate_breaker_state{%s}" % label) == 0


def test_only_this_machine_may_purge_and_a_soft_purge_is_taken(stack, project, token, varnish):
    path = "/api/projects/" + project
    varnish.get(token, path)
    assert requests.request("PURGE", varnish.url + path, headers={"Soft-Purge": "1"}, timeout=5).status_code == 200
    assert varnish.get(token, path).status_code == 200  # stale, while it is fetched
    vcl = open(os.path.join(ROOT, "pipelines", "varnish", "votepipe.vcl")).read()
    assert re.search(r"acl purgers \{\s+\"127\.0\.0\.1\";\s+\"::1\";\s+\}", vcl) and "client.ip !~ purgers" in vcl


def test_300_surrogate_keys_are_two_calls(stack, project, token, invalidator, cache):
    lines = [arg for n in range(300) for arg in ("--key", "surrogate k%d" % n)]
    tool = invalidator("--http-url", cache.url, "--http-host", "votes.example", *lines)
    settle(tool)
    cache.calls.clear()
    vote_committed(stack, token, project)
    wait_until(lambda: len(set(cache.keys())) == 302, 10, "all keys")
    sizes = sorted(len(headers["Surrogate-Key"].split()) for _, _, headers in cache.calls)
    assert sizes == [46, 256] and all(headers["Host"] == "votes.example" for _, _, headers in cache.calls)


def test_a_cache_that_answers_503_is_tried_again(stack, project, token, invalidator, cache):
    tool = invalidator("--http-url", cache.url)
    settle(tool)
    cache.broken = True
    vote_committed(stack, token, project)
    wait_until(lambda: metric(tool, 'vote_invalidate_failures_total{target="%s"}' % cache.url) >= 2, 10, "failures")
    cache.broken = False
    wait_until(lambda: "project-" + project in cache.keys(), 10, "tried again")


def test_one_path_that_is_refused_holds_up_no_other_and_is_not_hammered(stack, project, token, invalidator, cache):
    tool = invalidator("--http-url", cache.url, "--drain-timeout", "1s")
    vote_committed(stack, token, project)
    settle(tool)
    tool.stop()
    tool = invalidator("--http-url", cache.url, "--key", "url /refused", "--drain-timeout", "1s", group=tool.arguments[1])
    vote_committed(stack, token, project)
    wait_until(lambda: "project-" + project in cache.keys() and metric(tool, "vote_invalidate_failures_total") > 0, 10, "purged")
    asked = cache.asked
    time.sleep(1)
    assert cache.asked - asked < 10 and metric(tool, "vote_invalidate_pending_keys") == 1


def test_sigterm_purges_at_once_what_waits(stack, project, token, invalidator):
    tool, redis = invalidator("--debounce", "60s", "--max-wait", "60s", "--double-delete", "30s"), stack.redis()
    key = f"cache:project:{project}"
    redis.set(key, "old", ex=100)
    vote_committed(stack, token, project)
    wait_until(lambda: has_read(tool), 20, "read")
    begun = time.monotonic()
    assert tool.stop() == 0 and time.monotonic() - begun < 8
    assert not redis.exists(key)


def test_a_stale_fill_is_purged_by_the_second_purge(stack, project, token, invalidator):
    """A reader that read before the commit writes its cache right behind the purge."""
    tool, redis = invalidator("--double-delete", "500ms"), stack.redis()
    settle(tool)
    key = f"cache:project:{project}"
    redis.set(key, "before", ex=100)
    vote_committed(stack, token, project)
    wait_until(lambda: not redis.exists(key), 10, "the first purge")
    redis.set(key, "before", ex=100)
    wait_until(lambda: not redis.exists(key), 10, "the second purge")


def test_a_leaderboard_read_before_the_commit_does_not_stay_when_written_after_the_purge(stack, project, token, invalidator):
    """Readers fill the leaderboard's cache all the time while votes are committed and purged: what stays is right."""
    tool, redis = invalidator("--debounce", "0", "--max-wait", "0"), stack.redis()
    settle(tool)
    ends = time.monotonic() + 4
    fill = lambda _: [stack.get(token, "/api/leaderboard?limit=100").status_code for _ in iter(lambda: time.monotonic() < ends, False)]

    def click(_):
        while time.monotonic() < ends:
            stack.vote(token, project, "up")

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda job: job(0), [fill, fill, fill, click, click]))
    vote_committed(stack, token, project)
    settle(tool)
    rows = dict(stack.sql("select project_id, version from vote.projects"))
    shown = stack.get(token, "/api/leaderboard?limit=100").json()["data"]["projects"]
    assert {p["project_id"]: p["version"] for p in shown} == {p["project_id"]: rows[p["project_id"]] for p in shown}


def test_a_value_whose_mark_has_moved_is_taken_back(stack, token, project):
    """The purge falls between the reader's look at Postgres and its write: Postgres is made to wait there."""
    redis = stack.redis()
    redis.delete("cache:leaderboard:61")
    connection = stack.connect()
    with connection.cursor() as cursor:
        cursor.execute("lock table vote.projects in access exclusive mode")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(stack.get, token, "/api/leaderboard?limit=61")
            time.sleep(0.3)
            redis.incr("cache:mark:leaderboard")
            connection.rollback()
            assert answer.result().status_code == 200
    connection.close()
    assert not redis.exists("cache:leaderboard:61")
    stack.get(token, "/api/leaderboard?limit=61")
    assert redis.pttl("cache:leaderboard:61") > 1000


def test_metrics_tell_it_all_and_carry_no_ids(stack, project, user, token, invalidator, cache):
    tool = invalidator("--http-url", cache.url, "--check-interval", "500ms")
    vote_committed(stack, token, project)
    settle(tool)
    text = tool.metrics()
    for name in ("purged_total{kind=\"key\"}", "purged_total{kind=\"surrogate\"}", "latency_seconds_bucket", "pending_keys", "windows_total",
                 "failures_total{target=\"redis\"}", "breaker_state{target=\"%s\"}" % cache.url, "lag_records", "lag_seconds"):
        assert "vote_invalidate_" + name in text, name
    assert "vote_state_consistency_ratio" in text and project not in text and user not in text


def check(stack, *arguments):
    return stack.run("vote-admin", "check", "--sample", "100000", *arguments)


def test_check_agrees_and_finds_what_was_made_wrong_by_hand(stack, project, token, invalidator, varnish):
    tool, redis = invalidator(), stack.redis()
    settle(tool)
    vote_committed(stack, token, project)
    settle(tool)
    redis.delete(*(redis.keys("cache:*") or ["none"]))
    state = "vote:state:{%s}" % project
    wait_until(lambda: redis.hget(state, "pending") == "0", 10, "settled")
    redis.hincrby(state, "upvotes", 5)
    redis.set(f"cache:project:{project}", json.dumps({"upvotes": 9, "downvotes": 0, "version": 1}))
    found = check(stack, "--timeout", "300ms")
    assert found.returncode == 1 and f"{project}: cache:project says 9 up 0 down, Postgres 1 up 0 down" in found.stdout, found.stdout
    redis.delete(f"cache:project:{project}")
    found = check(stack, "--timeout", "300ms")
    assert found.returncode == 1 and f"{project}: Redis says 6 up 0 down" in found.stdout, found.stdout
    redis.delete(state)
    assert f"{project}:" not in check(stack, "--timeout", "300ms").stdout


def test_check_looks_into_varnish_and_tells_how_long_a_difference_lasted(stack, project, token, varnish):
    path = "/api/projects/" + project
    varnish.get(token, path)
    vote_committed(stack, token, project)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        told = pool.submit(check, stack, "--http-url", varnish.url, "--timeout", "20s")
        time.sleep(1.5)
        requests.request("PURGE", varnish.url + "/", headers={"Surrogate-Key": "project-" + project}, timeout=5)
        output = told.result()
    line = next(line for line in output.stdout.splitlines() if line.startswith(project + ":"))
    assert re.search(r"the HTTP cache says 0 up 0 down, Postgres 1 up 0 down \(version 1\), for \d\.\d s$", line), line
    assert re.search(r"^check: \d+ projects, .* agree$", output.stdout.splitlines()[-1])


def test_the_consistency_ratio_falls_while_a_cache_is_wrong(stack, project, token, invalidator):
    tool, redis = invalidator("--max-wait", "200ms", "--check-interval", "200ms", "--check-sample", "100000"), stack.redis()
    settle(tool)
    vote_committed(stack, token, project)
    settle(tool)
    redis.set(f"cache:project:{project}", json.dumps({"upvotes": 9}), ex=60)
    wait_until(lambda: metric(tool, "vote_state_consistency_ratio") < 1, 20, "the ratio falls")
    redis.delete(f"cache:project:{project}")
