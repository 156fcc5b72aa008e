# test_tail.py - what vote-tail shows, of what, and how it ends. SPDX-License-Identifier: Apache-2.0
import csv
import io
import json
import os
import pty
import signal
import subprocess
import time
import uuid

import pytest
from confluent_kafka.admin import AdminClient

from stack import BIN, wait_until
from topics import event, make_topic, send

T0 = 1795457019000  # of record 0; each later one is a second younger


@pytest.fixture(scope="module")
def ten(servers):
    """A topic of one partition with the offsets 0 to 9, a second apart, by users u0 to u9."""
    topic = make_topic(servers, "vote.ten-" + uuid.uuid4().hex[:8], 1)
    send(servers, topic, [{
        "key": "p1", "timestamp": T0 + 1000 * n, "headers": [("ce_type", "vote.cast.v1")],
        "value": event(n, project_id=f"p{n % 2}", action="created" if n < 5 else "changed")} for n in range(10)])
    return topic


@pytest.fixture
def topic(servers):
    return make_topic(servers, "vote.tail-" + uuid.uuid4().hex[:8])


def tail(servers, topic, *arguments):
    done = servers.run("vote-tail", "-t", topic, "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def offsets(servers, topic, *arguments):
    return [envelope["offset"] for envelope in tail(servers, topic, *arguments)]


class Following:
    """A vote-tail -f whose lines can be waited for."""

    def __init__(self, servers, topic, *arguments):
        self.process = subprocess.Popen([BIN + "/vote-tail", "-f", "-t", topic, "--format", "json", *arguments],
                                        env=servers.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.lines, self.rest = [], b""

    def read(self):
        self.rest += self.process.stdout.read() or b""
        *lines, self.rest = self.rest.split(b"\n")
        self.lines += [json.loads(line) for line in lines]
        return self.lines

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        assert self.process.wait(10) is not None
        self.read()
        errors = self.process.stderr.read().decode()
        return self.process.returncode, errors


SELECTORS = [
    ("start", range(10)), ("end", []), ("+3", range(3, 10)), ("+99", []), ("-3", range(7, 10)), ("-99", range(10)),
    ("2:5", range(2, 5)), ("8:", range(8, 10)), ("8:99", range(8, 10)), ("0:0", []),
    (f"@{T0 + 7000}", range(7, 10)), (f"@{T0 // 1000 + 7}", range(7, 10)), (f"@{T0 + 2000}:{T0 + 4000}", range(2, 4)),
    ("@2026-11-23T18:03:46Z", range(7, 10)), ("@2026-11-23", range(10)), ("@2026-11-24T00:00:00+01:00:", []),
    ("@2026-11-23T18:03:41Z:2026-11-23T19:03:43+01:00", range(2, 4)), ("@2026-11-22:2026-11-23", []),
]


@pytest.mark.parametrize("selector, expected", SELECTORS)
def test_a_selector_means_these_records(servers, ten, selector, expected):
    assert offsets(servers, ten, "-o", selector) == list(expected)


def test_a_time_may_be_told_as_a_while_ago(servers, topic):
    now = int(time.time() * 1000)
    send(servers, topic, [{"key": "p", "value": f'{{"n":{n}}}', "timestamp": now - n * 60_000} for n in (60, 20, 10, 1)])
    assert [e["value"]["n"] for e in tail(servers, topic, "-o", "@-15m:")] == [10, 1]
    assert [e["value"]["n"] for e in tail(servers, topic, "-o", "@-30m:-5m")] == [20, 10]


@pytest.mark.parametrize("selector", ["", "sideways", "@", "@noon", "5", "5:2", "+", "-x", "@-15"])
def test_what_is_no_selector_is_named(servers, ten, selector):
    done = servers.run("vote-tail", "-t", ten, "-o", selector)
    assert done.returncode == 64 and "-o:" in done.stderr


@pytest.mark.parametrize("filters, expected", [
    (["--user", "u3"], [3]), (["--project", "p1"], [1, 3, 5, 7, 9]), (["--action", "changed"], [5, 6, 7, 8, 9]),
    (["--request", "00000000-0000-4000-8000-000000000004"], [4]), (["--project", "p0", "--action", "created"], [0, 2, 4]),
    (["--user", "u3", "--project", "p0"], []), (["--user", "created"], [])])
def test_filters_choose_by_what_the_event_says(servers, ten, filters, expected):
    assert offsets(servers, ten, *filters) == expected


def test_a_filter_sees_through_escapes_and_white_space(servers, topic):
    send(servers, topic, [{"value": '{ "user_id" :\t"u\\u0031" }'}, {"value": '{"user_id":"u12"}'}, {"value": '"u1"'}, {"value": None}])
    assert [e["value"] for e in tail(servers, topic, "--user", "u1")] == [{"user_id": "u1"}]


def test_a_filter_that_nothing_passes_is_refused(servers, ten):
    for flag, value in (("--user", "no id"), ("--action", "made")):
        done = servers.run("vote-tail", "-t", ten, flag, value)
        assert done.returncode == 64 and flag in done.stderr


def test_a_following_tail_outlives_the_broker(servers, topic):
    tail = Following(servers, topic, "-o", "start")
    send(servers, topic, [{"value": '{"n":1}'}])
    wait_until(tail.read, 20, "the first")
    servers.signal_server("kafka", "KILL")
    servers.server("stop", "kafka")
    time.sleep(1)
    assert tail.process.poll() is None
    servers.server("start", "kafka")
    send(servers, topic, [{"value": '{"n":2}'}])
    wait_until(lambda: len(tail.read()) == 2, 60, "the second")
    code, errors = tail.end()
    assert code == 0 and [e["value"]["n"] for e in tail.lines] == [1, 2]
    assert errors.count("kafka cannot be reached") == 1 and "vote-tail: 2 records\n" in errors


def test_ctrl_c_ends_with_a_count_and_0(servers, topic):
    tail = Following(servers, topic)
    wait_until(lambda: (send(servers, topic, [{"value": "{}"}]), tail.read())[1], 20, "a record")
    code, errors = tail.end()
    assert (code, errors) == (0, f"vote-tail: {len(tail.lines)} records\n")


@pytest.fixture(scope="module")
def many(servers):
    name = make_topic(servers, "vote.many-" + uuid.uuid4().hex[:8], 3)
    send(servers, name, [{"value": event(n)} for n in range(30_000)], **{"linger.ms": 20})
    return name


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 0), (signal.SIGTERM, 75)])
def test_a_read_that_is_ended_by_hand_is_done_and_by_others_is_not(servers, many, number, expected):
    tail = subprocess.Popen([BIN + "/vote-tail", "-t", many, "--format", "json"], env=servers.env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tail.stdout.read(1000)  # then it fills the pipe, and waits
    tail.send_signal(number)
    output, errors = tail.communicate(timeout=20)
    assert tail.returncode == expected and output.count(b"\n") < 30_000
    assert (b"records\n" in errors) == (expected == 0)


@pytest.mark.parametrize("arguments", [["--format", "json"], ["--format", "csv"], ["-o", "start", "-f"]])
def test_head_ends_it_quietly(servers, many, arguments):
    command = [BIN + "/vote-tail", "-t", many, *arguments]
    done = subprocess.run(["bash", "-c", '"$@" | head -n 2 >/dev/null; echo ${PIPESTATUS[0]}', "-", *command],
                          env=servers.env, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_nothing_is_left_out_of_a_long_read(servers, many):
    assert sorted(e["value"]["seq"] for e in tail(servers, many)) == list(range(30_000))


def test_a_following_tail_shows_what_comes_without_waiting_for_more(servers, topic):
    tail = Following(servers, topic, "-o", "start")
    send(servers, topic, [{"value": "{}"}])
    wait_until(tail.read, 20, "the first")
    began = time.monotonic()
    send(servers, topic, [{"value": "{}"}])
    wait_until(lambda: len(tail.read()) == 2, 5, "the second")
    assert time.monotonic() - began < 1.5
    tail.end()


def test_it_joins_no_group(servers, ten):
    tail(servers, ten)
    groups = AdminClient({"bootstrap.servers": servers.env["VOTE_KAFKA_BROKERS"]}).list_groups(timeout=10)
    assert "vote-tail" not in [group.id for group in groups]


def on_terminal(servers, *arguments, **environment):
    """What the tool writes to a terminal."""
    parent, child = pty.openpty()
    env = {**servers.env, "TERM": "xterm", **environment}
    if "NO_COLOR" not in environment:
        env.pop("NO_COLOR", None)
    tool = subprocess.Popen([BIN + "/vote-tail", *arguments], env=env, stdout=child)
    os.close(child)
    output = b""
    try:
        while chunk := os.read(parent, 65536):
            output += chunk
    except OSError:
        pass  # the terminal's other end is closed
    os.close(parent)
    assert tool.wait(20) == 0
    return output.decode()


def test_text_is_coloured_on_a_terminal_only(servers, ten):
    assert "\x1b[32m vote.cast.v1" in on_terminal(servers, "-t", ten)
    assert "\x1b" not in servers.run("vote-tail", "-t", ten).stdout


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(servers, ten, environment):
    assert "\x1b" not in on_terminal(servers, "-t", ten, **environment)


def test_text_stands_in_columns(servers, topic):
    send(servers, topic, [{"value": event(n, user_id=user, action=action), "headers": [("ce_type", kind)]} for n, user, action, kind in (
        (1, "u1", "created", "vote.cast.v1"), (2, "a-longer-one", "unchanged", "vote.superseded.v1"))])
    lines = servers.run("vote-tail", "-t", topic).stdout.splitlines()
    assert len({line.index(" p1 ") for line in lines}) == len({line.index("00000000-") for line in lines}) == 1


def test_text_lets_no_control_reach_the_terminal(servers, topic):
    send(servers, topic, [{"value": event(1, user_id="\x1b[2J\x9b2J\x07"), "headers": [("ce_type", "a\x1bb")]}])
    line = servers.run("vote-tail", "-t", topic).stdout
    assert line.count("\n") == 1 and not set(line[:-1]) & {"\x1b", "\x9b", "\x07"}


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1")


def test_csv_is_a_table_that_no_spreadsheet_runs(servers, topic):
    users = (*FORMULAS, 'say "hi", you', "two\r\nlines", "plain", "ünïcode")
    send(servers, topic, [{"key": "p1", "partition": 0, "value": event(n, user_id=user, vote_count=-4),
                           "headers": [("ce_type", "vote.cast.v1")]} for n, user in enumerate(users)])
    output = subprocess.check_output([BIN + "/vote-tail", "-t", topic, "--format", "csv"], env=servers.env).decode()
    assert all(line.endswith("\r\n") for line in output.splitlines(True)) and output.startswith("timestamp,topic,partition,offset,key,type,")
    rows = list(csv.DictReader(io.StringIO(output, newline=""), strict=True))
    assert [row["user_id"] for row in rows] == [*("'" + formula.replace("\t", "?") for formula in FORMULAS),
                                                'say "hi", you', "two??lines", "plain", "ünïcode"]
    assert {(row["type"], row["vote_count"], row["key"]) for row in rows} == {("vote.cast.v1", "-4", "p1")}


def test_csv_of_what_is_no_event_has_its_place_and_empty_cells(servers, topic):
    send(servers, topic, [{"key": b"\xff", "value": b"\x00\xff"}, {"value": None}])
    rows = list(csv.DictReader(io.StringIO(servers.run("vote-tail", "-t", topic, "--format", "csv").stdout), strict=True))
    assert sorted((row["key"], row["user_id"], row["topic"]) for row in rows) == [("", "", topic), ("?", "", topic)]


def test_a_topic_that_is_not_there_is_named(servers):
    done = servers.run("vote-tail", "-t", "vote.nowhere")
    assert done.returncode == 64 and "there is no topic vote.nowhere" in done.stderr


def test_without_a_broker_it_is_unavailable(servers):
    done = servers.run("vote-tail", "--kafka-brokers", "127.0.0.1:1", timeout=60)
    assert done.returncode == 69 and "unable to connect to kafka" in done.stderr


def test_a_full_disk_is_told(servers, ten):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN + "/vote-tail", "-t", ten], env=servers.env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 69 and "unable to write to stdout" in done.stderr
