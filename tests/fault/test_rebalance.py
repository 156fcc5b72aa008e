# test_rebalance.py - members of the group come and go all the time. SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import random
import re
import signal
import time

from members import SOON
from stack import wait_until

STORM_SECONDS, PAUSE_SECONDS, MEMBERS_MAX = 15, (0.5, 1.5), 4
PARTITIONS = 6  # of vote.requests, as it comes


def test_G2_members_that_join_leave_and_die_every_second_count_nothing_twice(stack, load):
    members, ends = [], time.monotonic() + STORM_SECONDS
    try:
        while time.monotonic() < ends:
            if len(members) < MEMBERS_MAX and random.random() < 0.6:
                members.append(stack.commit(*SOON).start(ready=False))
            elif members:
                random.choice((leave, die))(members.pop(random.randrange(len(members))))
            time.sleep(random.uniform(*PAUSE_SECONDS))  # a random moment is the point
        load.check()
    finally:
        for member in members:
            leave(member)
    wait_until(stack.main_commit.is_ready, 20, "the one that stayed is ready")


def leave(member):
    assert member.stop() == 0, open(member.log).read()[-2000:]


def die(member):
    member.kill()


def test_partitions_that_leave_while_a_batch_is_held_are_read_when_they_come_back(stack, own_commit, load):
    first, second = own_commit(), stack.commit(*SOON)
    # A member that died a moment ago may still have some: the second would take those, and none of the first's.
    wait_until(lambda: len(partitions_of(first)) == PARTITIONS, 60, "all partitions are the first's")
    with logged(first, "partition revoked"):
        second.start()
    try:
        with logged(first, "partition assigned"):
            second.signal(signal.SIGSTOP)
        with logged(first, "holding the batch"):
            stack.server("stop", "postgres")
        with logged(first, "partition revoked"):
            second.signal(signal.SIGCONT)
    finally:
        second.signal(signal.SIGCONT)
        stack.server("start", "postgres")
    wait_until(second.is_ready, 60, "the second has them")
    leave(second)
    load.wait_committed(50)
    load.check()


def partitions_of(tool):
    """Those that it has, by its log."""
    mine = set()
    with open(tool.log) as file:
        for what, partition in re.findall(r'msg="partition (assigned|revoked)" partition=(\d+)', file.read()):
            (mine.add if what == "assigned" else mine.discard)(partition)
    return mine


@contextlib.contextmanager
def logged(tool, text):
    """What is done within makes the tool say so."""
    start = os.path.getsize(tool.log)

    def is_there():
        with open(tool.log) as file:
            file.seek(start)
            return text in file.read()
    yield
    wait_until(is_there, 60, f"{tool.name} says: {text}")
