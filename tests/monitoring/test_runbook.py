# test_runbook.py - whoever is on call may type what the runbook says: each command is run. SPDX-License-Identifier: Apache-2.0
import itertools
import os
import re
import subprocess

import confluent_kafka
import pytest

from monitoring import alerts
from scrape import Series
from stack import BIN, ROOT, wait_until

TEXT = open(os.path.join(ROOT, "pipelines", "runbook.md")).read()
COMMANDS = list(dict.fromkeys(line.strip() for line in re.findall(r"^ {4,}\S.*$", TEXT, re.M)))
# What they found, if they end with 1: a lag, a difference, no line to show.
FINDS = re.compile(r"vote-admin (lag --max-lag|audit|check|topics)|vote-replay --verify")
PORTS = {"9101": "vote-ingest", "9102": "vote-commit", "9103": "vote-invalidate", "9104": "vote-notify"}


@pytest.fixture(scope="module")
def dead_letter(watched):
    """There is something to see in vote.dead."""
    def dead():
        return Series(watched.daemons["vote-commit"].metrics()).value("vote_dead_total", reason="undecodable")
    before = dead()
    producer = confluent_kafka.Producer({"bootstrap.servers": watched.env["VOTE_KAFKA_BROKERS"]})
    producer.produce("vote.requests", key="watched-1", value="no request")
    assert producer.flush(30) == 0
    wait_until(lambda: dead() > before, 30, "the dead letter")


@pytest.fixture(scope="module")
def request_id(watched, dead_letter):
    answer = watched.vote(watched.token("watcher-0"), "watched-1", "up", toggle=False).json()
    watched.wait_committed(watched.token("watcher-0"), answer["data"]["request_id"])
    return answer["data"]["request_id"]


def bash(watched, command, request_id):
    for port, name in PORTS.items():
        command = re.sub(rf"\b{port}\b", str(watched.daemons[name].admin_port), command)
    env = dict(watched.env, PATH=BIN + ":" + os.environ["PATH"], PROJECT="watched-2", REQUEST_ID=request_id)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=env, capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs_as_it_is_written(watched, request_id, command):
    done = bash(watched, command, request_id)
    assert done.returncode in ((0, 1) if FINDS.search(command) else (0,)), done.stdout + done.stderr
    # To drop keys, or to send back what is not there, is quiet; all others show something.
    assert done.stdout or done.stderr or "--redrive" in command, command


def alternatives(pattern):
    """a(b|c)d: abd and acd."""
    parts = [part.split("|") for part in re.split(r"[()]", pattern)]
    return ["".join(words) for words in itertools.product(*parts)]


@pytest.mark.parametrize("command", [command for command in COMMANDS if "grep" in command])
def test_each_word_that_is_grepped_for_is_there(watched, request_id, command):
    found = bash(watched, command, request_id).stdout
    for word in alternatives(re.search(r"grep (?:-E )?'\^(.*)'", command).group(1)):
        assert re.search("^" + word, found, re.M), word


def test_there_are_commands_of_each_tool_that_looks():
    for tool in ("vote-admin lag", "vote-admin stats", "vote-admin trace", "vote-admin audit", "vote-admin check", "vote-tail", "psql",
                 "vote-replay --redrive"):
        assert any(command.startswith(tool) for command in COMMANDS), tool


def test_metrics_and_flags_that_the_text_names_exist(watched):
    shown, flags = set(), set()
    for name, daemon in watched.daemons.items():
        shown |= set(Series(daemon.metrics()).types)
    for tool in os.listdir(BIN):
        flags |= set(re.findall(r"--[a-z-]+", watched.run(tool, "--help=all" if tool != "vote-admin" else "--help").stdout))
    for command in ("lag", "stats", "trace", "audit", "check", "topics"):
        flags |= set(re.findall(r"--[a-z-]+", watched.run("vote-admin", command, "--help").stdout))
    text = re.sub(r"kubectl [^`\n]*|gdb [^`\n]*|redis-cli [^`\n]*", "", TEXT)
    assert set(re.findall(r"(?<![\w-])--[a-z]+[a-z-]*", text)) - flags == set()
    assert set(re.findall(r"`(vote_[a-z_]+)`", text)) - shown == set()


def test_each_link_of_the_runbook_leads_to_a_section_or_a_file():
    names = {alert["alert"].lower() for alert in alerts()}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in names, target
        else:
            assert os.path.exists(os.path.join(ROOT, "pipelines", target)), target
