# test_invalidate.py - caches follow what was committed. SPDX-License-Identifier: Apache-2.0
import http.client
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid

import pytest
import requests
from confluent_kafka import Consumer, TopicPartition

from stack import BIN, ROOT, die_with_parent, free_port, wait_until

VCL = ROOT + "/pipelines/varnish/votepipe.vcl"
FAST = ("--debounce", "300ms", "--max-wait", "1s")


@pytest.fixture
def start(stack):
    """start(flags...): a vote-invalidate in a group of its own, which begins with what comes now."""
    tools = []

    def launch(*flags, group=None):
        group = group or "invalidate-" + uuid.uuid4().hex[:8]
        begin_at_the_end(stack, group)
        tools.append(stack.tool("vote-invalidate", "--group", group, *flags).start())
        return tools[-1]
    yield launch
    for tool in tools:
        tool.stop()


def begin_at_the_end(stack, group):
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": group})
    count = len(consumer.list_topics("vote.results", timeout=10).topics["vote.results"].partitions)
    ends = [TopicPartition("vote.results", p, consumer.get_watermark_offsets(TopicPartition("vote.results", p), timeout=10)[1])
            for p in range(count)]
    consumer.commit(offsets=ends, asynchronous=False)
    consumer.close()


def metric(tool, name, labels=""):
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", tool.metrics(), re.M)
    return float(found[1]) if found else 0


class Watch:
    """When each key was unlinked, by what Redis itself says of its commands."""

    def __init__(self, stack):
        self.seen, self.client = [], stack.redis()
        self.monitor = self.client.monitor()
        self.monitor.__enter__()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for command in self.monitor.listen():
                words = command["command"].split(" ")
                if words[0].upper() == "UNLINK":
                    self.seen.append((command["time"], words[1]))
        except Exception:  # closed
            return

    def of(self, key):
        return [when for when, name in list(self.seen) if name == key]

    def close(self):
        self.monitor.connection.disconnect()


@pytest.fixture
def watch(stack):
    watch = Watch(stack)
    yield watch
    watch.close()


def fill(stack, *keys):
    for key in keys:
        stack.redis().set(key, "stale")


def gone(stack, *keys):
    return not stack.redis().exists(*keys)


def commit(stack, token, project, vote="up"):
    answer = stack.vote(token, project, vote)
    stack.wait_committed(token, answer.json()["data"]["request_id"])


def test_every_cache_of_the_contract_is_purged_and_no_other(stack, start, project, token, user):
    start(*FAST)
    mine = [f"cache:project:{project}", f"cache:user:{user}:votes", "cache:feed:newest", "cache:leaderboard:17"]
    fill(stack, *mine, "cache:project:other", f"cache:user:other-{user}:votes", "cache:else")
    commit(stack, token, project)
    wait_until(lambda: gone(stack, *mine), 10, "purged")
    assert stack.redis().exists("cache:project:other", f"cache:user:other-{user}:votes", "cache:else") == 3


def test_a_purge_follows_the_last_change_by_the_debounce(stack, start, project, token, watch):
    start("--debounce", "600ms", "--max-wait", "5s")
    for vote in ("up", "down", "up"):
        commit(stack, token, project, vote)
        last = time.time()
        time.sleep(0.2)
    key = f"cache:project:{project}"
    wait_until(lambda: watch.of(key), 10, "purged")
    time.sleep(1)
    assert len(watch.of(key)) == 1
    assert 0.4 < watch.of(key)[0] - last < 2.5


def test_ten_thousand_votes_are_at_most_six_purges_and_none_is_late(stack, start, project, watch):
    start()
    stack.add_projects("p1")
    first = time.time()
    load = subprocess.run([BIN + "/vote-load", "--users", "5000", "--projects", "1", "--rate", "1000/s", "--connections", "16",
                           "--duration", "10s"], env=stack.env, capture_output=True, text=True, timeout=60)
    last = time.time()
    assert load.returncode == 0, load.stderr
    key = "cache:project:p1"
    wait_until(lambda: watch.of(key) and watch.of(key)[-1] > last, 10, "the last purge")
    purges = watch.of(key)
    assert len(purges) <= 6
    gaps = [b - a for a, b in zip([first, *purges], purges)]
    assert max(gaps) < 6.5  # five, and the way of the first vote through all stages


def test_a_kill_within_the_window_forgets_nothing(stack, start, project, token, user):
    tool = start("--debounce", "3s", "--max-wait", "6s", group="killed-" + uuid.uuid4().hex[:6])
    projects = [f"{project}-{n}" for n in range(20)]
    stack.add_projects(*projects)
    keys = [f"cache:project:{name}" for name in projects] + [f"cache:user:{user}:votes"]
    fill(stack, *keys)
    for name in projects:
        commit(stack, token, name)
    wait_until(lambda: metric(tool, "vote_invalidate_pending") >= 20, 10, "all of them wait")
    tool.kill()
    assert not gone(stack, *keys)
    tool.arguments = [*tool.arguments[:2], *FAST]
    tool.start()
    wait_until(lambda: gone(stack, *keys), 30, "purged after the restart")


