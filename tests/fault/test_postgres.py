# test_postgres.py - vote-commit while Postgres crashes, hangs, refuses or is full. SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

import pytest
import requests

from members import LEAVE, assert_leaves
from stack import wait_until
from topics import Tail
from votes import Load, sign


@pytest.fixture
def nothing_dead(stack):
    """Whatever the test does to Postgres, no record may be held for its victim's fault."""
    dead = Tail(stack, "vote.dead", from_end=True)
    yield
    assert dead.read() == []
    dead.close()


def postmaster(stack):
    return int(open(os.path.join(stack.directory, "postgres", "pid")).read().split()[0])


def signal_each(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it had just left


def children_of(pid):
    return [int(child) for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()]


def test_G1_G2_postgres_that_crashes_under_load_costs_nothing(stack, load, nothing_dead):
    for _ in range(2):
        load.wait_committed(30)
        stack.signal_server("postgres", "QUIT")  # pg_ctl stop -m immediate: every process leaves at once, nothing is written
        stack.server("stop", "postgres")
        load.wait_more(20)
        stack.server("start", "postgres")
    load.wait_committed(30)
    load.check()


def test_G6_postgres_that_hangs_is_given_up_and_votes_go_on_when_it_is_back(stack, load, own_commit, nothing_dead):
    tool = own_commit("--database-timeout", "2s")
    load.wait_committed(20)
    parent = postmaster(stack)
    try:
        signal_each([parent], signal.SIGSTOP)  # so that it makes no more children
        signal_each(children_of(parent), signal.SIGSTOP)
        wait_until(lambda: not tool.is_ready(), 10, "vote-commit says that it waits")
        assert requests.get(f"http://127.0.0.1:{tool.admin_port}/healthz", timeout=5).status_code == 200
        load.wait_more(20)
    finally:
        signal_each([*children_of(parent), parent], signal.SIGCONT)
    wait_until(tool.is_ready, 20, "vote-commit ready")
    load.wait_committed(20)
    load.check()


def neighbours(load):
    """Two projects, in order of id, whose votes are on one partition: they come in one batch."""
    def found():
        return load.stack.sql('select min(project_id), max(project_id) from vote.log where project_id = any(%s) '
                              'group by "partition" having count(distinct project_id) > 1', load.projects)
    return wait_until(found, 20, "two projects on one partition")[0]


def test_G6_a_batch_that_is_the_victim_of_a_deadlock_is_tried_again(stack, nothing_dead):
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    waits = "select pid from pg_stat_activity where application_name = 'vote-commit' and wait_event_type = 'Lock'"
    load, stranger, before = Load(stack, projects=12), stack.connect(), stack.sql(deadlocks)
    cursor = stranger.cursor()
    try:
        low, high = neighbours(load)
        stack.main_commit.stop()
        load.wait_more(200)  # so that the first batch has votes for both
        # vote-commit locks in the order of the ids, the stranger in the other, and has more patience.
        cursor.execute("set deadlock_timeout = '30s'")
        cursor.execute("select from vote.projects where project_id = %s for update", (high,))
        stack.main_commit.start(ready=False)
        wait_until(lambda: stack.sql(waits), 20, "the batch waits for the stranger")
        cursor.execute("select from vote.projects where project_id = %s for update", (low,))
        wait_until(lambda: stack.sql(deadlocks) > before, 10, "a deadlock")
        stranger.rollback()
        load.wait_committed(20)
        load.check()
    finally:
        stranger.close()
        load.close()


@pytest.fixture
def small_disk(stack):
    """A file system of its own for vote.votes: small_disk is its directory."""
    directory = tempfile.mkdtemp(prefix="votepipe-disk-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "votepipe-disk", directory], capture_output=True, text=True)
    if mounted.returncode != 0:
        os.rmdir(directory)
        pytest.skip("a small file system needs mount: " + mounted.stderr.strip())
    try:
        space = os.path.join(directory, "space")
        os.mkdir(space, 0o700)
        owner = os.stat(os.path.join(stack.directory, "postgres", "data"))
        os.chown(space, owner.st_uid, owner.st_gid)
        os.chmod(directory, 0o755)
        run_alone(stack, f"create tablespace small location '{space}'")
        run_alone(stack, "alter table vote.votes set tablespace small")
        yield directory
    finally:
        remove_filler(directory)
        run_alone(stack, "alter table vote.votes set tablespace pg_default")
        run_alone(stack, "drop tablespace if exists small")
        subprocess.run(["umount", directory], check=True)
        shutil.rmtree(directory, ignore_errors=True)


def run_alone(stack, text):
    """A statement that cannot be in a transaction."""
    connection = stack.connect()
    connection.autocommit = True
    connection.cursor().execute(text)
    connection.close()


def fill(directory):
    with open(os.path.join(directory, "filler"), "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


def remove_filler(directory):
    if os.path.exists(os.path.join(directory, "filler")):
        os.unlink(os.path.join(directory, "filler"))


def test_G6_a_full_disk_holds_the_stage_until_there_is_room(stack, small_disk, nothing_dead):
    fill(small_disk)
    load = Load(stack, users=2000)  # each new voter is a new row, and soon there is no page for it
    try:
        wait_until(lambda: not stack.main_commit.is_ready(), 30, "vote-commit says that it waits")
        assert "No space left on device" in open(stack.main_commit.log).read()
        load.wait_more(20)
        remove_filler(small_disk)
        wait_until(stack.main_commit.is_ready, 20, "vote-commit ready")
        load.wait_committed(20)
        load.check()
    finally:
        load.close()


@LEAVE
def test_a_vote_commit_leaves_in_time_whatever_its_batch_waits_for(stack, project, own_commit, terms, timeout, seconds):
    tool = own_commit("--database-timeout", "60s", "--drain-timeout", timeout)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and pid <> pg_backend_pid()"
    with contextlib.closing(stack.connect()) as lock:
        lock.cursor().execute("select * from vote.projects where project_id = %s for update", (project,))
        request_id = stack.vote(sign("u4"), project, "up").json()["data"]["request_id"]
        wait_until(lambda: stack.sql(waiting) == [(1,)], 20, "its batch waits")
        assert_leaves(tool, terms, seconds)
    own_commit()
    stack.wait_committed(sign("u4"), request_id)
    assert stack.counts(project) == (1, 0)
