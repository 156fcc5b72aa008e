# test_replay.py - what vote-replay sends, where to, and that it sends it once. SPDX-License-Identifier: Apache-2.0
import collections
import json
import os
import pty
import random
import re
import signal
import subprocess
import time
import uuid

import pytest

from stack import BIN, ROOT, wait_until
from test_commit import metric
from topics import event, make_topic, read_committed, send, wait_applied

CSV_HEADER = "timestamp,user_id,project_id,vote_type\n"
BINARY = [
    {"key": "p1", "value": event(1), "headers": [("ce_type", b"vote.cast.v1"), ("z", b"1"), ("a", b"2")]},
    {"key": b"\xff\x00\xfe", "value": b"\x00\x01\xff", "headers": [("bin", b"\xff\x00"), ("empty", b""), ("none", None)]},
    {"key": None, "value": None, "headers": [("twice", b"1"), ("twice", b"2")]},
    {"key": b"", "value": b"", "headers": None},
    {"key": "k", "value": '{ "a" :1.50, "a": 2 }'}, {"key": "k", "value": '[1,2]'}, {"key": "k", "value": '{"base64":"eA=="}'},
    {"key": "k", "value": '{"b":\n[1e999]}'}, {"key": "k", "value": "ünï \x7f\x01"}, {"key": "k", "value": "null"},
    {"key": "k", "value": '{"a":"\\u0000"}'}, {"key": "k", "value": '{"a": {"value": [ ] } }'},
]


@pytest.fixture
def topics(servers):
    """Makes empty topics."""
    return lambda count=2, prefix="vote.": [make_topic(servers, f"{prefix}r-{uuid.uuid4().hex[:8]}") for _ in range(count)]


def replay(servers, *arguments, code=0, **options):
    done = servers.run("vote-replay", *arguments, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def contents(records):
    return collections.Counter(
        (m.key(), m.value(), tuple((n, v) for n, v in m.headers() or () if n != "replay_count")) for m in records)


def counts_of(records):
    return [dict(m.headers() or ()).get("replay_count") for m in records]


def values(servers, topic):
    return sorted(json.loads(m.value())["seq"] for m in read_committed(servers, topic))


def start(servers, *arguments, **options):
    return subprocess.Popen([BIN + "/vote-replay", *arguments], env=servers.env, stderr=subprocess.PIPE, text=True, **options)


def test_from_a_topic_to_another_every_byte_is_kept_and_the_count_raised(servers, topics):
    source, target = topics()
    send(servers, source, BINARY)
    done = replay(servers, "--from", source, "--to", target)
    copied = read_committed(servers, target)
    assert contents(copied) == contents(read_committed(servers, source))
    assert counts_of(copied) == [b"1"] * len(BINARY) and done.stderr == f"vote-replay: {len(BINARY)} sent\n"


def test_a_round_trip_through_a_pipe_keeps_every_byte(servers, topics):
    source, target = topics(1) + topics(1, prefix="other.")
    send(servers, source, BINARY)
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", f"{BIN}/vote-tail -t {source} --format json | "
                    f"{BIN}/vote-replay --file /dev/stdin --to {target} --yes"], env=servers.env, check=True)
    assert contents(read_committed(servers, target)) == contents(read_committed(servers, source))


def test_a_key_stays_in_order_on_one_partition(servers, topics):
    source, target = topics()
    send(servers, source, [{"key": f"p{n % 7}", "value": event(n)} for n in range(700)])
    replay(servers, "--from", source, "--to", target)
    by_key = collections.defaultdict(list)
    for message in read_committed(servers, target):
        by_key[message.key()].append((message.partition(), json.loads(message.value())["seq"]))
    assert len(by_key) == 7 and all(len({p for p, _ in list_}) == 1 and list_ == sorted(list_) for list_ in by_key.values())


