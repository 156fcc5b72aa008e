# test_poison.py - records that can never be applied, among those that can. SPDX-License-Identifier: Apache-2.0
import json
import time
import uuid

import pytest

from stack import wait_until
from topics import Tail, produce, wait_applied
from votes import Load, Outcomes, check_sums, settled, sign

ATTEMPTS = 4  # the first, and one after each of the RETRIES


@pytest.fixture
def refusing(stack):
    """Postgres refuses the downvotes of users named refused-... (23514) and raising-... (P0001), until it is called."""
    stack.sql("alter table vote.votes add constraint no_refused check (not (starts_with(user_id, 'refused-') and value = -1)) not valid")
    stack.sql("create function vote.raise_for() returns trigger language plpgsql as $$ begin "
              "if starts_with(new.user_id, 'raising-') and new.value = -1 then "
              "raise exception using message = 'user ' || new.user_id || ' votes ' || new.value; end if; return new; end $$")
    stack.sql("create trigger raise_for before insert or update on vote.votes for each row execute function vote.raise_for()")

    def end():
        stack.sql("alter table vote.votes drop constraint if exists no_refused")
        stack.sql("drop function if exists vote.raise_for cascade")
    yield end
    end()


@pytest.fixture
def dead(stack):
    """dead(count): so many records that have come into vote.dead since the test began, with their headers as text."""
    tail, records = Tail(stack, "vote.dead", from_end=True), []

    def read(count=0, seconds=20):
        def enough():
            records.extend((m, {name: value.decode() for name, value in m.headers()}) for m in tail.read())
            return len(records) >= count
        wait_until(enough, seconds, f"{count} records in vote.dead")
        return records
    yield read
    tail.close()


@pytest.fixture
def outcomes(stack):
    outcomes = Outcomes(stack)
    yield outcomes
    outcomes.tail.close()


def event(user, project, vote_type="up", **changed):
    return {"request_id": str(uuid.uuid4()), "user_id": user, "project_id": project, "vote_type": vote_type, "previous": "none",
            "action": "created", "seq": time.time_ns() // 1000, "accepted_at": "2026-01-01T00:00:00.000Z", **changed}


def records(project, *values):
    return [(project.encode(), value if isinstance(value, bytes) else json.dumps(value).encode(), [("kept", b"as it was")])
            for value in values]


def without(member, record):
    return {name: value for name, value in record.items() if name != member}


def undecodable(project):
    return [b"\xff\x00 no text", without("previous", event("poison-u", project)), event("poison-u", project, seq=-1)]


def accepted(answer):
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]["request_id"]


def outcome_of(stack, request_id):
    return stack.sql("select outcome from vote.log where request_id = %s", request_id)


def test_G6_one_record_in_a_hundred_is_poison_and_every_other_one_commits(stack, refusing, dead):
    tag = uuid.uuid4().hex[:8]
    projects = [f"{tag}-{n}" for n in range(10)]
    stack.add_projects(*projects)
    good = {project: [event(f"{tag}-u{n}", project) for n in range(99)] for project in projects}
    poison = [*undecodable(projects[0]), *undecodable(projects[1])]
    refused = [event(f"{kind}-{tag}-{n}", projects[n], "down") for n in range(2, 4) for kind in ("refused", "raising")]
    mixed = [record for project in projects for record in records(project, *good[project])]
    for number, (key, value, headers) in enumerate(records(projects[0], *poison) + records(projects[2], *refused)):
        mixed.insert(number * 97, (key, value, headers))
    produce(stack, mixed)
    wait_applied(stack)
    assert {stack.counts(project) for project in projects} == {(99, 0)}
    dead_values = {message.value() for message, _ in dead(len(poison) + len(refused))}
    assert dead_values == {value for _, value, _ in records(tag, *poison, *refused)} and len(dead()) == 10
    assert {outcome_of(stack, record["request_id"])[0][0] for record in refused} == {"failed"}
    check_sums(stack)


def test_G6_what_cannot_be_decoded_is_dead_at_once_as_it_came_and_its_neighbours_commit(stack, project, dead):
    poison = undecodable(project)
    produce(stack, records(project, event("before", project), *poison, event("after", project)))
    wait_applied(stack)
    found = dead(3)
    assert [(m.key(), m.value(), h["kept"]) for m, h in found] == [(key, value, "as it was") for key, value, _ in records(project, *poison)]
    for message, headers in found:
        assert headers["__connect.errors.topic"] == headers["__dlq.errors.topic"] == "vote.requests"
        assert headers["__connect.errors.offset"] == headers["__dlq.errors.offset"]
        assert headers["__connect.errors.partition"] == headers["__dlq.errors.partition"]
        assert headers["__dlq.errors.delivery.count"] == headers["vote_attempts"] == "1"
        assert "vote_sqlstate" not in headers and "poison-u" not in headers["__dlq.errors.message"]
    assert ["previous" in h["__dlq.errors.message"] for _, h in found] == [False, True, False]
    assert ["seq" in h["__dlq.errors.message"] for _, h in found] == [False, False, True]
    assert stack.counts(project) == (2, 0)
    check_sums(stack)


