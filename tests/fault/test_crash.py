# test_crash.py - vote-commit killed at each point of its work. SPDX-License-Identifier: Apache-2.0
import pytest

from stack import wait_until
from votes import Load, settled


@pytest.mark.parametrize("number", (1, 4))
@pytest.mark.parametrize("point", ("before-transaction", "inside-transaction", "before-announcement", "before-offset-commit", "during-settling"))
def test_G1_G2_G5_a_kill_at_a_point_loses_nothing_and_counts_nothing_twice(stack, load, crash, point, number):
    crash(f"{point}:{number}")
    stack.main_commit.start()
    load.wait_committed(10)
    load.check()


def test_G2_a_transaction_that_outlives_its_process_fences_the_next_one(stack, crash):
    load = Load(stack, projects=30)  # votes on each partition: so each batch has some that are new
    stack.main_commit.stop()
    load.wait_more(200)
    lock = stack.connect()
    lock.cursor().execute("select from vote.projects order by project_id for update")
    waiting = "select count(*) from pg_stat_activity where application_name = 'vote-commit' and wait_event_type = 'Lock'"
    try:
        # Few rows, so that the answer nobody reads fits into the server's buffer until the transaction is committed.
        crash("inside-transaction:1", "--batch-size", "30")
        wait_until(lambda: stack.sql(waiting) == [(1,)], 10, "the dead one's transaction waits")
        stack.main_commit.start(ready=False)
        wait_until(lambda: stack.sql(waiting) == [(2,)], 20, "its successor's waits for it")
        lock.rollback()
        load.check()
    finally:
        lock.close()
        load.close()
    assert stack.main_commit.metric("vote_fenced_total") > 0


def test_G5_what_was_committed_and_not_announced_is_announced_at_the_restart(stack, load, crash):
    load.wait_committed(20)
    crash("before-announcement:1")
    load.stop()
    ledger = stack.sql("select request_id::text from vote.log where project_id = any(%s)", load.projects)
    silent = {row[0] for row in ledger} - load.outcomes.request_ids()
    assert silent
    stack.main_commit.start()
    wait_until(lambda: silent <= load.outcomes.request_ids(), 20, "their results")
    load.check()


def test_G7_redis_is_right_again_after_a_kill_during_settling(stack, load, crash, own_commit):
    crash("during-settling:2")
    load.stop()
    own_commit("--optimism-grace", "4s")
    load.check()
    wait_until(lambda: all(settled(stack, project) for project in load.projects), 15, "redis settles")