def test_without_a_target_it_prints_what_vote_tail_prints(servers, topics):
    source, = topics(1)
    send(servers, source, BINARY)
    shown = servers.run("vote-tail", "-t", source, "--format", "json").stdout.splitlines()
    assert sorted(replay(servers, "--from", source).stdout.splitlines()) == sorted(shown)


def test_head_ends_it_quietly(servers, topics):
    source, = topics(1)
    send(servers, source, [{"value": event(n)} for n in range(20_000)], **{"linger.ms": 20})
    done = subprocess.run(["bash", "-c", f"{BIN}/vote-replay --from {source} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}"],
                          env=servers.env, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("filters, expected", [
    (["--user", "u3"], [3]), (["--project", "p1"], [1, 3, 5]), (["--action", "changed"], [4, 5]),
    (["--request", "00000000-0000-4000-8000-000000000002"], [2]), (["--project", "p0", "--action", "created"], [0, 2])])
@pytest.mark.parametrize("from_file", [False, True])
def test_filters_choose_as_in_the_tail(servers, topics, tmp_path, filters, expected, from_file):
    source, target = topics()
    send(servers, source, [{"key": "p", "value": event(n, project_id=f"p{n % 2}", action="created" if n < 4 else "changed")}
                           for n in range(6)])
    where = ["--from", source]
    if from_file:
        path = tmp_path / "events.ndjson"
        path.write_text(servers.run("vote-tail", "-t", source, "--format", "json").stdout)
        where = ["--file", str(path)]
    replay(servers, *where, "--to", target, *filters)
    assert values(servers, target) == expected


def test_a_selector_chooses_as_in_the_tail(servers, topics):
    source, target = topics()
    send(servers, source, [{"partition": 0, "value": event(n)} for n in range(10)])
    replay(servers, "--from", source, "-o", "3:6", "--to", target)
    assert values(servers, target) == [3, 4, 5]


def test_what_was_replayed_too_often_is_left_out_and_counted(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n), "headers": [("replay_count", str(count))]} for n, count in enumerate(
        (0, 1, 2, 3, 99, "many"))])
    done = replay(servers, "--from", source, "--to", target)
    assert done.stderr == "vote-replay: 3 sent, 3 replayed too often\n"
    assert sorted(counts_of(read_committed(servers, target))) == [b"1", b"2", b"3"]
    assert replay(servers, "--from", source, "--to", target, "--max-replays", "100").stderr.startswith("vote-replay: 5 sent, 1")


def test_a_topic_that_follows_itself_ends(servers, topics):
    topic, = topics(1)
    send(servers, topic, [{"value": event(0)}])
    tool = start(servers, "--from", topic, "-o", "start", "-f", "--to", topic)
    wait_until(lambda: len(read_committed(servers, topic)) == 4, 20, "three copies")
    time.sleep(0.5)
    tool.send_signal(signal.SIGINT)
    assert "3 sent, 1 replayed too often" in tool.communicate(timeout=20)[1] and tool.returncode == 0


def test_other_topics_are_written_by_yes_only(servers, topics):
    source, target = topics(1) + topics(1, prefix="other.")
    send(servers, source, [{"value": event(0)}])
    assert "--yes" in replay(servers, "--from", source, "--to", target, code=64).stderr
    assert read_committed(servers, target) == []
    replay(servers, "--from", source, "--to", target, "--yes")
    assert values(servers, target) == [0]


def test_a_dry_run_tells_by_type_project_and_class_and_sends_nothing(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n, project_id="hot" if n % 2 else f"p{n}"), "headers": [
        ("ce_type", "vote.cast.v1" if n < 30 else "vote.removed.v1"), ("__connect.errors.topic", "vote.requests"),
        ("__connect.errors.exception.class.name", "org.x.TimeoutException"),
        *([("vote_sqlstate", "23514")] if n < 10 else [])]} for n in range(40)] + [{"value": b"\xff"}])
    out = replay(servers, "--from", source, "--to", target, "--dry-run").stdout
    assert "41 records, 41 would be sent\n" in out
    found = {line.split()[0]: int(line.split()[1]) for line in out.splitlines() if line.startswith("  ") and "all others" not in line}
    assert (found["vote.cast.v1"], found["vote.removed.v1"], found["hot"], found["-"]) == (30, 10, 20, 1)
    assert (found["constraint/23514"], found["transient/org.x.TimeoutException"]) == (10, 30)
    assert "by project (22):" in out and "all others" in out and read_committed(servers, target) == []