def test_G7_a_vote_that_is_parked_is_no_ghost(stack, refusing, project, own_commit, outcomes):
    tool = own_commit("--optimism-grace", "2s", "--retry-delays", "10s")
    request_id = accepted(stack.vote(sign("refused-ghost"), project, "down"))
    wait_until(lambda: stack.sql("select attempts from vote.parked where request_id = %s", request_id) == [(1,)], 20, "it is parked")
    refusing()
    wait_until(lambda: outcome_of(stack, request_id) == [("committed",)], 30, "it is tried again")
    wait_until(lambda: outcomes.types_of(request_id), 20, "its result")
    assert outcomes.types_of(request_id) == ["vote.cast.v1"], tool.metrics()
    assert stack.counts(project) == (0, 1)


@pytest.mark.parametrize("kind, sqlstate", (("refused", "23514"), ("raising", "P0001")))
def test_G6_G7_a_vote_that_postgres_refuses_four_times_is_dead_and_its_user_is_told(
        stack, refusing, project, dead, outcomes, kind, sqlstate):
    other = accepted(stack.vote(sign("other"), project, "up"))
    user = f"{kind}-{uuid.uuid4().hex[:8]}"
    token = sign(user)
    request_id = accepted(stack.vote(token, project, "down"))
    message, headers = dead(1)[0]
    assert len(dead()) == 1 and json.loads(message.value())["request_id"] == request_id and message.key() == project.encode()
    place = dict(topic="vote.requests", partition=headers["__dlq.errors.partition"], offset=headers["__dlq.errors.offset"])
    for name, value in place.items():
        assert headers["__connect.errors." + name] == headers["__dlq.errors." + name] == value
    assert headers["__dlq.errors.delivery.count"] == headers["vote_attempts"] == str(ATTEMPTS)
    assert headers["vote_sqlstate"] == sqlstate and headers["vote_first_failed_at"].endswith("Z")
    assert headers["ce_id"] == request_id
    wait_until(lambda: outcome_of(stack, request_id) == [("failed",)], 10, "the ledger says so")
    wait_until(lambda: stack.status(token, request_id)["state"] == "failed", 10, "its status says so")
    wait_until(lambda: outcomes.types_of(request_id) == ["vote.failed.v1"], 10, "its result says so")
    status = stack.status(token, request_id)
    stack.redis().delete("vote:request:" + request_id)
    assert status == stack.status(token, request_id) and status["error"] and status["committed_at"] is None, "the ledger says it as Redis did"
    wait_until(lambda: stack.shown(project) == (1, 0, 0), 10, "the optimistic change is taken back")
    assert stack.redis().hget("vote:voters:{%s}" % project, user) in (None, "0")
    wait_until(lambda: stack.sql("select count(*) from vote.parked") == [(0,)], 10, "the parked record goes")
    assert stack.counts(project) == (1, 0) and outcome_of(stack, other) == [("committed",)]
    # Whatever is written for others to read says what refused it, and not whose vote that was.
    told = [headers[name] for name in headers if name.startswith(("__connect.", "__dlq.", "vote_"))]
    told += [str(stack.status(token, request_id)["error"]), open(stack.main_commit.log).read()]
    told += [value.get("reason", "") for _, value in outcomes.records if value["request_id"] == request_id]
    assert not [text for text in told if user in text or "Failing row" in text]
    check_sums(stack)


def test_G6_a_parked_vote_holds_up_nobody_and_is_committed_when_it_is_refused_no_more(stack, own_commit, refusing, project, dead, outcomes):
    own_commit("--retry-delays", "3s,3s,3s")
    user = f"refused-{uuid.uuid4().hex[:8]}"
    request_id = accepted(stack.vote(sign(user), project, "down"))
    parked = "select value, attempts, sqlstate, reason from vote.parked where request_id = %s"
    value, attempts, sqlstate, reason = wait_until(lambda: stack.sql(parked, request_id), 10, "it is parked")[0]
    assert json.loads(bytes(value))["request_id"] == request_id and (attempts, sqlstate) == (1, "23514")
    assert user not in reason
    later = [accepted(stack.vote(sign(f"later-{n}"), project, "up")) for n in range(5)]
    wait_until(lambda: all(outcome_of(stack, r) == [("committed",)] for r in later), 3, "those behind it commit")
    assert stack.sql(parked, request_id) and not outcome_of(stack, request_id)
    refusing()
    wait_until(lambda: outcome_of(stack, request_id) == [("committed",)], 10, "it is committed")
    wait_until(lambda: outcomes.types_of(request_id) == ["vote.cast.v1"], 10, "and announced")
    wait_until(lambda: not stack.sql(parked, request_id), 10, "and parked no more")
    wait_until(lambda: stack.shown(project) == (5, 1, 0), 10, "redis settles")
    assert dead() == []
    check_sums(stack)


