# test_bounds.py - inputs that are larger than they may be, and values that others wrote, harm nobody.
# SPDX-License-Identifier: Apache-2.0
import json
import socket
import uuid

import pytest
import requests

from stack import SECRET, free_port, wait_until
from topics import produce
from test_access import hand_made

POISON = ["", "7", "-2", "abc", "99999999999999999999", '"},"x":{"', "\x00\xff\r\n", "{" * 5000, "1,2,3,4,5,6,7", "nan"]


def get(stack, token, path, **headers):
    return requests.get(stack.url + path, headers={"Authorization": "Bearer " + token, **headers}, timeout=30)


def talk(port, data):
    """What the server says to these bytes until it ends the connection, or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
            answer += more
        return answer


# HTTP

@pytest.mark.parametrize("port_of", ["api", "admin"])
@pytest.mark.parametrize("head", [
    b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 20000), b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 20000),
    b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"A: b\r\n" * 4000)], ids=["path", "header", "headers"])
def test_a_head_over_16_kib_is_refused(stack, port_of, head):
    port = stack.ports["api"] if port_of == "api" else stack.main_ingest.admin_port
    assert talk(port, head).split(b" ")[1] in (b"400", b"413", b"414", b"431")
    assert requests.get(stack.url + "/openapi.json", timeout=10).status_code == 200


@pytest.mark.parametrize("path, status", [
    ("/api/votes/status/" + "x" * 128, 404), ("/api/projects/" + "x" * 65, 404), ("/api/projects/" + "%00", 404),
    ("/api/projects/%2e%2e", 404), ("/api/votes/user?project_ids=" + "p" * 65, 400),
    ("/api/votes/user?project_ids=" + ",".join(["p"] * 1001), 400), ("/api/votes/user?cursor=" + "1" * 200, 400),
    ("/api/votes/user?cursor=1:p';--", 400), ("/api/votes/user?limit=1001", 400), ("/api/votes/user?limit=99999999999999999999", 400),
    ("/api/leaderboard?limit=101", 400), ("/api/leaderboard?limit=-1", 400)], ids=range(12))
def test_a_path_or_query_out_of_its_bounds_is_refused(stack, token, path, status):
    assert get(stack, token, path).status_code == status


@pytest.mark.parametrize("key, status", [("k" * 255, 202), ("k" * 256, 400), ("", 400), ("tab\tin", 400)], ids=["255", "256", "0", "tab"])
def test_an_idempotency_key_has_1_to_255_printable_characters(stack, project, token, key, status):
    answer = requests.post(stack.url + "/api/votes", json={"project_id": project, "vote_type": "up"}, timeout=30,
                           headers={"Authorization": "Bearer " + token, "Idempotency-Key": key})
    assert answer.status_code == status


def test_a_token_over_4096_bytes_is_refused(stack):
    short, long = (hand_made({"alg": "HS256"}, {"sub": "u1", "pad": "x" * size}, SECRET.encode()) for size in (2900, 3100))
    assert len(short) <= 4096 < len(long)
    assert get(stack, short, "/api/leaderboard").status_code == 200
    assert get(stack, long, "/api/leaderboard").status_code == 401


@pytest.mark.parametrize("traceparent", ["00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x" * 8000, "00-" + "g" * 32 + "-" + "1" * 16 + "-01"],
                         ids=["zero", "long", "hex"])
def test_a_traceparent_that_is_none_is_not_taken_over(stack, project, token, traceparent):
    answer = requests.post(stack.url + "/api/votes", json={"project_id": project, "vote_type": "up"}, timeout=30,
                           headers={"Authorization": "Bearer " + token, "traceparent": traceparent})
    assert answer.status_code == 202
    shown = stack.run("vote-tail", "-t", "requests", "-o", "-50", "--project", project, "--format", "json").stdout
    assert traceparent not in shown and len(json.loads(shown.splitlines()[0])["headers"]) > 0


# Where a request ends

SECOND = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
UNCLEAR = {
    "two lengths": "Content-Length: 0\r\nContent-Length: {size}\r\n\r\n", "a list of lengths": "Content-Length: 0, {size}\r\n\r\n",
    "a length with a sign": "Content-Length: +{size}\r\n\r\n", "a length in hex": "Content-Length: 0x{size}\r\n\r\n",
    "a length below zero": "Content-Length: -{size}\r\n\r\n", "a blank behind the name": "Content-Length : {size}\r\n\r\n",
    "a length and chunks": "Content-Length: {size}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding that is none": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank behind the coding": "Transfer-Encoding : chunked\r\nContent-Length: {size}\r\n\r\n0\r\n\r\n",
    "a carriage return alone": "X: \rxTransfer-Encoding: chunked\r\nContent-Length: {size}\r\n\r\n",
    "chunks of HTTP/1.0": "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def ports(running):
    port = free_port()
    tool = running.tool("vote-notify", "--listen", f"127.0.0.1:{port}").start()
    yield {"vote-ingest": (running.ports["api"], "/api/votes"), "vote-notify": (port, "/socket.io/?EIO=4&transport=polling"),
           "admin": (running.main_commit.admin_port, "/metrics")}
    tool.stop()


@pytest.mark.parametrize("name", UNCLEAR)
@pytest.mark.parametrize("listener", ["vote-ingest", "vote-notify", "admin"])
def test_a_request_whose_end_is_not_clear_is_refused_and_nothing_behind_it_is_heard(ports, listener, name):
    port, path = ports[listener]
    version = "1.0" if name.endswith("1.0") else "1.1"
    head = f"POST {path} HTTP/{version}\r\nHost: x\r\n" + UNCLEAR[name].format(size=len(SECOND))
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(head.encode() + SECOND)
        answer = b""
        while name != "a blank behind the name" or b"\r\n\r\n" not in answer:
            more = connection.recv(65536)
            if not more:
                break
            answer += more
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.split(b" ")[1] in (b"400", b"404", b"411"), answer


# Redis: whoever can write there can show wrong counts for a while, and nothing worse

def poison(redis, key):
    """Writes all of POISON into the key as it is, or as each other kind of it."""
    kind = redis.type(key)
    for value in POISON:
        raw = value.encode("latin-1")
        if kind == "hash":
            for field in set(redis.hkeys(key)) - {"user_id", "state"} or {"field"}:
                redis.hset(key, field, raw)
        elif kind == "string":
            redis.set(key, raw)
        yield value
    redis.delete(key)
    redis.set(key, "a text where a hash was") if kind == "hash" else redis.hset(key, "a", "hash")
    yield "another kind"
    redis.delete(key)


@pytest.mark.parametrize("name", [
    "vote:state:{%(project)s}", "vote:voters:{%(project)s}", "vote:pending:{%(project)s}", "vote:settled:{%(project)s}", "vote:touched",
    "vote:request:%(request)s", "vote:recent:{%(user)s}", "user:%(user)s:upvotes", "vote:metrics", "vote:rate:{%(user)s}",
    "cache:leaderboard:20", "cache:mark:leaderboard"])
def test_a_value_that_others_wrote_ends_no_process_and_makes_no_answer_malformed(stack, project, user, token, name):
    request = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, request)
    key, pid = name % {"project": project, "user": user, "request": request}, stack.main_ingest.process.pid
    redis = stack.redis()
    get(stack, token, "/api/leaderboard?limit=20")
    if not redis.exists(key):
        redis.set(key, "1")
    for value in poison(redis, key):
        answers = [get(stack, token, path) for path in (
            "/api/votes/status/" + request, "/api/votes/user", "/api/votes/metrics", "/api/projects/" + project)]
        answers.append(stack.vote(token, project, "up", toggle=False))
        for answer in answers:
            assert answer.status_code in (200, 202, 404, 503), (value, answer.status_code)
            assert isinstance(answer.json(), dict), (value, answer.text)
    assert stack.main_ingest.process.poll() is None and stack.main_ingest.process.pid == pid
    assert stack.main_commit.process.poll() is None
    wait_until(lambda: stack.vote(token, project, "up", toggle=False).status_code == 202, 30, "votes are taken")
    wait_until(lambda: stack.counts(project) == (1, 0), 30, "the truth is as it was")


def test_a_leaderboard_in_the_cache_that_is_too_large_is_not_served(stack, project, token):
    redis = stack.redis()
    redis.set("cache:leaderboard:17", "x" * (64 * 1024 + 1))
    answer = get(stack, token, "/api/leaderboard?limit=17")
    assert answer.status_code == 200 and "projects" in answer.json()["data"]


# Kafka

def test_a_record_far_larger_than_an_event_is_dead_and_its_neighbours_commit(stack, project, token):
    request_id = str(uuid.uuid4())
    produce(stack, [(project, json.dumps({"request_id": request_id, "pad": "x" * 200_000}), [("ce_type", b"vote.requested.v1")])])
    answer = stack.vote(token, project, "up")
    assert stack.wait_committed(token, answer.json()["data"]["request_id"])["state"] == "committed"

    def dead():
        shown = stack.run("vote-tail", "-t", "dead", "-o", "start", "--format", "json").stdout
        return request_id in shown and "over 64 KiB" in shown
    wait_until(dead, 30, "the record is dead")


# Files

@pytest.mark.parametrize("text, complaint", [
    ("timestamp,user_id,project_id,vote_type\n1,u1,p1," + "x" * 70_000 + "\n", "line 2: is longer than 65536 bytes"),
    ("x" * 70_000, "line 1: is longer than 65536 bytes")], ids=["cell", "header"])
@pytest.mark.parametrize("tool", ["vote-load", "vote-replay"])
def test_a_csv_line_that_is_too_long_is_named(stack, tmp_path, tool, text, complaint):
    (tmp_path / "votes.csv").write_text(text)
    to = ["--to", "requests"] if tool == "vote-replay" else []
    result = stack.run(tool, "--file", str(tmp_path / "votes.csv"), *to)
    assert result.returncode == 65 and complaint in result.stderr


def test_a_file_of_envelopes_with_a_line_without_end_is_refused_and_not_kept(stack, tmp_path):
    with open(tmp_path / "endless.ndjson", "w") as file:
        file.write('{"key":"')
        file.seek(200 * 1024 * 1024)
        file.write("\n")
    result = stack.run("vote-replay", "--file", str(tmp_path / "endless.ndjson"), "--to", "requests")
    assert result.returncode == 65 and "line 1: is longer than 64 MiB" in result.stderr


@pytest.mark.parametrize("content", [b"x" * 2_000_000, b"[" * 100_000, b"", b'{"version":1,"id":"../../etc","task":"t","ranges":[]}'],
                         ids=["large", "deep", "empty", "id"])
def test_a_state_file_that_is_none_is_refused(stack, tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    result = stack.run("vote-replay", "--from", "requests", "--to", "results", "--yes", "--resume", str(tmp_path / "state"))
    assert result.returncode in (65, 78) and "state" in result.stderr
