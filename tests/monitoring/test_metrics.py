# test_metrics.py - what every daemon shows at /metrics, beside the figures of its own stage.
# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import os
import subprocess
import time

import pytest

from conftest import DAEMONS
from scrape import Series
from stack import free_port, wait_until

DEPENDENCIES = {"vote-ingest": {"kafka", "redis", "postgres"}, "vote-commit": {"kafka", "redis", "postgres"},
                "vote-invalidate": {"kafka", "redis"}, "vote-notify": {"kafka", "postgres"}}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_metrics_are_what_promtool_takes_for_sound(watched, daemon):
    checked = subprocess.run(["promtool", "check", "metrics"], input=watched.daemons[daemon].metrics(), capture_output=True,
                             text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
def test_each_dependency_is_shown_by_name(series, daemon):
    shown = {labels["dependency"]: value for name, labels, value in series(daemon).samples if name == "dependency_up"}
    assert shown == dict.fromkeys(DEPENDENCIES[daemon], 1)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_process_tells_what_the_system_knows_of_it(watched, series, daemon):
    pid, shown = watched.daemons[daemon].process.pid, series(daemon)
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    resident = int(status["VmRSS"].split()[0]) * 1024
    assert 0.5 * resident < shown.value("process_resident_memory_bytes") < 2 * resident
    assert abs(shown.value("process_threads") - int(status["Threads"])) <= 8
    assert 0 < shown.value("process_open_fds") < shown.value("process_max_fds")
    figures, ticks_a_second = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split(), os.sysconf("SC_CLK_TCK")
    assert 0 < shown.value("process_cpu_seconds_total") <= sum(map(int, figures[11:13])) / ticks_a_second + 0.1
    booted = time.time() - float(open("/proc/uptime").read().split()[0])
    assert abs(shown.value("process_start_time_seconds") - booted - int(figures[19]) / ticks_a_second) < 30


def test_a_server_that_is_away_is_no_dependency_that_is_up(watched, series):
    watched.server("stop", "redis")
    try:
        wait_until(lambda: series("vote-ingest").value("dependency_up", dependency="redis") == 0, 40, "redis is seen away")
        assert series("vote-ingest").value("dependency_up", dependency="kafka") == 1
    finally:
        watched.server("start", "redis")
    wait_until(lambda: series("vote-ingest").value("dependency_up", dependency="redis") == 1, 40, "redis is seen again")


@pytest.fixture
def one_at_a_time(watched):
    """A vote-ingest that refuses a second vote while it has one in hand."""
    tool = watched.ingest(free_port(), "--max-in-flight", "1", "--redis-timeout", "5s").start()
    yield tool
    tool.stop()


def test_a_vote_that_cannot_be_taken_is_an_error_and_one_that_is_wrong_is_not(watched, one_at_a_time):
    token, url = watched.token("watcher-0"), "http://" + one_at_a_time.arguments[1]
    assert watched.vote(token, "watched-1", "sideways", url=url).status_code == 400
    assert Series(one_at_a_time.metrics()).value("vote_errors_total") == 0
    watched.signal_server("redis", "STOP")
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            votes = [pool.submit(watched.vote, token, "watched-1", "up", url=url, toggle=False) for _ in range(8)]
            wait_until(lambda: any(vote.done() for vote in votes), 20, "one is refused")
            watched.signal_server("redis", "CONT")
            refused = sum(vote.result().status_code == 503 for vote in votes)
    finally:
        watched.signal_server("redis", "CONT")
    assert refused > 0 and Series(one_at_a_time.metrics()).value("vote_errors_total") == refused


def test_the_checks_of_the_caches_are_counted_and_those_that_fail_apart(watched, series):
    def count(result):
        return series("vote-invalidate").value("vote_state_consistency_checks_total", result=result)

    done = count("done")
    wait_until(lambda: count("done") > done, 30, "one more check")
    failed = count("failed")
    watched.server("stop", "postgres")
    try:
        wait_until(lambda: count("failed") > failed, 30, "a check that failed")
    finally:
        watched.server("start", "postgres")
    done = count("done")
    wait_until(lambda: count("done") > done, 60, "checks again")
