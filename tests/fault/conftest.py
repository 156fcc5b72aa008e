# conftest.py - the servers of the run, and a vote-commit whose death the group notices soon. SPDX-License-Identifier: Apache-2.0
import os
import signal

import pytest

from stack import BIN
from votes import Load

SOON = ("-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=300")
# Whoever takes the place of a member that was killed need not wait for its session to end.
STAND_IN = (*SOON, "-X", "group.instance.id=main")
CRASH = os.path.join(os.path.dirname(BIN), "test", "libcrash.so")


@pytest.fixture(scope="session")
def running(servers):
    servers.main_ingest = servers.ingest().start()
    servers.main_commit = servers.commit(*STAND_IN).start()
    return servers


@pytest.fixture
def load(stack):
    load = Load(stack)
    yield load
    load.close()


@pytest.fixture
def own_commit(stack):
    """own_commit(flags...): a vote-commit of the test's own in the place of the running one."""
    started = []

    def start(*arguments, ready=True, env=None):
        stack.main_commit.stop()
        started.append(stack.commit(*STAND_IN, *arguments))
        return started[-1].start(ready=ready, env=env)

    yield start
    for tool in started:
        tool.stop()


def crash_env(point):
    """What makes a tool end itself there."""
    assert os.path.exists(CRASH), f"{CRASH} is missing: make units"
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": CRASH, "CRASH_AT": point, "ASAN_OPTIONS": sanitizer}


@pytest.fixture
def crash(own_commit):
    """crash(point:number, flags...): a vote-commit works until it has ended itself there."""
    def run(at, *arguments):
        wait_killed(own_commit(*arguments, ready=False, env=crash_env(at)), at)
    return run


def wait_killed(tool, at):
    """Until it has ended itself, at that point and no other."""
    assert tool.process.wait(30) == -signal.SIGKILL
    assert open(tool.log).read().endswith(f"crash: {at.split(':')[0]}\n")
