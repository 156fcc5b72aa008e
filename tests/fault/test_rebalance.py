# test_rebalance.py - members of the group come and go all the time. SPDX-License-Identifier: Apache-2.0
import random
import time

from members import SOON
from stack import wait_until

STORM_SECONDS, PAUSE_SECONDS, MEMBERS_MAX = 15, (0.5, 1.5), 4


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
