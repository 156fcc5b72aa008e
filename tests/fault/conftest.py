# conftest.py - the servers of the run, with tools as the fault tests need them. SPDX-License-Identifier: Apache-2.0
import pytest

from members import RETRIES, STAND_IN, crash_env, wait_killed
from votes import Load


@pytest.fixture(scope="session")
def running(servers):
    servers.main_ingest = servers.ingest().start()
    servers.main_commit = servers.commit(*STAND_IN, *RETRIES).start()
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


@pytest.fixture
def crash(own_commit):
    """crash(point:number, flags...): a vote-commit works until it has ended itself there."""
    def run(at, *arguments):
        wait_killed(own_commit(*arguments, ready=False, env=crash_env(at)), at)
    return run