def test_the_rate_is_kept(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(100)])
    began = time.monotonic()
    replay(servers, "--from", source, "--to", target, "--rate", "50/s")
    assert 1.9 < time.monotonic() - began < 8 and len(values(servers, target)) == 100


def test_a_bar_with_the_time_left_on_a_terminal(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(60)])
    parent, child = pty.openpty()
    tool = subprocess.Popen([BIN + "/vote-replay", "--from", source, "--to", target, "--rate", "40/s"], env=servers.env, stderr=child)
    os.close(child)
    output = b""
    try:
        while chunk := os.read(parent, 65536):
            output += chunk
    except OSError:
        pass
    os.close(parent)
    assert tool.wait(20) == 0 and re.search(rb"\r\[#+\.+\] \d+ of 60 records, \d+ %, \d+/s, \d+ s left", output), output


def test_plain_lines_elsewhere(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(60)])
    errors = replay(servers, "--from", source, "--to", target, "--rate", "10/s").stderr
    assert "\r" not in errors and re.search(r"^vote-replay: \d+ of 60 records, \d+/s, \d+ s left$", errors, re.M)


# --resume

def endings(servers, tmp_path, source, target, spell, kill_after):
    """Runs until one is done, ending each other after a while; how many were ended. The while grows: however slow the
    machine, some run comes to its first record."""
    ended = 0
    while True:
        tool = start(servers, *source, "--to", target, "--resume", str(tmp_path / "state"), "--rate", "4000/s", stdout=subprocess.DEVNULL)
        try:
            errors = tool.communicate(timeout=kill_after() * 1.1 ** ended)[1]
        except subprocess.TimeoutExpired:
            tool.send_signal(spell)
            errors = tool.communicate(timeout=60)[1]
        if tool.returncode == 0:
            return ended
        assert tool.returncode == (-9 if spell == signal.SIGKILL else 75), errors
        ended += 1


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("spell, longest", [(signal.SIGKILL, 1.5), (signal.SIGINT, 1.5)])
def test_ended_at_any_moment_and_resumed_it_sends_each_record_once(servers, topics, tmp_path, from_file, spell, longest):
    source, target = topics()
    send(servers, source, [{"key": f"p{n % 50}", "value": event(n)} for n in range(12_000)], **{"linger.ms": 20})
    where = ["--from", source]
    if from_file:
        path = tmp_path / "events.ndjson"
        path.write_text(servers.run("vote-tail", "-t", source, "--format", "json").stdout)
        where = ["--file", str(path)]
    dice = random.Random(spell * 2 + from_file)
    ended = endings(servers, tmp_path, where, target, spell, lambda: dice.uniform(0.1, longest))
    assert values(servers, target) == list(range(12_000)) and ended >= 2
    assert replay(servers, *where, "--to", target, "--resume", str(tmp_path / "state")).stderr == "vote-replay: 0 sent\n"


def test_a_resumed_replay_ends_where_the_topic_ended_at_first(servers, topics, tmp_path):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(5000)], **{"linger.ms": 20})
    tool = start(servers, "--from", source, "--to", target, "--resume", str(tmp_path / "state"), "--rate", "2000/s")
    wait_until((tmp_path / "state").exists, 20, "the state")
    time.sleep(0.5)
    tool.kill()
    tool.wait()
    send(servers, source, [{"value": event(n)} for n in range(9000, 9010)])
    replay(servers, "--from", source, "--to", target, "--resume", str(tmp_path / "state"))
    assert values(servers, target) == list(range(5000))


