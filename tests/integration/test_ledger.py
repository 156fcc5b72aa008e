# test_ledger.py - the ledger by months, edits by hand, what owners hear, and what analysts read.
# SPDX-License-Identifier: Apache-2.0
import datetime
import re
import threading
import uuid

import psycopg2
import pytest

from stack import wait_until

UTC = datetime.timezone.utc


def month_name(ahead):
    """log_y2026m11 and its like, so many months after this one."""
    now = datetime.datetime.now(UTC)
    number = now.year * 12 + now.month - 1 + ahead
    return f"log_y{number // 12}m{number % 12 + 1:02}"


def months(stack):
    return {name for name, in stack.sql("select name from vote.log_months")}


class Scratch:
    """One transaction that never commits: what a test does to shared tables is gone with it."""

    def __init__(self, stack):
        self.connection = stack.connect()

    def sql(self, text, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else None

    def apply(self, votes, accepted=None):
        """Applies (user, project, value, previous, seq) in order as one batch."""
        users, projects, values, previous, seqs = zip(*votes)
        count = len(votes)
        return self.sql(
            "select outcome, written, upvotes, downvotes, version from vote.apply('vote.requests', array_fill(-1, %s), "
            "array_fill(-1::bigint, %s), %s::uuid[], %s, %s, %s::smallint[], %s::smallint[], "
            "array_fill('created'::text, %s), %s::bigint[], array_fill(%s::timestamptz, %s), array_fill(null::text, %s))",
            [count], [count], [str(uuid.uuid4()) for _ in votes], list(users), list(projects), list(values),
            list(previous), [count], list(seqs), accepted or datetime.datetime.now(UTC), [count], [count])


@pytest.fixture
def scratch(stack):
    scratch = Scratch(stack)
    yield scratch
    scratch.connection.rollback()
    scratch.connection.close()


def totals(database, project):
    return database.sql("select upvotes, downvotes, community_score = vote.community_score(upvotes, downvotes), version "
                        "from vote.projects where project_id = %s", project)


def test_this_month_and_the_next_two_have_a_partition(stack):
    assert {month_name(n) for n in range(3)} <= months(stack)
    wait_until(lambda: "vote_ledger_partitions_ahead 2" in stack.main_commit.metrics(), 10, "metric")


def test_vote_commit_makes_a_month_that_is_missing_and_says_so(stack):
    stack.sql(f"drop table vote.{month_name(2)}")
    stack.main_commit.stop()
    stack.main_commit.start()
    wait_until(lambda: month_name(2) in months(stack), 10, "partition")
    wait_until(lambda: f"partitions={month_name(2)}" in open(stack.main_commit.log).read(), 10, "log line")


def test_migrate_makes_a_month_that_is_missing(stack):
    stack.sql(f"drop table vote.{month_name(2)}")
    assert f"made vote.{month_name(2)}" in stack.run("vote-admin", "migrate", check=True).stdout


def test_rows_of_the_default_partition_move_into_the_month_that_covers_them(scratch, project, user):
    later = datetime.datetime.now(UTC) + datetime.timedelta(days=100)
    scratch.apply([(user, project, 1, 0, 1)], later)
    where = "select tableoid::regclass::text from vote.log where user_id = %s"
    assert scratch.sql(where, user) == [("vote.log_default",)]
    made = scratch.sql("select vote.make_log_months(4)")
    place = f"log_y{later.year}m{later.month:02}"
    assert (place,) in made and scratch.sql(where, user) == [("vote." + place,)]


def test_making_months_twice_makes_nothing(stack):
    assert stack.sql("select vote.make_log_months()") == []


def test_of_two_callers_at_once_one_makes_the_months(stack, scratch):
    scratch.sql("select pg_advisory_xact_lock(hashtext('vote.log'))")
    assert stack.sql("select vote.make_log_months(5)") == []


def test_a_reader_of_the_ledger_holds_it_up_for_a_second_at_most(stack, scratch):
    scratch.sql("select count(*) from vote.log")
    began = datetime.datetime.now()
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        stack.sql("select vote.make_log_months(5)")
    assert datetime.datetime.now() - began < datetime.timedelta(seconds=1.5)


def test_months_that_ended_before_the_retention_are_dropped(scratch):
    made = scratch.sql("select vote.make_log_month('log_y2001m02', '2001-02-01'), vote.make_log_month('log_y2001m03', '2001-03-01')")
    age = "now() - '2001-03-15Z'::timestamptz"
    assert made and scratch.sql(f"select vote.drop_log_months({age})") == [("log_y2001m02",)]
    assert scratch.sql("select name from vote.log_months where name like 'log_y2001%%'") == [("log_y2001m03",)]


@pytest.mark.parametrize("accepted", ("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"))
def test_an_odd_accepted_at_is_taken_and_taken_once(scratch, project, user, accepted):
    request = str(uuid.uuid4())
    call = ("select outcome, replayed from vote.apply('vote.requests', '{-1}', '{-1}', %s::uuid[], %s, %s, '{1}', '{0}', "
            "'{created}', '{5}', array[%s::timestamptz], '{null}')")
    outcomes = [scratch.sql(call, [request], [user], [project], accepted) for _ in range(2)]
    assert outcomes == [[("committed", False)], [("committed", True)]]


def explain(scratch):
    """From now on the connection's notices are the plans of what it runs, with what they have read."""
    scratch.sql("load 'auto_explain'; set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on; "
                "set local auto_explain.log_analyze = on; set local client_min_messages = log")


def test_the_lookup_of_a_batch_asks_one_month_by_its_index(scratch, project, user):
    explain(scratch)
    scratch.apply([(f"{user}-{n}", project, 1, 0, 1) for n in range(50)])
    plan = "".join(scratch.connection.notices)
    assert f"Index Scan using {month_name(0)}_pkey" in plan and "Seq Scan on log_" not in plan
    asked = [line for line in plan.splitlines() if "Scan using log_" in line and "never executed" not in line]
    assert len(asked) == 1 and month_name(0) in asked[0]


def test_a_plan_that_was_made_for_empty_tables_is_right_for_full_ones(scratch, project, user):
    """As of a vote-commit that was started after Postgres had looked at tables that were empty still."""
    scratch.sql("set local vote.apply = 'on'; truncate vote.votes, vote.projects cascade; analyze vote.votes; analyze vote.projects")
    scratch.apply([(user, project, 1, 0, 1)])
    scratch.apply([(f"{user}-{n}", f"{project}-{n % 200}", 1, 0, 1) for n in range(2000)])
    explain(scratch)
    scratch.apply([(f"{user}-999", f"{project}-199", -1, 1, 2)])
    plan = "".join(scratch.connection.notices)
    read = {name: sum(map(int, re.findall(rf"Scan .*on {name} .*actual time=\S+ rows=(\d+)", plan))) for name in ("votes", "projects")}
    assert 1 <= read["votes"] <= 2 and 1 <= read["projects"] <= 5, plan


def test_the_ids_of_a_batch_are_searched_once_and_not_for_each_of_its_projects(scratch, project, user):
    """Each search for one of many ids sorts them: whatever the planner prefers, it must be one for the batch."""
    scratch.sql("set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_bitmapscan = off")
    explain(scratch)
    scratch.apply([(user, f"{project}-{n}", 1, 0, 1) for n in range(300)])
    plan = "".join(scratch.connection.notices)
    assert set(re.findall(r"loops=(\d+)\)\s+Index Cond: [^\n]*= ANY", plan)) == {"1"}, plan


def test_the_request_whose_value_was_written_is_told(scratch, project, user):
    rows = scratch.apply([(user, project, 1, 0, 10), (user, project, -1, 1, 20), (user, project, 1, -1, 15),
                          (user + "-2", project, 1, 0, 30)])
    assert [(outcome, written) for outcome, written, *_ in rows] == [
        ("committed", False), ("committed", True), ("superseded", False), ("committed", True)]


def test_rows_inserted_changed_and_deleted_by_hand_move_the_totals(scratch, project):
    row = "insert into vote.votes (project_id, user_id, value, seq, request_id) values (%s, %s, %s, 1, gen_random_uuid())"
    for user, value in (("a", 1), ("b", 1), ("c", -1), ("d", 0)):
        scratch.sql(row, project, user, value)
    assert totals(scratch, project) == [(2, 1, True, 3)]
    scratch.sql("update vote.votes set value = -1 where project_id = %s and user_id = 'a'", project)
    assert totals(scratch, project) == [(1, 2, True, 4)]
    scratch.sql("delete from vote.votes where project_id = %s and user_id in ('b', 'd')", project)
    assert totals(scratch, project) == [(0, 2, True, 5)]


def test_a_row_moved_by_hand_to_a_project_that_is_none_makes_it_one(scratch, project):
    other = "made-" + project
    scratch.sql("insert into vote.votes values (%s, 'a', 1, 1, gen_random_uuid(), now())", project)
    scratch.sql("update vote.votes set project_id = %s where project_id = %s", other, project)
    assert totals(scratch, project) == [(0, 0, True, 2)] and totals(scratch, other) == [(1, 0, True, 1)]


def test_truncate_resets_the_totals(scratch, project, user):
    scratch.apply([(user, project, 1, 0, 10)])
    scratch.sql("truncate vote.votes")
    assert scratch.sql("select count(*) from vote.projects where upvotes > 0 or downvotes > 0 or community_score > 0") == [(0,)]


def test_edits_by_hand_beside_votes_leave_totals_equal_to_rows(stack, project):
    stop, states = threading.Event(), []

    def edit():
        while not stop.is_set():
            try:
                stack.sql("update vote.votes set value = -value where project_id = %s and user_id like 'by-hand-%%'", project)
            except psycopg2.errors.DeadlockDetected:
                pass
            stack.assert_totals_equal_rows()
            states.append(stack.counts(project))

    users = [f"by-hand-{n}-{project}" for n in range(8)]
    tokens = [stack.token(user) for user in users]
    editor = threading.Thread(target=edit)
    editor.start()
    try:
        last = [stack.vote(token, project, "up", toggle=False) for _ in range(3) for token in tokens][-len(tokens):]
        for token, answer in zip(tokens, last):
            stack.wait_committed(token, answer.json()["data"]["request_id"])
    finally:
        stop.set()
        editor.join()
    stack.assert_totals_equal_rows()
    stack.sql("update vote.votes set value = 1 where project_id = %s", project)
    assert stack.counts(project) == (8, 0) and states


def test_a_vote_after_its_row_was_changed_by_hand_is_reconciled(stack, project, token, user):
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.sql("update vote.votes set value = -1 where user_id = %s", user)
    assert stack.counts(project) == (0, 1)
    request = stack.vote(token, project, "none").json()["data"]["request_id"]
    assert stack.wait_committed(token, request)["state"] == "reconciled"
    assert stack.sql("select reason from vote.log where request_id = %s", request) == [
        ("the vote before was not what the request had seen",)]
    shown = stack.redis().hmget(f"vote:state:{{{project}}}", "upvotes", "downvotes", "pending")
    assert (stack.counts(project), shown) == ((0, 0), ["0", "0", "0"])


def test_an_owner_hears_once_a_minute_what_the_votes_came_to(scratch, project, user):
    scratch.sql("update vote.projects set owner_id = 'owner' where project_id = %s", project)
    scratch.apply([(user + str(n), project, 1, 0, 10) for n in range(3)])
    scratch.apply([(user + "0", project, -1, 1, 20), (user + "1", project, 0, 1, 20)])
    scratch.apply([(user + "9", project, 1, 0, 30), (user + "9", project, 0, 1, 40)])  # comes to nothing
    heard = scratch.sql("select owner_id, sum(upvotes), sum(downvotes), count(distinct minute) = count(*), count(*) <= 2, "
                        "bool_and(minute = date_trunc('minute', minute)) from vote.notifications where project_id = %s "
                        "group by owner_id", project)
    assert heard == [("owner", 1, 1, True, True, True)]


def test_nothing_is_told_when_nothing_changed_or_nobody_owns_it(scratch, project, user):
    scratch.apply([(user, project, 1, 0, 10)])
    scratch.sql("update vote.projects set owner_id = 'owner' where project_id = %s", project)
    scratch.apply([(user, project, 1, 1, 20)])
    assert scratch.sql("select * from vote.notifications where project_id = %s", project) == []


@pytest.fixture
def analysed(scratch, project):
    """A ledger with nothing but: a up; a up to down; b up, none, down; c (seen wrongly) up; d up, yesterday."""
    scratch.sql("truncate vote.log, vote.votes")
    now = datetime.datetime.now(UTC)
    yesterday = now - datetime.timedelta(hours=30)
    scratch.apply([("d", project, 1, 0, 1), ("e", project, 1, 0, 1)], yesterday)
    scratch.apply([("a", project, 1, 0, 10), ("a", project, -1, 1, 11), ("b", project, 1, 0, 12), ("b", project, 0, 1, 13),
                   ("b", project, -1, 0, 14), ("c", project, 1, -1, 15), ("e", project, -1, 0, 16),
                   ("a", project, 1, -1, 5)], now)
    return scratch, yesterday


def test_votes_per_hour_are_those_of_the_ledger(analysed):
    scratch, yesterday = analysed
    hours = scratch.sql("select hour = date_trunc('hour', %s::timestamptz), votes, upvotes, downvotes, removals, users "
                        "from vote.votes_per_hour order by hour", yesterday)
    assert hours == [(True, 2, 2, 0, 0, 2), (False, 7, 3, 3, 1, 4)]


def test_votes_per_variant_are_those_of_the_ledger(analysed):
    scratch, _ = analysed
    scratch.sql("update vote.log set variant = case when user_id in ('a', 'b') then 'blue' else 'red' end")
    assert scratch.sql("select variant, votes, upvotes, downvotes, removals, users, up_share from vote.votes_per_variant "
                       "order by 1") == [("blue", 5, 2, 2, 1, 2, 0.5), ("red", 4, 3, 1, 0, 3, 0.75)]


def test_flip_rate_counts_what_became_its_opposite(analysed, project):
    scratch, _ = analysed  # of 8 up or down: a's second, and e's second, whose request had not seen the first
    assert scratch.sql("select * from vote.flip_rate") == [(project, 8, 2, 0.25)]


def test_top_movers_moved_in_the_last_day(analysed, project):
    scratch, _ = analysed  # a -1, b -1, c +1, e from up to down; d is yesterday's
    assert scratch.sql("select * from vote.top_movers") == [(project, 7, 0, 3, -3)]