def test_a_stop_purges_what_waits(stack, start, project, token):
    tool = start("--debounce", "30s", "--max-wait", "60s")
    fill(stack, f"cache:project:{project}")
    commit(stack, token, project)
    wait_until(lambda: metric(tool, "vote_invalidate_pending") > 0, 10, "it waits")
    assert tool.stop() == 0
    assert gone(stack, f"cache:project:{project}")


def test_redis_may_be_away(stack, start, project, token):
    tool = start(*FAST)
    fill(stack, f"cache:project:{project}")
    answer = stack.vote(token, project, "up")
    stack.signal_server("redis", "STOP")
    try:
        wait_until(lambda: metric(tool, "vote_invalidate_failures_total", '{target="redis"}') > 0, 20, "a failure is counted")
        assert requests.get(f"http://127.0.0.1:{tool.admin_port}/readyz", timeout=5).status_code == 503
        assert metric(tool, "vote_invalidate_lag_records") > 0  # Kafka is not told
    finally:
        stack.signal_server("redis", "CONT")
    assert answer.status_code == 202
    wait_until(lambda: gone(stack, f"cache:project:{project}"), 20, "purged when it is back")
    wait_until(lambda: metric(tool, "vote_invalidate_lag_records") == 0, 20, "and Kafka is told")