def test_the_position_outlives_kafkas_memory_of_the_group(servers, topics, tmp_path):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(10)])
    arguments = ["--from", source, "--to", target, "--resume", str(tmp_path / "state")]
    replay(servers, *arguments)
    state = json.loads((tmp_path / "state").read_text())
    (tmp_path / "state").write_text(json.dumps({**state, "id": "0" * 32}))
    assert replay(servers, *arguments).stderr == "vote-replay: 0 sent\n" and values(servers, target) == list(range(10))


def test_a_state_file_belongs_to_one_replay(servers, topics, tmp_path):
    source, target = topics()
    send(servers, source, [{"value": event(0)}])
    state = str(tmp_path / "state")
    replay(servers, "--from", source, "--to", target, "--resume", state)
    assert "belongs to another replay" in replay(servers, "--from", source, "--to", target, "--user", "u1", "--resume", state, code=64).stderr
    (tmp_path / "state").write_text("{}")
    assert "is no state" in replay(servers, "--from", source, "--to", target, "--resume", state, code=65).stderr


def test_of_two_with_one_state_file_the_first_gives_way(servers, topics, tmp_path):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(6000)], **{"linger.ms": 20})
    arguments = ["--from", source, "--to", target, "--resume", str(tmp_path / "state"), "--rate", "1000/s"]
    first = start(servers, *arguments)
    wait_until((tmp_path / "state").exists, 20, "the state")
    time.sleep(0.5)
    replay(servers, *arguments)
    errors = first.communicate(timeout=60)[1]
    assert first.returncode == 75 and "another vote-replay goes on" in errors
    assert values(servers, target) == list(range(6000))


def test_resume_needs_a_target(servers, topics, tmp_path):
    source, = topics(1)
    assert "--resume" in replay(servers, "--from", source, "--resume", str(tmp_path / "s"), code=64).stderr


# --redrive

def connect_headers(topic, exception, **more):
    return [("__connect.errors.topic", topic), ("__connect.errors.partition", "1"), ("__connect.errors.offset", "7"),
            ("__connect.errors.exception.class.name", exception), ("__connect.errors.exception.message", "why"), *more.items()]


def dlq_headers(topic, **more):
    return [("__dlq.errors.topic", topic), ("__dlq.errors.partition", "1"), ("__dlq.errors.message", "why"),
            ("vote_attempts", "4"), ("vote_first_failed_at", "2026-11-23T18:03:39.594Z"), *more.items()]


def test_a_redrive_sends_both_dialects_back_without_what_failed(servers, topics):
    dead, home, other = topics(3)
    kept = [("ce_type", b"vote.requested.v1"), ("bin", b"\xff\x00")]
    send(servers, dead, [
        {"key": "p1", "value": event(1), "headers": kept + connect_headers(home, "org.x.DataException")},
        {"key": b"\xff", "value": b"\x00\xff", "headers": kept[:1] + dlq_headers(other, vote_sqlstate="40001") + kept[1:]},
        {"key": "p1", "value": event(2), "headers": dlq_headers(home) + kept + connect_headers(home, "refused") + dlq_headers(home)}])
    assert "3 sent" in replay(servers, "--redrive", "--from", dead).stderr
    back = sorted(read_committed(servers, home), key=lambda m: m.value())
    assert [(m.key(), m.headers()) for m in back] == [(b"p1", [*kept, ("replay_count", b"1")])] * 2
    [elsewhere] = read_committed(servers, other)
    assert (elsewhere.key(), elsewhere.value(), elsewhere.headers()) == (b"\xff", b"\x00\xff", [*kept, ("replay_count", b"1")])


