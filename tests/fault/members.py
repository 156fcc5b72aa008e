# members.py - how a vote-commit is started for a fault, and how it dies. SPDX-License-Identifier: Apache-2.0
import os
import signal

from stack import BIN

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
