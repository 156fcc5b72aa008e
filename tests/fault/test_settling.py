# test_settling.py - Redis behind a commit, and behind none: what a user is shown ends as the truth. SPDX-License-Identifier: Apache-2.0
import itertools
import os
import time
import uuid

import pytest

from cutter import Cutter
from members import RETRIES
from stack import ROOT, wait_until
from test_poison import accepted, event, outcome_of, outcomes, records, refusing  # noqa: F401 (fixtures)
from topics import produce, wait_applied
from votes import settled, sign

GRACE = 4


def own_votes(stack, user):
    return {vote["project_id"]: vote["vote_type"] for vote in stack.get(sign(user), "/api/votes/user").json()["data"]["votes"]}


def is_taken_back(stack, user, project, request_id):
    """Whether a vote that failed is nowhere in Redis any more: the user's upvote stands."""
    redis = stack.redis()
    return (redis.hget(f"vote:recent:{{{user}}}", project) is None and redis.sismember(f"user:{user}:upvotes", project)
            and redis.hget("vote:request:" + request_id, "state") == "failed" and settled(stack, project)
            and own_votes(stack, user) == {project: "up"})


@pytest.fixture
def link(stack):
    link = Cutter(stack.ports["redis"])
    yield link
    link.close()


@pytest.mark.parametrize("command", ("vote:request:", "HDEL\r\n$", "SADD\r\n$", "vote:settled:"))
def test_G7_a_failed_vote_is_shown_no_more_wherever_its_settling_was_cut(stack, own_commit, refusing, project, link, command):
    own_commit(*RETRIES, "--optimism-grace", f"{GRACE}s", "--redis-url", f"redis://127.0.0.1:{link.port}")
    user = f"refused-{uuid.uuid4().hex[:8]}"
    stack.wait_committed(sign(user), accepted(stack.vote(sign(user), project, "up")))
    wait_until(lambda: settled(stack, project), 10, "the first vote is settled")
    link.cut_before(command.encode())
    request_id = accepted(stack.vote(sign(user), project, "down"))
    assert link.cut.wait(20)
    wait_until(lambda: is_taken_back(stack, user, project, request_id), 2 * GRACE, "what Redis shows is the truth")


def test_G7_a_failed_vote_is_shown_no_more_although_who_was_to_settle_it_was_killed(stack, own_commit, refusing, project, link):
    """Behind its acknowledgement by Kafka: nothing is announced again, and nobody alive knows of it."""
    tool = own_commit(*RETRIES, "--redis-url", f"redis://127.0.0.1:{link.port}")
    user = f"refused-{uuid.uuid4().hex[:8]}"
    stack.wait_committed(sign(user), accepted(stack.vote(sign(user), project, "up")))
    wait_until(lambda: settled(stack, project), 10, "the first vote is settled")
    link.block(True)
    request_id = accepted(stack.vote(sign(user), project, "down"))
    wait_until(lambda: outcome_of(stack, request_id) == [("failed",)], 20, "it has failed")
    wait_until(lambda: stack.sql("select count(*) from vote.parked") == [(0,)], 20, "Kafka has it")
    tool.kill()
    link.block(False)
    own_commit("--optimism-grace", f"{GRACE}s")
    wait_until(lambda: is_taken_back(stack, user, project, request_id), 3 * GRACE, "what Redis shows is the truth")


@pytest.fixture
def taking_time(stack):
    """Postgres takes its time for the votes of users named slow-..."""
    stack.sql("create function vote.take_time() returns trigger language plpgsql as $$ begin "
              "if starts_with(new.user_id, 'slow-') then perform pg_sleep(0.15); end if; return new; end $$")
    stack.sql("create trigger take_time before insert or update on vote.votes for each row execute function vote.take_time()")
    yield
    stack.sql("drop function vote.take_time cascade")


def test_G7_a_vote_that_postgres_takes_its_time_for_is_no_ghost(stack, own_commit, taking_time, outcomes):
    projects = [f"slow-{uuid.uuid4().hex[:8]}" for _ in range(24)]
    stack.add_projects(*projects)
    stack.main_commit.stop()
    request_ids = [accepted(stack.vote(sign("slow-" + project), project, "up")) for project in projects]
    clicked = time.monotonic()
    wait_until(lambda: time.monotonic() > clicked + 1, 3, "all are on their way for longer than half of the grace")
    tool = own_commit("--optimism-grace", "1s", "--batch-size", "1")
    wait_applied(stack)
    wait_until(lambda: all(settled(stack, project) for project in projects), 20, "redis settles")
    assert tool.metric("vote_ghosts_total") == 0
    assert {tuple(outcomes.types_of(request_id)) for request_id in request_ids} == {("vote.cast.v1",)}


@pytest.fixture
def ghost(stack):
    """ghost(user, project): what a vote-ingest leaves that dies between Redis and Kafka; returns the event that it had in hand."""
    def leave(user, project):
        request_id, redis = str(uuid.uuid4()), stack.redis()
        keys = [f"vote:{kind}:{{{project}}}" for kind in ("state", "voters", "pending")]
        redis.zadd("vote:touched", {project: time.time() * 1000})
        with open(os.path.join(ROOT, "lib", "vote", "lua", "vote.lua")) as file:
            step = redis.eval(file.read(), 3, *keys, user, 1, 0, request_id)
        assert step[0] == "ok"
        vote = event(user, project, request_id=request_id, seq=int(step[1]), accepted_at=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))
        kept = {name: vote[name] for name in ("user_id", "project_id", "vote_type", "previous", "action", "seq", "accepted_at")}
        redis.hset("vote:request:" + request_id, mapping={"state": "pending", **kept})
        redis.hset(f"vote:recent:{{{user}}}", project, f"1,{int(time.time() * 1000)},{step[1]}")
        redis.sadd(f"user:{user}:upvotes", project)
        return vote
    return leave


