# test_audit.py - what audit finds, and what audit --repair makes of it. SPDX-License-Identifier: Apache-2.0
import json
import uuid

import pytest

from stack import free_port, wait_until
from test_guarantees import produce, wait_applied


def by_hand(stack, *statements):
    """Statements that no trigger sees, as damage would come: each with its values."""
    connection = stack.connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("set local vote.apply = 'on'")
            for text, *values in statements:
                cursor.execute(text, values)
    finally:
        connection.close()


def vote(stack, token, project, vote_type="up"):
    """A vote that is committed; its request id."""
    request = stack.vote(token, project, vote_type).json()["data"]["request_id"]
    stack.wait_committed(token, request)
    return request


def audit(stack, *arguments, **options):
    done = stack.run("vote-admin", "audit", *arguments, **options)
    return done.returncode, done.stdout, done.stderr


def repair(stack):
    """What --repair printed, after it has left nothing to be found."""
    code, output, errors = audit(stack, "--repair")
    assert code == 0 and output.splitlines()[-2].startswith("redis: dropped"), output + errors
    assert "all repaired" in output
    clean = audit(stack)
    assert clean[0] == 0 and clean[1].endswith("audit: clean\n"), clean[1]
    return output


@pytest.fixture
def clean(stack, project):
    """The stack with everything applied, and no difference but those that a test makes."""
    wait_applied(stack)
    code, output, _ = audit(stack)
    assert code == 0, output
    return stack


def row(stack, user):
    return stack.sql("select value, request_id::text from vote.votes where user_id = %s", user)


def test_a_clean_audit_repairs_nothing(clean):
    assert audit(clean, "--repair")[1].endswith("audit: clean\n")


def test_wrong_totals_are_counted_again_and_their_version_is_raised(clean, project, token):
    vote(clean, token, project)
    by_hand(clean, ("update vote.projects set upvotes = 5, community_score = 7 where project_id = %s", project))
    assert f"repaired: {project}: counts are 1 up 0 down, they were 5 up 0 down\n" in repair(clean)
    assert clean.sql("select version > 1 from vote.projects where project_id = %s", project) == [(True,)]


def test_a_score_alone_is_made_right(clean, project, token):
    vote(clean, token, project)
    by_hand(clean, ("update vote.projects set community_score = 7 where project_id = %s", project))
    repair(clean)
    assert clean.sql("select community_score < 1 from vote.projects where project_id = %s", project) == [(True,)]


def test_a_missing_row_comes_back_from_the_log(clean, project, token, user):
    request = vote(clean, token, project)
    by_hand(clean, ("delete from vote.votes where user_id = %s", user))
    assert f"repaired: {project}: the vote of {user} is 1, its row was missing\n" in repair(clean)
    assert (row(clean, user), clean.counts(project)) == ([(1, request)], (1, 0))


def test_an_older_row_becomes_the_newest_vote_of_the_log(clean, project, token, user):
    first, second = vote(clean, token, project), vote(clean, token, project, "down")
    by_hand(clean, ("update vote.votes v set value = l.value, seq = l.seq, request_id = l.request_id from vote.log l "
                    "where l.request_id = %s and v.user_id = %s", first, user))
    assert f"repaired: {project}: the vote of {user} is -1, its row was older\n" in repair(clean)
    assert (row(clean, user), clean.counts(project)) == ([(-1, second)], (0, 1))


def test_a_row_changed_by_hand_becomes_what_the_log_says(clean, project, token, user):
    vote(clean, token, project)
    clean.sql("update vote.votes set value = -1 where user_id = %s", user)
    assert f"repaired: {project}: the vote of {user} is 1, its row was -1\n" in repair(clean)
    assert clean.counts(project) == (1, 0)


def test_a_row_that_nothing_explains_is_removed(clean, project, user):
    by_hand(clean, ("insert into vote.votes values (%s, %s, 1, 1, gen_random_uuid(), now())", project, user))
    assert f"repaired: {project}: removed the vote 1 of {user}, request" in repair(clean)
    assert row(clean, user) == []