def test_G3_a_parked_vote_that_succeeds_behind_a_later_one_changes_nothing(stack, own_commit, refusing, project):
    own_commit("--retry-delays", "2s,2s,2s")
    token = sign(f"refused-{uuid.uuid4().hex[:8]}")
    first = accepted(stack.vote(token, project, "down", toggle=False))
    # In one batch with the later one it would be folded away, and not refused.
    wait_until(lambda: stack.sql("select 1 from vote.parked where request_id = %s", first), 10, "it is parked")
    last = accepted(stack.vote(token, project, "up", toggle=False))
    wait_until(lambda: outcome_of(stack, last), 10, "the later one is in the ledger")
    assert not outcome_of(stack, first)
    refusing()
    wait_until(lambda: outcome_of(stack, first) == [("superseded",)], 10, "the earlier one is superseded")
    wait_until(lambda: settled(stack, project), 10, "redis settles")
    assert stack.counts(project) == (1, 0)
    check_sums(stack)


def test_G6_a_database_that_is_down_makes_nothing_dead(stack, refusing, project, dead):
    load = Load(stack)
    try:
        request_id = accepted(stack.vote(sign(f"refused-{uuid.uuid4().hex[:8]}"), project, "down"))
        wait_until(lambda: stack.sql("select 1 from vote.parked where request_id = %s", request_id), 10, "it is parked")
        stack.signal_server("postgres", "QUIT")
        stack.server("stop", "postgres")
        wait_until(lambda: not stack.main_commit.is_ready(), 10, "vote-commit says that it waits")
        all_delays = time.monotonic() + 2
        wait_until(lambda: time.monotonic() > all_delays, 5, "longer than all delays")
        assert dead() == []
        stack.server("start", "postgres")
        headers = dead(1)[0][1]
        assert headers["vote_attempts"] == str(ATTEMPTS) and headers["vote_sqlstate"] == "23514"  # an outage is no attempt
        load.check()
    finally:
        load.close()
    assert len(dead()) == 1


@pytest.fixture
def failed(stack, refusing, project, dead):
    """A vote against the project that Postgres refused to the end: its token and request."""
    token = sign(f"refused-{uuid.uuid4().hex[:8]}")
    request_id = accepted(stack.vote(token, project, "down"))
    assert json.loads(dead(1)[0][0].value())["request_id"] == request_id
    wait_until(lambda: stack.status(token, request_id)["state"] == "failed", 10, "its status says so")
    wait_until(lambda: not stack.sql("select 1 from vote.parked where request_id = %s", request_id), 10, "parked no more")
    return token, request_id


def replay(stack, *arguments):
    return stack.run("vote-replay", *arguments, check=True).stderr


def test_G2_a_vote_that_failed_counts_once_when_it_is_redriven_after_the_cause_is_mended(stack, refusing, project, failed, outcomes):
    token, request_id = failed
    refusing()
    for _ in range(2):  # once too often does no harm
        assert replay(stack, "--redrive", "--request", request_id).startswith("vote-replay: 1 sent")
    wait_until(lambda: outcome_of(stack, request_id) == [("committed",)], 10, "it is committed")
    wait_until(lambda: stack.shown(project) == (0, 1, 0), 10, "redis settles")
    wait_until(lambda: stack.status(token, request_id)["state"] == "committed", 10, "its status says so")
    wait_applied(stack)
    wait_until(lambda: outcomes.types_of(request_id)[:1] == ["vote.cast.v1"], 10, "its result says so")
    replay(stack, "--from", "requests", "--to", "requests", "--request", request_id)
    wait_applied(stack)
    assert stack.counts(project) == (0, 1) and outcome_of(stack, request_id) == [("committed",)]
    check_sums(stack)


def test_G3_a_vote_that_is_redriven_behind_a_later_one_changes_nothing(stack, refusing, project, failed):
    token, request_id = failed
    later = accepted(stack.vote(token, project, "up"))
    wait_until(lambda: outcome_of(stack, later) == [("committed",)], 10, "the later one is committed")
    refusing()
    replay(stack, "--redrive", "--request", request_id)
    wait_until(lambda: outcome_of(stack, request_id) == [("superseded",)], 10, "it is superseded")
    assert stack.counts(project) == (1, 0)
    check_sums(stack)


def test_G8_what_failed_is_tried_again_by_a_redrive_and_by_no_replay(stack, refusing, project, failed, dead):
    _, request_id = failed
    before = len(dead())
    replay(stack, "--redrive", "--request", request_id)
    wait_until(lambda: len(dead(before + 1)) > before, 20, "it is refused again")
    wait_until(lambda: outcome_of(stack, request_id) == [("failed",)], 10, "and failed")
    refusing()
    replay(stack, "--from", "requests", "--to", "requests", "--request", request_id)  # the first and the redriven one
    wait_applied(stack)
    assert outcome_of(stack, request_id) == [("failed",)] and stack.counts(project) == (0, 0)
