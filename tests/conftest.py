# conftest.py - one set of servers and tools for the whole run. SPDX-License-Identifier: Apache-2.0
import os
import shutil
import sys
import tempfile
import uuid

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))
from stack import Stack  # noqa: E402


@pytest.fixture(scope="session")
def servers():
    directory = tempfile.mkdtemp(prefix="votepipe-test-")
    os.chmod(directory, 0o755)
    stack = Stack(directory)
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def running(servers):
    """The servers with one vote-ingest and one vote-commit."""
    servers.main_ingest = servers.ingest().start()
    servers.main_commit = servers.commit("-X", "session.timeout.ms=6000").start()
    return servers


@pytest.fixture
def stack(running):
    """The running stack; whatever a test killed is started again for the next one."""
    for tool in (running.main_ingest, running.main_commit):
        if tool.process.poll() is not None:
            tool.start()
    return running


@pytest.fixture
def project(stack):
    name = "p-" + uuid.uuid4().hex[:12]
    stack.add_projects(name)
    return name


@pytest.fixture
def user():
    return "u-" + uuid.uuid4().hex[:12]


@pytest.fixture
def token(stack, user):
    return stack.token(user)