@pytest.mark.parametrize("chosen, expected", [
    ("transient", [0, 1, 2]), ("constraint", [3]), ("data", [4]), ("undecodable", [5, 6]), ("refused", [7]), ("unknown", [8]),
    ("23514", [3]), ("constraint,data", [3, 4]), ("OddException", [9]), ("none", [])])
def test_a_redrive_chooses_by_error_class(servers, topics, chosen, expected):
    dead, home = topics()
    errors = [dlq_headers(home, vote_sqlstate="40001"), dlq_headers(home, vote_sqlstate="08006"),
              connect_headers(home, "org.apache.kafka.common.errors.TimeoutException"), dlq_headers(home, vote_sqlstate="23514"),
              dlq_headers(home, vote_sqlstate="22003"), connect_headers(home, "undecodable"),
              connect_headers(home, "org.apache.kafka.connect.errors.DataException"), connect_headers(home, "refused"),
              dlq_headers(home), connect_headers(home, "com.x.OddException")]
    send(servers, dead, [{"value": event(n), "headers": headers} for n, headers in enumerate(errors)])
    replay(servers, "--redrive", "--from", dead, "--class", chosen)
    assert values(servers, home) == expected


def test_a_redrive_chooses_by_request(servers, topics):
    dead, home = topics()
    send(servers, dead, [{"value": event(n), "headers": dlq_headers(home)} for n in range(3)])
    replay(servers, "--redrive", "--from", dead, "--request", "00000000-0000-4000-8000-000000000001")
    assert values(servers, home) == [1]


def test_what_has_no_home_or_one_that_is_not_ours_is_left_and_counted(servers, topics):
    dead, home = topics(1) + topics(1, prefix="other.")
    send(servers, dead, [{"value": event(0)}, {"value": event(1), "headers": dlq_headers(home)}])
    assert replay(servers, "--redrive", "--from", dead).stderr == (
        "vote-replay: 0 sent, 1 of unknown origin, 1 for a topic outside vote.*\n")
    replay(servers, "--redrive", "--from", dead, "--yes")
    assert values(servers, home) == [1]


def test_an_automatic_redrive_waits_until_they_are_old_enough(servers, topics, tmp_path):
    dead, home = topics()
    state = str(tmp_path / "state")
    arguments = ["--redrive", "--from", dead, "-o", "start", "--follow", "--after", "3s", "--class", "transient", "--resume", state]
    send(servers, dead, [{"value": event(1), "headers": dlq_headers(home, vote_sqlstate="40001"), "timestamp": int(time.time() * 1000) - 60_000}])
    tool = start(servers, *arguments)
    wait_until(lambda: values(servers, home) == [1], 20, "the old one")
    sent = time.time()
    send(servers, dead, [{"value": event(2), "headers": dlq_headers(home, vote_sqlstate="40001")},
                         {"value": event(3), "headers": dlq_headers(home, vote_sqlstate="23514")}])
    wait_until(lambda: values(servers, home) == [1, 2], 20, "the young one")
    assert time.time() - sent > 2.9
    tool.kill()
    tool.wait()
    send(servers, dead, [{"value": event(4), "headers": dlq_headers(home, vote_sqlstate="40001")}])
    tool = start(servers, *arguments)
    wait_until(lambda: values(servers, home) == [1, 2, 4], 20, "what came meanwhile")
    tool.send_signal(signal.SIGINT)
    assert tool.communicate(timeout=20)[1].endswith("sent, 1 not meant\n") or tool.returncode == 0


def test_a_vote_that_postgres_refused_goes_back_to_the_log_by_its_class(stack, project, user):
    stack.sql("alter table vote.votes add constraint no_such_user check (user_id <> %s) not valid", user)
    value = event(1, request_id=str(uuid.uuid4()), user_id=user, project_id=project, seq=int(time.time() * 1e6))
    try:
        send(stack, "vote.requests", [{"key": project, "value": value, "headers": [("ce_type", "vote.requested.v1")]}])
        wait_until(lambda: stack.run("vote-tail", "-t", "dead", "--user", user).stdout, 60, "the dead letter")
    finally:
        stack.sql("alter table vote.votes drop constraint no_such_user")
    listed = replay(stack, "--redrive", "--user", user, "--dry-run").stdout
    assert "1 would be sent" in listed and "constraint/23514" in listed
    sent = replay(stack, "--redrive", "--user", user, "--class", "constraint").stderr
    assert "vote-replay: 1 sent" in sent


