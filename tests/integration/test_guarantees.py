# test_guarantees.py - the promises, under faults that are real. SPDX-License-Identifier: Apache-2.0
import random
import signal
import subprocess
import threading
import time
import uuid

import requests

from stack import BIN, ROOT, free_port, wait_until
from topics import produce, requests_log, wait_applied

LONDON = ROOT + "/tests/data/london.votes.csv"


def unique_copy(stack, tmp_path):
    """The London votes under fresh names, so that a test starts from nothing; returns file and projects."""
    tag = "x" + uuid.uuid4().hex[:8]
    path = tmp_path / "votes.csv"
    text = open(LONDON).read().replace("london-", tag + "-")
    path.write_text(text)
    projects = sorted({line.split(",")[2] for line in text.splitlines()[1:]})
    stack.add_projects(*projects)
    return str(path), projects


def start_load(stack, path, *arguments):
    return subprocess.Popen([BIN + "/vote-load", "--file", path, "--verify", "--connections", "8", *arguments],
                            env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(load):
    output = load.communicate(timeout=200)[0]
    assert load.returncode == 0, output
    assert "accepted          640\n" in output and "refused           0" in output
    return output


def test_G1_no_accepted_vote_is_lost_when_both_tools_are_killed(stack, project):
    accepted, stop = [], threading.Event()

    def click(number):
        token = stack.token(f"g1-{number}-{project}")
        while not stop.is_set():
            try:
                answer = stack.vote(token, project, "up")
                if answer.status_code == 202:
                    accepted.append(answer.json()["data"]["request_id"])
            except requests.RequestException:
                pass

    threads = [threading.Thread(target=click, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(accepted)
        wait_until(lambda: len(accepted) > before + 20, 30, "votes")
        stack.main_commit.kill()
        stack.main_ingest.kill()
        stack.main_ingest.start()
        stack.main_commit.start(ready=False)
    stop.set()
    for thread in threads:
        thread.join()
    wait_applied(stack)
    found = stack.sql("select request_id::text, count(*) from vote.log where project_id = %s group by 1", project)
    assert set(accepted) <= {row[0] for row in found} and all(row[1] == 1 for row in found)


def test_G2_ten_kills_of_vote_commit_count_nothing_twice(stack, tmp_path):
    path, _ = unique_copy(stack, tmp_path)
    load = start_load(stack, path, "--rate", "80/s")
    for _ in range(10):
        time.sleep(random.uniform(0.1, 0.7))  # a random moment is the point
        stack.main_commit.kill()
        stack.main_commit.start(ready=False)
    finish(load)


def test_G2_three_kills_of_vote_ingest_count_nothing_twice(stack, tmp_path):
    path, _ = unique_copy(stack, tmp_path)
    load = start_load(stack, path, "--rate", "100/s")
    for _ in range(3):
        time.sleep(random.uniform(0.3, 1.2))  # a random moment is the point
        stack.main_ingest.kill()
        stack.main_ingest.start(ready=False)
    finish(load)


def test_G2_a_process_stopped_past_its_session_timeout_is_fenced(stack, tmp_path):
    path, projects = unique_copy(stack, tmp_path)
    other = stack.commit("-X", "session.timeout.ms=6000").start()
    try:
        wait_until(lambda: "partition revoked" in open(stack.main_commit.log).read(), 30, "rebalance")
        load = start_load(stack, path, "--rate", "60/s")
        wait_until(lambda: stack.sql("select count(*) from vote.log where project_id = any(%s)", projects)[0][0] > 50)
        other.signal(signal.SIGSTOP)
        time.sleep(8)  # past the session timeout of 6 s: the other member gets its partitions
        other.signal(signal.SIGCONT)
        finish(load)
        stack.assert_totals_equal_rows()
    finally:
        other.signal(signal.SIGCONT)
        other.stop()


def test_G3_last_click_wins_across_two_instances(stack, project, token, user):
    port = free_port()
    second = stack.ingest(port).start()
    try:
        for number in range(20):
            answer = stack.vote(token, project, "up" if number % 2 else "down", toggle=False,
                                url=None if number % 3 else f"http://127.0.0.1:{port}")
        stack.wait_committed(token, answer.json()["data"]["request_id"])
    finally:
        second.stop()
    assert stack.sql("select value from vote.votes where user_id = %s", user) == [(1,)]


def test_G3_an_older_seq_changes_nothing_however_late_it_comes(stack, project, token, user):
    first = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, first)
    late = str(uuid.uuid4())
    value = ('{"request_id":"%s","user_id":"%s","project_id":"%s","vote_type":"down","previous":"none",'
             '"action":"created","seq":17,"accepted_at":"2026-01-01T00:00:00.000Z"}' % (late, user, project))
    produce(stack, [(project.encode(), value.encode(), [])])
    wait_until(lambda: stack.sql("select outcome from vote.log where request_id = %s", late) == [("superseded",)])
    assert stack.counts(project) == (1, 0)


def test_G4_totals_equal_rows_in_every_committed_state(stack, tmp_path):
    path, _ = unique_copy(stack, tmp_path)
    load = start_load(stack, path)
    while load.poll() is None:
        stack.assert_totals_equal_rows()
    finish(load)


def test_G1_flushall_during_a_run_loses_nothing_and_the_api_is_right_again(stack, tmp_path):
    path, projects = unique_copy(stack, tmp_path)
    load = start_load(stack, path, "--rate", "120/s")
    for _ in range(4):
        time.sleep(random.uniform(0.3, 1.0))  # a random moment is the point
        stack.redis().flushall()
    finish(load)
    data = stack.vote(stack.token("after-flush"), projects[0], "up").json()["data"]
    up, down = stack.counts(projects[0])
    assert (data["upvotes"], data["downvotes"]) in ((up, down), (up + 1, down))


def test_G2_a_request_twice_in_one_batch_counts_once_and_has_one_outcome(stack, project, user):
    request_id = str(uuid.uuid4())
    rows = stack.sql(
        "select outcome, replayed, upvotes from vote.apply('vote.requests', '{0,0,0}', '{1,2,3}', %s::uuid[], %s, %s, "
        "'{1,-1,-1}', '{0,0,0}', '{created,created,created}', '{50,40,40}', "
        "array_fill('2026-01-01T00:00:00Z'::timestamptz, '{3}'), '{NULL,NULL,NULL}')",
        [str(uuid.uuid4()), request_id, request_id], [user] * 3, [project] * 3)
    stack.sql("delete from vote.log where project_id = %s", project)
    stack.sql("delete from vote.votes where project_id = %s", project)
    stack.sql("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project)
    assert rows == [("committed", False, 1), ("superseded", False, 1), ("superseded", True, 1)]


def test_G6_undecodable_bytes_go_to_vote_dead_and_their_neighbours_commit(stack, project, token):
    produce(stack, [(project.encode(), b"\xff not json", [("kept", b"as it was")])])
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    assert stack.wait_committed(token, request_id)["state"] == "committed"
    tail = wait_until(lambda: stack.run("vote-tail", "-t", "dead", "--format", "json").stdout, 20, "vote.dead")
    assert '"base64":"/yBub3QganNvbg=="' in tail and '"kept":"as it was"' in tail
    assert "__connect.errors.offset" in tail and "__dlq.errors.offset" in tail


def test_G8_replaying_everything_changes_nothing(stack):
    wait_applied(stack)
    tables = "select * from vote.votes order by 1, 2", "select * from vote.projects order by 1"
    before = [stack.sql(table) for table in tables], stack.sql("select count(*) from vote.log")
    produce(stack, requests_log(stack))
    wait_applied(stack)
    assert ([stack.sql(table) for table in tables], stack.sql("select count(*) from vote.log")) == before


def test_a_postgres_restart_holds_the_stage_and_loses_nothing(stack, tmp_path):
    path, _ = unique_copy(stack, tmp_path)
    load = start_load(stack, path, "--rate", "100/s")
    wait_until(lambda: "holding" in open(stack.main_commit.log).read() or load.poll() is None, 5)
    stack.server("stop", "postgres")
    stack.server("start", "postgres")
    finish(load)