def test_a_forged_row_in_place_of_a_vote_gives_way_to_it(clean, project, token, user):
    request = vote(clean, token, project)
    by_hand(clean, ("update vote.votes set value = -1, seq = seq + 1000000000, request_id = gen_random_uuid() "
                    "where user_id = %s", user))
    repair(clean)
    assert (row(clean, user), clean.counts(project)) == ([(1, request)], (1, 0))


def test_a_request_that_the_ledger_lost_is_recorded_again(clean, project, token):
    request = vote(clean, token, project)
    by_hand(clean, ("delete from vote.log where request_id = %s", request))
    assert f"repaired: {project}: request {request} is in the ledger again\n" in repair(clean)
    assert clean.sql("select outcome, value from vote.log where request_id = %s", request) == [("committed", 1)]


def test_a_request_that_was_never_applied_is_applied(clean, project, token, user):
    request = clean.vote(token, project, "up", variant="a\\b\t").json()["data"]["request_id"]
    clean.wait_committed(token, request)
    by_hand(clean, ("delete from vote.log where request_id = %s", request),
            ("delete from vote.votes where user_id = %s", user),
            ("update vote.projects set upvotes = 0 where project_id = %s", project))
    assert f"repaired: {project}: request {request} is applied, and committed\n" in repair(clean)
    assert (row(clean, user), clean.counts(project)) == ([(1, request)], (1, 0))
    assert clean.sql("select variant from vote.log where request_id = %s", request) == [("a\\b\t",)]


def test_totals_below_what_is_possible_do_not_stop_a_repair(clean, project, token, user):
    vote(clean, token, project)
    removal = vote(clean, token, project)  # the second click takes it back
    by_hand(clean, ("delete from vote.log where request_id = %s", removal),
            ("update vote.votes set value = 1, seq = seq - 1, request_id = "
             "(select request_id from vote.log where user_id = %s) where user_id = %s", user, user))
    repair(clean)
    assert (row(clean, user), clean.counts(project)) == ([(0, removal)], (0, 0))


def test_votes_without_a_project_get_it(clean, project, token, user):
    vote(clean, token, project)
    by_hand(clean, ("delete from vote.projects where project_id = %s", project))
    code, output, _ = audit(clean)
    assert code == 1 and f"{project}: has 1 votes, but is no project\n" in output
    assert f"repaired: {project}: is a project\n" in repair(clean)
    assert clean.counts(project) == (1, 0)


def test_redis_shows_what_was_repaired(clean, project, token):
    vote(clean, token, project)
    clean.redis().hset(f"vote:state:{{{project}}}", "upvotes", 9)
    by_hand(clean, ("update vote.projects set upvotes = 9 where project_id = %s", project))
    repair(clean)
    assert not clean.redis().exists(f"vote:state:{{{project}}}", f"vote:voters:{{{project}}}")
    assert clean.vote(clean.token("other-" + project), project, "up").json()["data"]["upvotes"] == 2


@pytest.mark.parametrize("damage, line", [
    (lambda redis, project, user: redis.hset(f"vote:state:{{{project}}}", "upvotes", 7),
     "{project}: Redis says 7 up 0 down, Postgres 1 up 0 down (version 1)"),
    (lambda redis, project, user: redis.hset(f"vote:voters:{{{project}}}", user, -1),
     "{project}: Redis says the vote of {user} is -1, Postgres 1"),
    (lambda redis, project, user: redis.hset(f"vote:voters:{{{project}}}", "nobody", 1),
     "{project}: Redis says the vote of nobody is 1, Postgres 0"),
    (lambda redis, project, user: redis.hset(f"vote:voters:{{{project}}}", user, "up"),
     "{project}: Redis has a voter whose vote is none"),
    (lambda redis, project, user: redis.hdel(f"vote:voters:{{{project}}}", user),
     "{project}: Redis has 0 votes up 0 down of its voters, Postgres 1 and 0")])