# --file

def test_votes_of_a_csv_are_requests_in_order_of_time(servers, topics, tmp_path):
    target, = topics(1)
    path = tmp_path / "votes.csv"
    path.write_text("\ufeff" + CSV_HEADER + "3000,u1,p1,down\n1000,u1,p1,up\n2000,u2,p1,up\r\n2000,u2,p1,none\n", newline="")
    replay(servers, "--file", str(path), "--to", target)
    records = sorted((json.loads(m.value()) for m in read_committed(servers, target)), key=lambda v: v["seq"])
    assert [(v["user_id"], v["vote_type"], v["previous"], v["action"], v["seq"]) for v in records] == [
        ("u1", "up", "none", "created", 1_000_000), ("u2", "up", "none", "created", 2_000_000),
        ("u2", "none", "up", "removed", 2_000_001), ("u1", "down", "up", "changed", 3_000_000)]
    [message, *_] = read_committed(servers, target)
    headers = dict(message.headers())
    assert message.key() == b"p1" and headers["ce_type"] == b"vote.requested.v1" and "replay_count" not in headers
    assert uuid.UUID(headers["ce_id"].decode()).version == 8 and headers["ce_id"].decode() == json.loads(message.value())["request_id"]
    replay(servers, "--file", str(path), "--to", target)
    assert len({m.value() for m in read_committed(servers, target)}) == 4


@pytest.mark.parametrize("line, where", [
    ("x,u1,p1,up", "line 3, column 1: timestamp"), ("1,u 1,p1,up", "line 3, column 2: user_id"),
    ("1,u1,,up", "line 3, column 3: project_id"), ("1,u1,p1,sideways", "line 3, column 4: vote_type"), ("1", "line 3, column 2"),
    ("1,u1\0,p1,up", "line 3: holds a NUL")])
@pytest.mark.parametrize("piped", [False, True])
def test_a_bad_csv_is_named_by_line_and_column_and_nothing_of_it_is_sent(servers, topics, tmp_path, line, where, piped):
    target, = topics(1)
    text = CSV_HEADER + "1,u1,p1,up\n" + line + "\n"
    (tmp_path / "votes.csv").write_text(text)
    done = replay(servers, "--file", "-" if piped else str(tmp_path / "votes.csv"), "--to", target, code=65,
                  **({"input": text} if piped else {}))
    assert where in done.stderr and read_committed(servers, target) == []


@pytest.mark.parametrize("text, where", [
    ("", "the file is empty"), ("time,user_id\n1,u\n", "line 1: the header has no timestamp"),
    ('{"key":null,"headers":{},"value":null}\n{"key":1}\n', "line 2: key"),
    ('{"key":null,"headers":{},"value":null}\n{"key":nul}\n', "line 2: column"),
    ('{"key":null,"headers":{},"value":null}\n\n[]\n', "line 3")])
def test_a_bad_file_is_named_by_its_line_and_nothing_of_it_is_sent(servers, topics, tmp_path, text, where):
    target, = topics(1)
    (tmp_path / "file").write_text(text)
    assert where in replay(servers, "--file", str(tmp_path / "file"), "--to", target, code=65).stderr
    assert read_committed(servers, target) == []


def test_a_file_that_is_not_there_is_bad_input(servers):
    assert "no-such-file" in replay(servers, "--file", "no-such-file", "--to", "requests", code=65).stderr


# how it ends

