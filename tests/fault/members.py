# members.py - how a vote-commit is started for a fault, and how it dies. SPDX-License-Identifier: Apache-2.0
import os
import signal
import time

import pytest

from stack import BIN, wait_until

# A member that was killed is soon forgotten by its group.
SOON = ("-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=300")
# Whoever takes the place of a member that was killed need not wait for its session to end.
STAND_IN = (*SOON, "-X", "group.instance.id=main")
CONFIG = 78  # the exit code of what cannot start as it is set
RETRIES = ("--retry-delays", "200ms,400ms,800ms")
CRASH = os.path.join(os.path.dirname(BIN), "test", "libcrash.so")


def crash_env(point):
    """What makes a tool end itself there."""
    assert os.path.exists(CRASH), f"{CRASH} is missing: make units"
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": CRASH, "CRASH_AT": point, "ASAN_OPTIONS": sanitizer}


def wait_killed(tool, at):
    """Until it has ended itself, at that point and no other."""
    assert tool.process.wait(30) == -signal.SIGKILL
    assert open(tool.log).read().endswith(f"crash: {at.split(':')[0]}\n")


# How often a stop is asked for, within which --drain-timeout, and in how many seconds it then leaves.
LEAVE = pytest.mark.parametrize("terms, timeout, seconds", ((1, "2s", 2), (2, "60s", 0.5)))


def assert_leaves(tool, terms, seconds):
    """With what it has in hand, long before anything that it waits for would be given up."""
    began = time.monotonic()
    tool.signal(signal.SIGTERM)
    if terms == 2:
        wait_until(lambda: time.monotonic() > began + 0.2, 5, "two signals at once are one")
        tool.signal(signal.SIGTERM)
    assert tool.process.wait(30) == 0 and time.monotonic() - began < seconds + 10
    assert "leaving with work in hand" in open(tool.log).read()
