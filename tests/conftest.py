# conftest.py - one set of servers and tools for the whole run. SPDX-License-Identifier: Apache-2.0
import glob
import os
import re
import sys
import time
import uuid

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))
from secured import SecuredStack  # noqa: E402
from stack import Stack, started_servers  # noqa: E402


def warnings(stack, since_s):
    """What the stack's tools have logged since then that is a warning or worse, a line each."""
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_s))
    for path in glob.glob(os.path.join(stack.directory, "vote-*.log")):
        with open(path, errors="replace") as file:
            for line in file:
                record = re.match(r"ts=(\S+) level=(warn|error) ", line)
                if record and record[1] >= since:
                    yield f"{os.path.basename(path)}: {line}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails is shown with what the tools said meanwhile."""
    item.began = getattr(item, "began", call.start)
    report = (yield).get_result()
    for stack in {argument for argument in item.funcargs.values() if isinstance(argument, Stack)} if report.failed else ():
        report.sections.append(("the tools' warnings meanwhile", "".join(warnings(stack, item.began))))


@pytest.fixture(scope="session")
def servers():
    with started_servers(Stack, "votepipe-test-") as stack:
        yield stack


@pytest.fixture(scope="session")
def running(servers):
    """The servers with one vote-ingest and one vote-commit."""
    servers.main_ingest = servers.ingest().start()
    servers.main_commit = servers.commit("-X", "session.timeout.ms=6000").start()
    return servers


@pytest.fixture(scope="session")
def secured():
    """Servers that want TLS and passwords, with one vote-ingest and one vote-commit."""
    with started_servers(SecuredStack, "votepipe-secured-") as stack:
        stack.main_ingest = stack.ingest().start()
        stack.main_commit = stack.commit("-X", "session.timeout.ms=6000").start()
        yield stack


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