@pytest.mark.parametrize("arguments, code, words", [
    ([], 64, "one of --from"), (["--from", "requests", "--file", "x"], 64, "one of --from"), (["--from", "vote.nowhere"], 64, "no topic vote.nowhere"),
    (["--from", "requests", "--to", "vote.nowhere"], 64, "no topic vote.nowhere"), (["--file", "x", "-o", "start"], 64, "-o"),
    (["--from", "requests", "--rate", "fast"], 64, "--rate"), (["--from", "requests", "-o", "x"], 64, "-o"),
    (["--from", "requests", "-X", "no.such=1"], 78, "no.such"), (["--from", "requests", "--kafka-brokers", "127.0.0.1:1"], 69, "unable to connect"),
    (["--from", "requests", "--to", "results", "--resume", "/no/such/directory/state"], 78, "/no/such/directory")])
def test_each_failure_has_its_code(servers, arguments, code, words):
    assert words in replay(servers, *arguments, code=code, timeout=60).stderr


def test_a_stop_before_the_end_means_try_again(servers, topics):
    source, target = topics()
    send(servers, source, [{"value": event(n)} for n in range(200)])
    tool = start(servers, "--from", source, "--to", target, "--rate", "50/s")
    wait_until(lambda: read_committed(servers, target), 20, "the first ones")
    tool.send_signal(signal.SIGTERM)
    errors = tool.communicate(timeout=20)[1]
    sent = int(re.search(r"vote-replay: (\d+) sent", errors)[1])
    assert tool.returncode == 75 and values(servers, target) == list(range(200)) or len(values(servers, target)) == sent


def test_the_target_outlives_a_restart_of_its_broker(servers, topics, tmp_path):
    source, target = topics()
    send(servers, source, [{"key": f"p{n % 9}", "value": event(n)} for n in range(8000)], **{"linger.ms": 20})
    arguments = ["--from", source, "--to", target, "--resume", str(tmp_path / "state"), "--rate", "2000/s"]
    tool = start(servers, *arguments)
    wait_until((tmp_path / "state").exists, 20, "the state")
    time.sleep(1)
    servers.signal_server("kafka", "KILL")
    servers.server("stop", "kafka")
    servers.server("start", "kafka")
    tool.communicate(timeout=120)
    if tool.returncode:
        assert tool.returncode in (69, 75)
        replay(servers, *arguments)
    # A broker that comes back may still have a transaction to end: what is behind it is not read until then.
    wait_until(lambda: len(values(servers, target)) >= 8000, 60, "all can be read")
    assert values(servers, target) == list(range(8000))


# --verify

def databases(stack):
    return {name for name, in stack.sql("select datname from pg_database")}


@pytest.fixture
def counted(stack, project, token):
    """The stack with everything applied, a vote of ours among it."""
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    wait_applied(stack)
    return stack


def test_a_verify_of_right_tables_finds_nothing_and_leaves_nothing(counted):
    before = databases(counted)
    done = replay(counted, "--verify")
    assert re.search(r"verify: \d+ requests replayed, nothing differs\n", done.stdout) and databases(counted) == before


def test_a_verify_finds_nothing_of_who_was_forgotten(counted, project, user):
    counted.run("vote-admin", "forget-user", user, "--yes", check=True)
    assert counted.counts(project) == (0, 0)
    assert re.search(r"verify: \d+ requests replayed, nothing differs\n", replay(counted, "--verify").stdout)


@pytest.mark.parametrize("damage, repair, line", [
    ("update vote.votes set value = -1 where user_id = %(user)s", "update vote.votes set value = 1 where user_id = %(user)s",
     "%(project)s: the vote of %(user)s would be 1, it is -1"),
    ("update vote.projects set upvotes = 5 where project_id = %(project)s",
     "update vote.projects set upvotes = 1 where project_id = %(project)s", "%(project)s: would have 1 up 0 down, has 5 up 0 down"),
    ("insert into vote.votes values (%(project)s, 'forged', 1, 1, gen_random_uuid(), now())",
     "delete from vote.votes where user_id = 'forged'", "%(project)s: the vote of forged is 1, the log has none")])