@pytest.fixture
def voted(stack, project):
    """A project with one vote, whose state is in Redis: a click loads it where a slow machine's Redis had to be done without."""
    def is_shown():
        stack.wait_committed(sign("first"), accepted(stack.vote(sign("first"), project, "up", toggle=False)))
        wait_until(lambda: settled(stack, project), 10, "redis settles")
        return stack.shown(project) == (1, 0, 0)

    wait_until(is_shown, 30, "its state is in Redis")
    return project


def test_G7_a_ghost_is_taken_back_although_the_state_with_its_step_was_dropped(stack, own_commit, ghost, voted, user, outcomes):
    own_commit("--optimism-grace", f"{GRACE}s")
    request_id = ghost(user, voted)["request_id"]
    wait_until(lambda: own_votes(stack, user) == {voted: "up"}, 5, "it is shown")
    assert stack.shown(voted) == (2, 0, 1)
    stack.redis().delete(f"vote:state:{{{voted}}}", f"vote:voters:{{{voted}}}")  # as when Redis was away
    stack.wait_committed(sign("second"), accepted(stack.vote(sign("second"), voted, "up")))
    wait_until(lambda: outcomes.types_of(request_id) == ["vote.failed.v1"], 2 * GRACE, "its user is told")
    wait_until(lambda: own_votes(stack, user) == {}, 2 * GRACE, "its user is shown the truth")
    assert stack.shown(voted) == (2, 0, 0) and stack.redis().hget("vote:request:" + request_id, "state") == "failed"
    assert not stack.redis().sismember(f"user:{user}:upvotes", voted)


def test_G7_a_vote_that_comes_to_the_log_behind_its_being_given_up_is_committed_and_told_so(stack, own_commit, ghost, voted, user, outcomes):
    own_commit("--optimism-grace", f"{GRACE}s")
    late = ghost(user, voted)
    request_id = late["request_id"]
    wait_until(lambda: outcomes.types_of(request_id) == ["vote.failed.v1"], 2 * GRACE, "its user is told")
    wait_until(lambda: stack.redis().hget("vote:request:" + request_id, "state") == "failed", 5, "its status says so")
    produce(stack, records(voted, late))
    wait_until(lambda: outcomes.types_of(request_id) == ["vote.failed.v1", "vote.cast.v1"], 10, "the truth is told")
    wait_until(lambda: stack.shown(voted) == (2, 0, 0), 10, "redis settles")
    status = stack.status(sign(user), request_id)
    assert (status["state"], status["error"]) == ("committed", None)
    wait_until(lambda: own_votes(stack, user) == {voted: "up"}, 5, "it is shown")
    assert stack.redis().sismember(f"user:{user}:upvotes", voted)


def test_G7_the_status_of_a_vote_that_was_given_up_is_the_ledgers_when_that_has_it(stack, voted):
    token = sign("first")
    request_id = stack.sql("select request_id::text from vote.log where project_id = %s", voted)[0][0]
    key, kept = "vote:request:" + request_id, ("user_id", "project_id", "vote_type", "action", "accepted_at")
    fields = {name: stack.redis().hget(key, name) for name in kept}
    stack.redis().delete(key)
    stack.redis().hset(key, mapping={**fields, "state": "failed", "error": "the vote did not reach the log"})
    wait_until(lambda: stack.status(token, request_id)["state"] == "committed", 5, "its status says so")


def test_G7_all_ghosts_of_a_project_are_taken_back_although_they_are_more_than_a_page(stack, own_commit, ghost, voted):
    stack.main_commit.stop()
    ghosts = [ghost(f"{voted}-{number}", voted)["request_id"] for number in range(300)]
    assert stack.shown(voted) == (301, 0, 300)
    tool = own_commit("--optimism-grace", f"{GRACE}s")

    def states():
        return {stack.redis().hget("vote:request:" + request_id, "state") for request_id in ghosts}

    wait_until(lambda: states() == {"failed"}, 3 * GRACE, "their users are told")
    wait_until(lambda: stack.shown(voted) == (1, 0, 0), 5, "the counts are the truth")
    wait_until(lambda: stack.redis().hlen(f"vote:pending:{{{voted}}}") == 0, 2 * GRACE, "nothing is left of them")
    assert tool.metric("vote_ghosts_total") >= 300  # one is told again where Redis answered too late


def commands_during(stack, action):
    """What Redis was asked meanwhile, also by scripts, a text each."""
    with stack.redis().monitor() as monitor:
        action()
        stack.redis().echo("the end")
        return list(itertools.takewhile(lambda text: text != "ECHO the end", (seen["command"] for seen in monitor.listen())))


def test_what_is_on_its_way_of_a_project_is_never_read_in_one_piece(stack, own_commit, project):
    """After an outage that would hold Redis up, and every click behind it, at each batch again."""
    stack.main_commit.stop()
    users = [f"{project}-{number}" for number in range(40)]
    for vote_type in ("up", "down", "up", "down"):
        for user in users:
            accepted(stack.vote(sign(user), project, vote_type))

    def catch_up():
        own_commit("--batch-size", "10", "--optimism-grace", "1s")
        wait_until(lambda: settled(stack, project), 20, "redis settles")

    pending = f"vote:pending:{{{project}}}"
    commands = [command for command in commands_during(stack, catch_up) if pending in command]
    assert any(command.startswith(f"HDEL {pending} r:") for command in commands)
    assert [command for command in commands if command.startswith(f"HGETALL {pending}")] == []
    assert stack.shown(project) == (0, 40, 0)