def test_a_state_in_redis_that_is_not_what_postgres_has_is_named_and_dropped(clean, project, token, user, damage, line):
    vote(clean, token, project)
    wait_until(lambda: clean.redis().hget(f"vote:state:{{{project}}}", "pending") == "0", 10, "settled")
    damage(clean.redis(), project, user)
    code, output, _ = audit(clean)
    assert code == 1 and line.format(project=project, user=user) in output.splitlines(), output
    assert output.endswith(" compared, 1 differ\naudit: 1 differences\n")
    dry = audit(clean, "--repair", "--dry-run")
    assert dry[0] == 1 and clean.redis().exists(f"vote:state:{{{project}}}")
    assert "redis: dropped the state of 1 projects" in repair(clean)
    assert clean.vote(clean.token("other-" + project), project, "up").json()["data"]["upvotes"] == 2


def test_a_state_with_votes_on_their_way_is_no_difference(clean, project, token):
    vote(clean, token, project)
    clean.redis().hset(f"vote:state:{{{project}}}", mapping={"upvotes": 2, "pending": 1})
    code, output, _ = audit(clean)
    clean.redis().delete(f"vote:state:{{{project}}}")
    assert code == 0, output


def test_all_voters_of_a_large_project_are_compared(clean, project):
    users = [f"many-{n}-{project}" for n in range(3000)]
    by_hand(clean, ("insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome, seq, topic, "
                    "\"partition\", \"offset\", version, commit_latency_ms) select gen_random_uuid(), now(), u, %s, 1, 0, 'created', "
                    "'committed', 1, 'vote.requests', 0, -9, 1, 1 from unnest(%s) u", project, users),
            ("insert into vote.votes select project_id, user_id, value, seq, request_id, now() from vote.log where project_id = %s", project),
            ("update vote.projects set upvotes = 3000, community_score = vote.community_score(3000, 0) where project_id = %s", project))
    state = {"upvotes": 3000, "downvotes": 0, "version": 0, "seq": 1, "pending": 0, "base_up": 3000, "base_down": 0}
    clean.redis().hset(f"vote:state:{{{project}}}", mapping=state)
    clean.redis().hset(f"vote:voters:{{{project}}}", mapping={name: 1 for name in users})
    right = audit(clean)
    clean.redis().hset(f"vote:voters:{{{project}}}", users[1234], 0)
    wrong = audit(clean)
    clean.redis().delete(f"vote:state:{{{project}}}", f"vote:voters:{{{project}}}")
    by_hand(clean, ("delete from vote.log where project_id = %s", project), ("delete from vote.votes where project_id = %s", project),
            ("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project))
    assert right[0] == 0 and f"{project}: Redis says the vote of {users[1234]} is 0, Postgres 1\n" in wrong[1], right[1] + wrong[1]


def test_a_redis_that_is_away_is_named_and_postgres_repaired(clean, project, token):
    vote(clean, token, project)
    by_hand(clean, ("update vote.projects set upvotes = 5 where project_id = %s", project))
    code, output, errors = audit(clean, "--repair", "--redis-url", f"redis://127.0.0.1:{free_port()}")
    assert (code, clean.counts(project)) == (75, (1, 0)) and "all repaired" in output
    assert "redis was not compared" in errors and "unable to connect to redis" in errors


def test_what_cannot_be_repaired_is_named(clean, project, user):
    request = str(uuid.uuid4())
    clean.sql("insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome, seq, topic, "
              "\"partition\", \"offset\", version, commit_latency_ms) values (%s, now(), %s, %s, 1, 0, 'created', 'superseded', "
              "1, 'vote.requests', (select \"partition\" from vote.progress where next_offset > 0 limit 1), 0, 1, 1)",
              request, user, project)
    by_hand(clean, ("update vote.projects set upvotes = 3 where project_id = %s", project))
    code, output, _ = audit(clean, "--repair")
    clean.sql("delete from vote.log where request_id = %s", request)
    assert code == 1 and f"not repaired: request {request} is in the ledger with offset" in output
    assert clean.counts(project) == (0, 0) and "audit: 3 differences, 1 not repaired" in output


def produce_vote(stack, project, user):
    request = str(uuid.uuid4())
    produce(stack, [(project.encode(), json.dumps({
        "request_id": request, "user_id": user, "project_id": project, "vote_type": "up", "previous": "none",
        "action": "created", "seq": 1795457019594001, "accepted_at": "2026-11-23T18:03:39.594Z"}).encode(), [])])
    wait_until(lambda: stack.sql("select 1 from vote.log where request_id = %s", request), 20, "applied")
    return request


def test_a_request_that_waits_in_parked_is_no_difference(clean, project, user):
    request = produce_vote(clean, project, user)
    by_hand(clean, ("insert into vote.parked (topic, \"partition\", \"offset\", request_id, next_attempt_at, sqlstate, reason) "
                    "select topic, \"partition\", \"offset\", request_id, 'infinity', '22000', 'test' from vote.log "
                    "where request_id = %s", request),
            ("delete from vote.log where request_id = %s", request),
            ("delete from vote.votes where user_id = %s", user),
            ("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project))
    code, output, _ = audit(clean)
    clean.sql("delete from vote.parked where request_id = %s", request)
    assert code == 0, output
    assert f"request {request} is applied" in repair(clean)


def test_a_request_that_failed_need_not_stand(clean, project, user):
    request = produce_vote(clean, project, user)
    by_hand(clean, ("update vote.log set outcome = 'failed' where request_id = %s", request),
            ("delete from vote.votes where user_id = %s", user),
            ("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project))
    code, output, _ = audit(clean)
    assert code == 0, output


def test_a_row_older_than_the_log_is_compared_with_the_ledger(clean, project, user):
    by_hand(clean, ("insert into vote.log (request_id, accepted_at, user_id, project_id, value, previous, action, outcome, seq, topic, "
                    "\"partition\", \"offset\", version, commit_latency_ms) values (gen_random_uuid(), now(), %s, %s, 1, 0, 'created', "
                    "'committed', 1, 'vote.requests', 0, -7, 1, 1)", user, project),
            ("insert into vote.votes select project_id, user_id, -1, seq, request_id, now() from vote.log "
             "where user_id = %s", user),
            ("update vote.projects set downvotes = 1, community_score = vote.community_score(0, 1) where project_id = %s", project))
    code, output, _ = audit(clean)
    assert code == 1 and f"{project}: the ledger's newest vote of one user is 1, its row is -1\n" in output
    repair(clean)
    assert clean.counts(project) == (1, 0)
    # A vote that no topic ever had would be a difference to whoever replays all of them.
    by_hand(clean, ("delete from vote.log where project_id = %s", project), ("delete from vote.votes where project_id = %s", project),
            ("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project))


def test_a_repair_beside_votes_loses_none_of_them(clean, project):
    users = [f"beside-{n}-{project}" for n in range(30)]
    tokens = [clean.token(user) for user in users]
    for token in tokens[:5]:
        vote(clean, token, project)
    by_hand(clean, ("update vote.votes set value = -1 where project_id = %s", project),
            ("update vote.projects set downvotes = 50 where project_id = %s", project))
    answers = [clean.vote(token, project, "up").json()["data"]["request_id"] for token in tokens[5:20]]
    assert audit(clean, "--repair")[0] == 0
    answers += [clean.vote(token, project, "up").json()["data"]["request_id"] for token in tokens[20:]]
    for token, request in zip(tokens[5:], answers):
        clean.wait_committed(token, request)
    assert clean.counts(project) == (30, 0) and audit(clean)[0] == 0