def test_a_verify_names_what_differs(counted, project, user, damage, repair, line):
    names, before = {"project": project, "user": user}, databases(counted)
    connection = counted.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("set local vote.apply = 'on'")
        cursor.execute(damage, names)
    done = replay(counted, "--verify", code=1)
    with connection, connection.cursor() as cursor:
        cursor.execute("set local vote.apply = 'on'")
        cursor.execute(repair, names)
    connection.close()
    assert line % names in done.stdout.splitlines() and databases(counted) == before
    assert done.stdout.endswith(" 1 differences\n") and not done.stderr


def test_a_verify_that_fails_or_was_killed_leaves_nothing_for_long(counted):
    before = databases(counted)
    replay(counted, "--verify", "--kafka-brokers", "127.0.0.1:1", code=69)
    assert databases(counted) == before
    tool = start(counted, "--verify")
    wait_until(lambda: databases(counted) != before or tool.poll() is not None, 20, "the scratch database")
    tool.kill()
    tool.wait()
    wait_until(lambda: counted.sql("select count(*) from pg_locks where locktype = 'advisory' and objid = 7368816923 %% 4294967296")[0][0] == 0, 20, "its lock")
    replay(counted, "--verify")
    assert databases(counted) == before


def test_one_verify_at_a_time(counted):
    connection = counted.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(7368816923)")
        assert "another --verify" in replay(counted, "--verify", code=75).stderr
    connection.close()


def test_a_verify_without_postgres_is_unavailable(servers):
    assert "unable to connect to postgres" in replay(
        servers, "--verify", "--database-url", "postgresql://votepipe@127.0.0.1:1/votepipe", code=69).stderr


def test_a_replay_of_the_log_changes_nothing(stack, project, token):
    for vote_type in ("up", "down", "up"):
        stack.wait_committed(token, stack.vote(token, project, vote_type).json()["data"]["request_id"])
    tables = [("select * from vote.votes order by 1, 2",), ("select project_id, upvotes, downvotes, version from vote.projects order by 1",),
              ("select count(*) from vote.log",)]
    before = [stack.sql(*table) for table in tables]
    replayed = replay(stack, "--from", "requests", "--to", "requests", "--project", project).stderr
    count = len(stack.run("vote-tail", "-t", "results", "--project", project).stdout.splitlines())
    assert "3 sent" in replayed
    wait_until(lambda: len(stack.run("vote-tail", "-t", "results", "--project", project).stdout.splitlines()) >= max(6, count), 30, "results")
    assert [stack.sql(*table) for table in tables] == before


def test_a_resumable_replay_into_the_log_stops_neither_votes_nor_audit(stack, project, token, user, tmp_path):
    """What ends a transaction takes an offset that vote-commit never sees."""
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    replay(stack, "--from", "requests", "--to", "requests", "--project", project, "--resume", str(tmp_path / "state"))
    wait_until(lambda: json.loads(stack.run("vote-admin", "lag", "--format", "json").stdout)["max_seconds"] == 0, 20, "no lag")
    wait_until(lambda: metric(stack.main_commit, "vote_commit_lag_records") == 0, 20, "no lag told")
    assert "wait to be applied" not in stack.run("vote-admin", "audit").stdout
    stack.wait_committed(token, stack.vote(token, project, "down").json()["data"]["request_id"])
    assert stack.counts(project) == (0, 1)
    send(stack, "vote.requests", [{"partition": p, "key": project, "value": event(
        1, request_id=str(uuid.uuid4()), user_id=user, project_id=project, seq=p + 1)} for p in range(6)])
    wait_applied(stack)
    audit = stack.run("vote-admin", "audit")
    assert audit.returncode == 0 and stack.counts(project) == (0, 1), audit.stdout