def test_rules_come_from_a_file_and_from_flags(stack, start, project, token, user, tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("# mine\n\nkey a:{{project_id}}\ntag members-of:{project_id}\n tag any \n")
    start(*FAST, "--keys-file", str(rules), "--key", "b:{user_id}", "--key", "c:all")
    redis = stack.redis()
    fill(stack, f"a:{{{project}}}", f"b:{user}", "c:all", "in:1", "in:2", "any:1", f"cache:project:{project}")
    redis.sadd(f"members-of:{project}", "in:1", "in:2")
    redis.sadd("any", "any:1")
    commit(stack, token, project)
    wait_until(lambda: gone(stack, f"a:{{{project}}}", f"b:{user}", "c:all", "in:1", "in:2", "any:1", f"members-of:{project}"), 10, "purged")
    assert redis.exists(f"cache:project:{project}")


@pytest.mark.parametrize("flags, named", [
    (("--key", "x:{project}"), '--key: "x:{project}": {project} is neither {project_id} nor {user_id}'),
    (("--key", "{user_id}:{project_id}"), "more than one placeholder"), (("--key", "a b"), "has a blank"),
    (("--keys-file", "/nowhere"), "/nowhere"), (("--purge-url", "ftp://x"), "--purge-url"),
    (("--debounce", "9s"), "--max-wait is shorter")])
def test_a_bad_setting_stops_the_start(stack, flags, named):
    result = subprocess.run([BIN + "/vote-invalidate", "--admin-listen", f"127.0.0.1:{free_port()}", *flags], env=stack.env,
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 78 and named in result.stderr


def test_a_bad_line_is_named(stack, tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("key a\nurl no-slash\n")
    result = subprocess.run([BIN + "/vote-invalidate", "--keys-file", str(rules)], env=stack.env, capture_output=True, text=True,
                            timeout=20)
    assert result.returncode == 78 and f"{rules}:2" in result.stderr and "no-slash" in result.stderr


def test_the_shipped_rules_are_those_of_the_file(stack, start, project, token, user):
    start(*FAST, "--keys-file", ROOT + "/pipelines/local/invalidate.keys")
    source = open(ROOT + "/cmd/vote-invalidate/template.c").read()
    lines = [line.strip() for line in open(ROOT + "/pipelines/local/invalidate.keys") if line.strip() and line[0] != "#"]
    assert re.findall(r'"((?:key|tag|pattern|url|surrogate) [^"]+)"', source) == lines


def test_a_slow_fill_does_not_stay(stack, start, project, token):
    """A reader read before the commit, and writes its cache when the purge has been: the second purge takes it."""
    tool = start(*FAST, "--double-delete", "700ms")
    key = f"cache:project:{project}"
    before = metric(tool, "vote_invalidate_rounds_total")
    read = str(stack.counts(project))
    commit(stack, token, project)
    wait_until(lambda: metric(tool, "vote_invalidate_rounds_total") > before, 10, "the purge")
    stack.redis().set(key, read)  # too late
    assert not gone(stack, key)
    wait_until(lambda: gone(stack, key), 5, "the second purge")


# --- HTTP


class Varnish:
    def __init__(self, api_port):
        self.port, self.directory = free_port(), tempfile.mkdtemp(prefix="votepipe-varnish-")
        os.chmod(self.directory, 0o755)
        self.vcl = self.directory + "/votepipe.vcl"
        with open(VCL) as source, open(self.vcl, "w") as target:
            target.write(source.read().replace('.port = "8080"', f'.port = "{api_port}"'))
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["varnishd", "-F", "-n", self.directory + "/work", "-a", f"127.0.0.1:{self.port}", "-f", self.vcl, "-s", "malloc,16m",
             "-j", "none", "-T", "none"], stdout=subprocess.DEVNULL, stderr=open(self.directory + "/log", "ab"),
            preexec_fn=die_with_parent)
        wait_until(self.answers, 30, "varnish")
        return self

    def answers(self):
        assert self.process.poll() is None, open(self.directory + "/log").read()
        try:
            return requests.get(self.url + "/openapi.json", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def varnish(stack):
    if not shutil.which("varnishd"):
        pytest.skip("varnish is not installed")
    varnish = Varnish(stack.ports["api"]).start()
    yield varnish
    varnish.close()


def cached(varnish, token, path):
    """The counts that come, and whether they are out of the cache."""
    answer = requests.get(varnish.url + path, headers={"Authorization": "Bearer " + token}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"], int(answer.headers["Age"]) > 0 or len(answer.headers["X-Varnish"].split()) == 2


def hold(varnish, token, *paths):
    """Has them in the cache."""
    for path in paths:
        cached(varnish, token, path)
        assert cached(varnish, token, path)[1], path


def test_varnish_is_purged_by_surrogate_keys(stack, start, project, token, varnish):
    tool = start(*FAST, "--purge-url", varnish.url + "/")
    other = project + ".x"
    stack.add_projects(other)
    path = f"/api/projects/{project}"
    hold(varnish, token, path, f"/api/projects/{other}", "/api/leaderboard?limit=100")
    commit(stack, token, project)
    wait_until(lambda: cached(varnish, token, path)[0]["upvotes"] == 1, 10, "the new count")
    assert cached(varnish, token, f"/api/projects/{other}")[1]  # its neighbour is as it was
    wait_until(lambda: any(p["project_id"] == project and p["upvotes"] == 1
                           for p in cached(varnish, token, "/api/leaderboard?limit=100")[0]["projects"]), 10, "the new leaderboard")
    assert metric(tool, "vote_invalidate_purged_total", '{kind="surrogate"}') >= 2


def test_varnish_is_purged_by_path(stack, start, project, token, varnish, tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("url /api/projects/{project_id}\n")
    tool = start(*FAST, "--purge-url", varnish.url, "--keys-file", str(rules))
    other = project + "x"
    stack.add_projects(other)
    tokens = [token, stack.token("reader")]
    for one in tokens:
        hold(varnish, one, f"/api/projects/{project}", f"/api/projects/{other}")
    commit(stack, token, project)
    for one in tokens:
        wait_until(lambda: cached(varnish, one, f"/api/projects/{project}")[0]["upvotes"] == 1, 10, "the new count")
        assert cached(varnish, one, f"/api/projects/{other}")[1]
    assert metric(tool, "vote_invalidate_purged_total", '{kind="url"}') == 1


def test_three_hundred_keys_are_more_than_one_call(stack, start, project, token, varnish):
    tool = start("--debounce", "3s", "--max-wait", "20s", "--purge-url", varnish.url)
    projects = [f"{project}-{n}" for n in range(300)]
    stack.add_projects(*projects)
    hold(varnish, token, *(f"/api/projects/{name}" for name in projects[:3] + projects[-3:]))
    before = metric(tool, "vote_invalidate_purged_total", '{kind="surrogate"}')
    for name in projects:
        assert stack.vote(token, name, "up").status_code == 202
    wait_until(lambda: metric(tool, "vote_invalidate_purged_total", '{kind="surrogate"}') >= before + 300, 30, "all purged")
    for name in projects[:3] + projects[-3:]:
        assert cached(varnish, token, f"/api/projects/{name}")[0]["upvotes"] == 1


def test_varnish_may_be_away(stack, start, project, token, varnish):
    tool = start(*FAST, "--purge-url", varnish.url)
    path = f"/api/projects/{project}"
    varnish.stop()
    fill(stack, f"cache:project:{project}")
    commit(stack, token, project)
    wait_until(lambda: gone(stack, f"cache:project:{project}"), 10, "Redis does not wait for Varnish")
    wait_until(lambda: metric(tool, "vote_invalidate_open_breakers") == 1, 20, "the breaker opens")
    assert metric(tool, "vote_invalidate_pending") > 0
    varnish.start()
    hold(varnish, token, path)
    wait_until(lambda: metric(tool, "vote_invalidate_pending") == 0, 20, "purged when it is back")
    assert metric(tool, "vote_invalidate_open_breakers") == 0


def purge_from(varnish, source, headers):
    connection = http.client.HTTPConnection("127.0.0.1", varnish.port, timeout=10, source_address=(source, 0))
    connection.request("PURGE", "/", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_stranger_may_not_purge(stack, varnish, project, token):
    path, key = f"/api/projects/{project}", {"Surrogate-Key": f"project-a.b project-{project}"}
    hold(varnish, token, path)
    assert purge_from(varnish, "127.0.0.2", key) == 403
    assert cached(varnish, token, path)[1]
    assert purge_from(varnish, "127.0.0.1", {"Surrogate-Key": project.replace("p-", "projectXp-")}) == 200
    assert cached(varnish, token, path)[1]  # a key that is another's
    assert purge_from(varnish, "127.0.0.1", key) == 200
    assert not cached(varnish, token, path)[1]
