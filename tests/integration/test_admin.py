# test_admin.py - what operators do from a shell: forget, trace, lag, stats, topics, projects.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pty
import re
import subprocess
import time
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from stack import BIN, Stack, free_port, started_servers, wait_until
from test_audit import by_hand
from test_commit import empty  # noqa: F401
from test_notify import browse, notifier  # noqa: F401
from test_outage import kafka_away  # noqa: F401
from topics import Tail, produce, read_topic, requests_log, wait_applied

FORGOTTEN = "vote.user.forgotten.v1"


def admin(stack, *arguments, **options):
    done = stack.run("vote-admin", *arguments, **options)
    return done.returncode, done.stdout, done.stderr


def vote(stack, token, project, vote_type="up", **body):
    """A vote that is committed; its request id."""
    request = stack.vote(token, project, vote_type, **body).json()["data"]["request_id"]
    stack.wait_committed(token, request)
    return request


def forget(stack, user):
    code, output, errors = admin(stack, "forget-user", user, "--yes")
    assert code == 0, output + errors
    return output


def rows(stack, user):
    return stack.sql("select project_id, value from vote.votes where user_id = %s order by 1", user)


def on_a_terminal(stack, answer, *arguments):
    """Runs vote-admin with a terminal and types the answer; its exit code and all it wrote."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BIN + "/vote-admin", ["vote-admin", *arguments], stack.env)
    os.write(fd, answer.encode())
    text = b""
    while True:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


@pytest.fixture
def second(stack):
    """Another project."""
    name = "q-" + uuid.uuid4().hex[:12]
    stack.add_projects(name)
    return name


@pytest.fixture
def held(stack):
    """vote-commit is stopped: votes are accepted, and not applied."""
    stack.main_commit.stop()
    yield stack
    if stack.main_commit.process.poll() is not None:
        stack.main_commit.start()


# forget-user

def test_a_forgotten_users_votes_are_gone_and_the_totals_follow(stack, project, second, token, user):
    vote(stack, token, project), vote(stack, token, second, "down"), vote(stack, stack.token("other-" + user), project)
    before = stack.sql("select sum(version) from vote.projects where project_id in (%s, %s)", project, second)[0][0]
    assert f"{user} is forgotten" in forget(stack, user)
    assert rows(stack, user) == []
    assert (stack.counts(project), stack.counts(second)) == ((1, 0), (0, 0))
    assert stack.sql("select sum(version) from vote.projects where project_id in (%s, %s)", project, second)[0][0] == before + 2
    stack.assert_totals_equal_rows()


def test_the_ledger_keeps_the_votes_of_a_forgotten_user_under_names_that_join_nothing(stack, project, second, token, user):
    vote(stack, token, project), vote(stack, token, project, "down"), vote(stack, token, second)
    forget(stack, user)
    names = stack.sql("select user_id, count(*) from vote.log where project_id in (%s, %s) group by 1 order by 2", project, second)
    assert [count for _, count in names] == [1, 2] and all(name.startswith("forgotten:") for name, _ in names)
    assert stack.sql("select 1 from vote.log where user_id = %s", user) == []


def test_nothing_in_redis_names_a_forgotten_user(stack, project, token, user):
    vote(stack, token, project)
    stack.redis().set(f"cache:user:{user}:votes", "stale")
    forget(stack, user)
    client = stack.redis()
    assert [key for key in client.scan_iter("*") if user in key] == []
    assert not client.exists(f"vote:state:{{{project}}}", f"vote:voters:{{{project}}}")
    assert [fields for _, fields in client.xrange("vote:events") if fields["user_id"] == user] == []
    requests = [key for key in client.scan_iter("vote:request:*") if client.hget(key, "user_id") == user]
    assert requests == []


def test_the_api_shows_a_forgotten_user_no_votes(stack, project, token, user):
    request = vote(stack, token, project)
    forget(stack, user)
    assert stack.get(token, "/api/votes/user").json()["data"]["votes"] == []
    assert stack.get(token, "/api/votes/status/" + request).status_code == 404


def test_open_browsers_hear_that_the_totals_moved(stack, project, token, user, notifier, browse):  # noqa: F811
    _, url = notifier("--conflate", "0")
    vote(stack, token, project)
    browser = browse(url)
    browser.subscribe(project)
    forget(stack, user)
    event = wait_until(lambda: browser.of(project, "vote:removed"), 20, "the event")[-1]
    assert (event["upvotes"], event["downvotes"]) == (0, 0) and "user_vote" not in event


def test_each_project_that_moved_has_one_result(stack, project, second, token, user):
    vote(stack, token, project), vote(stack, token, second, "down")
    tail = Tail(stack, "vote.results", from_end=True)
    forget(stack, user)
    wait_until(lambda: stack.sql("select count(*) from vote.outbox") == [(0,)], 20, "the outbox relayed")
    found = {}
    for message in tail.read():
        value = json.loads(message.value())
        if value["user_id"] == user:
            assert message.key().decode() == value["project_id"] and dict(message.headers())["ce_type"] == b"vote.removed.v1"
            found.setdefault(value["project_id"], []).append((value["previous"], value["action"], value["upvotes"], value["downvotes"]))
    tail.close()
    assert found == {project: [("up", "removed", 0, 0)], second: [("down", "removed", 0, 0)]}


def test_a_user_who_votes_again_counts_again(stack, project, token, user):
    vote(stack, token, project)
    forget(stack, user)
    again = vote(stack, token, project, "down")
    assert (rows(stack, user), stack.counts(project)) == ([(project, -1)], (0, 1))
    assert stack.sql("select outcome, user_id from vote.log where request_id = %s", again) == [("committed", user)]
    assert stack.get(token, "/api/votes/user").json()["data"]["votes"][0]["vote_type"] == "down"


def test_a_vote_that_was_on_its_way_is_forgotten_with_the_others(held, project, token, user):
    request = held.vote(token, project, "up").json()["data"]["request_id"]
    code, _, errors = admin(held, "forget-user", user, "--yes", "--timeout", "200ms")
    assert code == 75 and "vote-commit has not come to it" in errors
    held.main_commit.start()
    wait_applied(held)
    assert (rows(held, user), held.counts(project)) == ([], (0, 0))
    assert held.sql("select 1 from vote.log where user_id = %s", user) == []
    wait_until(lambda: not held.redis().exists(f"vote:request:{request}") or
               held.redis().hget(f"vote:voters:{{{project}}}", user) is None, 10, "redis")


def test_a_vote_of_a_forgotten_user_changes_nothing_whenever_it_comes(stack, project, user):
    stack.sql("select vote.forget(%s, 100, %s, now())", user, str(uuid.uuid4()))
    applied = stack.sql("select outcome, reason, standing, upvotes from vote.apply('vote.requests', '{0,0}', '{-5,-6}', "
                        "array[gen_random_uuid(), gen_random_uuid()], %s, %s, '{1,1}', '{0,0}', '{created,created}', '{100,101}', "
                        "array_fill(now(), '{2}'), '{NULL,NULL}')", [user] * 2, [project] * 2)
    assert applied == [("superseded", "the user was forgotten", 0, 0), ("committed", None, 1, 1)]
    names = [name for name, in stack.sql("select user_id from vote.log where project_id = %s order by seq", project)]
    by_hand(stack, ("delete from vote.log where project_id = %s", project), ("delete from vote.votes where project_id = %s", project),
            ("update vote.projects set upvotes = 0, community_score = 0 where project_id = %s", project))
    assert names[0].startswith("forgotten:") and names[1] == user


def state(stack, projects):
    """What counts: rows and totals, without the versions that depend on the way there."""
    return (stack.sql("select project_id, user_id, value, seq, request_id::text from vote.votes where project_id = any(%s) order by 1, 2", projects),
            stack.sql("select project_id, upvotes, downvotes, community_score from vote.projects where project_id = any(%s) order by 1", projects),
            stack.sql("select request_id::text, user_id like 'forgotten:%%' from vote.log where project_id = any(%s) order by 1", projects))


def test_G8_a_replay_into_an_empty_database_brings_nobody_back(stack, empty, project, token, user):  # noqa: F811
    projects = [project] + [f"{project}-{n}" for n in range(8)]  # on all partitions
    stack.add_projects(*projects)
    for name in projects:
        vote(stack, token, name), vote(stack, stack.token("other-" + user), name, "down")
    forget(stack, user)
    vote(stack, token, projects[0], "down")
    wait_applied(stack)
    empty.commit("--group", "again-" + uuid.uuid4().hex).start()
    wait_applied(empty)
    assert state(empty, projects) == state(stack, projects)
    assert rows(empty, user) == [(project, -1)]


def test_G8_the_log_again_changes_nothing_though_somebody_was_forgotten(stack, project, token, user):
    vote(stack, token, project)
    forget(stack, user)
    vote(stack, token, project)
    tables = "select * from vote.votes order by 1, 2", "select * from vote.projects order by 1", "select * from vote.log order by 1"
    wait_applied(stack)
    before = [stack.sql(table) for table in tables]
    produce(stack, requests_log(stack))
    wait_applied(stack)
    assert [stack.sql(table) for table in tables] == before


def test_an_audit_knows_who_was_forgotten(stack, project, token, user):
    vote(stack, token, project), forget(stack, user)
    wait_applied(stack)
    code, output, _ = admin(stack, "audit")
    assert code == 0 and "are wishes to be forgotten" in output, output


def test_the_wish_is_in_every_partition_with_the_users_key(stack, user):
    tail = Tail(stack, "vote.requests", from_end=True)
    request = re.search(r"is request (\S+)", forget(stack, user))[1]
    found = [m for m in tail.read() if dict(m.headers())["ce_type"].decode() == FORGOTTEN]
    tail.close()
    assert sorted(m.partition() for m in found) == list(range(6)) and {m.key().decode() for m in found} == {user}
    assert {json.loads(m.value())["request_id"] for m in found} == {request}


def test_a_commit_that_is_killed_while_it_forgets_does_so_after_its_start(held, project, token, user):
    vote_id = held.vote(token, project, "up").json()["data"]["request_id"]
    admin(held, "forget-user", user, "--yes", "--timeout", "1ms")
    blocker = held.connect()
    with blocker.cursor() as cursor:  # it waits for this lock in the middle of the wish
        cursor.execute("select pg_advisory_xact_lock(vote.writing())")
        held.main_commit.start(ready=False)
        wait_until(lambda: held.sql("select 1 from pg_locks where locktype = 'advisory' and not granted"), 20, "waiting")
        held.main_commit.kill()
    blocker.close()
    held.main_commit.start()
    wait_applied(held)
    assert rows(held, user) == [] and held.counts(project) == (0, 0)
    assert held.sql("select 1 from vote.log where user_id = %s or (request_id = %s and user_id not like 'forgotten:%%')", user, vote_id) == []


def test_an_owner_who_is_forgotten_owns_nothing_and_hears_of_nothing(stack, project, token, user):
    owner = "owner-" + user
    stack.run("vote-admin", "projects", "import", "-", input=f"project_id,owner_id\n{project},{owner}\n", check=True)
    vote(stack, token, project)
    assert stack.sql("select 1 from vote.notifications where owner_id = %s", owner)
    forget(stack, owner)
    assert stack.sql("select 1 from vote.notifications where owner_id = %s", owner) == []
    assert stack.sql("select owner_id from vote.projects where project_id = %s", project) == [(None,)]


def test_forgetting_says_what_it_would_do_and_does_nothing(stack, project, token, user):
    vote(stack, token, project)
    code, output, _ = admin(stack, "forget-user", user, "--dry-run")
    assert code == 0 and f"{user} has votes on 1 projects (1 of them counted), 1 requests in the ledger" in output
    assert "nothing was changed" in output and rows(stack, user) == [(project, 1)]


def test_without_a_terminal_forgetting_wants_yes(stack, project, token, user):
    vote(stack, token, project)
    code, _, errors = admin(stack, "forget-user", user, input="y\n")
    assert code == 64 and "--yes" in errors and rows(stack, user) == [(project, 1)]


def test_on_a_terminal_forgetting_asks(stack, project, token, user):
    vote(stack, token, project)
    code, text = on_a_terminal(stack, "n\n", "forget-user", user)
    assert code == 1 and "nothing was changed" in text and rows(stack, user) == [(project, 1)]
    code, text = on_a_terminal(stack, "y\n", "forget-user", user)
    assert code == 0 and f"Forget {user}? This cannot be taken back. [y/N]" in text and rows(stack, user) == []


@pytest.mark.parametrize("name", ("", "not an id", "x" * 65))
def test_forgetting_nobody_is_a_mistake(servers, name):
    assert admin(servers, "forget-user", name, "--yes")[0] == 64


def test_bytes_that_are_no_wish_go_to_vote_dead(stack, project):
    tail = Tail(stack, "vote.dead", from_end=True)
    produce(stack, [(project.encode(), b'{"user_id":"u1"}', [("ce_type", FORGOTTEN.encode())])])
    wait_until(lambda: tail.read(), 20, "vote.dead")
    tail.close()


def test_a_user_of_many_votes_is_forgotten_part_by_part(stack, project, user):
    stack.sql("insert into vote.votes select %s || '-' || n, %s, 1, 1, gen_random_uuid(), now() from generate_series(1, 1234) n", project, user)
    assert stack.sql("select sum(upvotes) from vote.projects where project_id like %s", project + "-%") == [(1234,)]
    assert f"{user} has votes on 1234 projects" in forget(stack, user)
    assert rows(stack, user) == []
    assert stack.sql("select sum(upvotes) from vote.projects where project_id like %s", project + "-%") == [(0,)]
    stack.sql("delete from vote.projects where project_id like %s", project + "-%")


def test_a_wish_that_postgres_could_not_grant_is_granted_when_it_is_back(held, project, token, user):
    held.vote(token, project, "up")
    admin(held, "forget-user", user, "--yes", "--timeout", "1ms")
    blocker = held.connect()
    blocker.cursor().execute("select pg_advisory_xact_lock(vote.writing())")
    held.main_commit.start(ready=False)
    wait_until(lambda: held.sql("select 1 from pg_locks where locktype = 'advisory' and not granted"), 20, "waiting")
    held.server("stop", "postgres")
    held.server("start", "postgres")
    wait_applied(held)
    assert (rows(held, user), held.counts(project)) == ([], (0, 0))


# trace

def uuid7():
    """A request id of now that nobody has."""
    stamp = f"{int(time.time() * 1000):012x}"
    return f"{stamp[:8]}-{stamp[8:]}-7{uuid.uuid4().hex[:3]}-{str(uuid.uuid4())[19:]}"


def trace(stack, request, *arguments):
    code, output, errors = admin(stack, "trace", request, "--format", "json", *arguments)
    assert code == 0, output + errors
    return json.loads(output)


def test_a_trace_follows_a_vote_from_http_to_its_announcement(stack, project, token, user):
    request = vote(stack, token, project)
    wait_until(lambda: trace(stack, request)["results"], 10, "the announcement")
    told = trace(stack, request)
    assert (told["state"], told["user_id"], told["project_id"], told["vote_type"], told["stands"]) == ("committed", user, project, "up", True)
    whats = [event["what"] for event in told["events"]]
    assert whats[0].startswith("accepted by vote-ingest") and any("in the log, vote.requests" in what for what in whats)
    assert any(what.startswith("committed in Postgres") for what in whats) and "announced, in vote.results" in " ".join(whats)
    assert all(event["after_ms"] >= 0 for event in told["events"]) and told["missing"] == []
    record = next(m for m in read_topic(stack, "vote.requests") if json.loads(m.value()).get("request_id") == request)
    assert told["requests"] == {"partition": record.partition(), "offset": record.offset(), "type": "vote.requested.v1"}


def test_a_trace_for_eyes_has_times_and_what_lies_between(stack, project, token):
    request = vote(stack, token, project)
    code, output, _ = admin(stack, "trace", request)
    assert code == 0 and output.startswith(f"request {request}: committed\n") and "stands: vote.votes has it" in output
    assert re.search(r"^\d{4}-\S+Z +\+\d+ ms  committed in Postgres", output, re.M), output


def test_a_trace_without_redis_finds_the_record_by_ledger(stack, project, token):
    request = vote(stack, token, project)
    stack.redis().delete("vote:request:" + request)
    told = trace(stack, request)
    assert told["requests"] and any(line.startswith("not in Redis") for line in told["missing"])
    code, output, _ = admin(stack, "trace", request, "--redis-url", f"redis://127.0.0.1:{free_port()}")
    assert code == 0 and "Redis is away" in output


def test_a_trace_of_a_vote_that_waits_says_so(held, project, token):
    request = held.vote(token, project, "up").json()["data"]["request_id"]
    told = trace(held, request)
    assert told["state"] == "pending" and any("vote-commit has" in line for line in told["missing"])


def test_a_trace_finds_a_record_by_the_time_in_its_id_alone(held, project, token):
    request = held.vote(token, project, "up").json()["data"]["request_id"]
    held.redis().delete("vote:request:" + request)
    told = trace(held, request)
    assert told["requests"]["type"] == "vote.requested.v1" and told["project_id"] == project


def test_a_trace_shows_a_newer_vote_in_its_place(stack, project, token):
    first, newer = vote(stack, token, project), vote(stack, token, project, "down")
    assert trace(stack, first)["stands"] is False
    assert f"vote.votes has request {newer}" in admin(stack, "trace", first)[1]


def test_a_trace_of_a_dead_record_gives_the_reason(stack, project):
    request = uuid7()
    produce(stack, [(project.encode(), json.dumps({"request_id": request, "user_id": "u 1"}).encode(), [])])
    told = wait_until(lambda: admin(stack, "trace", request, "--format", "json")[0] == 0 and trace(stack, request)["dead"] and trace(stack, request), 20, "dead")
    assert told["state"] == "failed" and any("given up, in vote.dead" in event["what"] and "user_id" in event["what"] for event in told["events"])


def test_a_trace_of_a_vote_while_kafka_was_away_names_the_outbox(stack, project, token, kafka_away):  # noqa: F811
    kafka_away()
    request = wait_until(lambda: stack.vote(token, project, "up").json().get("data", {}).get("request_id"), 30, "accepted")
    row = stack.sql("select value from vote.outbox where position(%s in value) > 0", request)
    kafka_away.back()
    assert row
    wait_until(lambda: admin(stack, "trace", request)[0] == 0 and trace(stack, request)["requests"], 40, "relayed")


def test_a_trace_of_a_parked_vote_says_when_it_is_tried_again(stack, project, token, user):
    request = vote(stack, token, project)
    by_hand(stack, ("insert into vote.parked (topic, \"partition\", \"offset\", request_id, next_attempt_at, sqlstate, reason) "
                    "select topic, \"partition\", \"offset\", request_id, now() + interval '1 hour', '22000', 'refused by test' from vote.log "
                    "where request_id = %s", request),
            ("delete from vote.log where request_id = %s", request))
    told = trace(stack, request)
    stack.sql("delete from vote.parked where request_id = %s", request)
    assert admin(stack, "audit", "--repair", "--yes")[0] == 0
    assert told["state"] == "parked" and any("refused by test" in event["what"] for event in told["events"])


def test_an_unknown_request_is_said_to_be_unknown(stack):
    code, output, errors = admin(stack, "trace", uuid7())
    assert (code, output) == (1, "") and "is unknown" in errors
    assert admin(stack, "trace", str(uuid.uuid4()))[0] == 1


def test_what_is_no_request_id_is_a_mistake(servers):
    assert admin(servers, "trace", "nonsense")[0] == 64 and admin(servers, "trace")[0] == 64


def test_a_trace_of_a_forgotten_users_vote_names_nobody(stack, project, token, user):
    request = vote(stack, token, project)
    forget(stack, user)
    code, output, _ = admin(stack, "trace", request)
    assert code == 0 and user not in output and "was forgotten" in output


# lag

def lag(stack, *arguments):
    code, output, errors = admin(stack, "lag", "--format", "json", *arguments)
    return code, json.loads(output), errors


def waiting(told, stage="vote-commit"):
    return [row for row in told["partitions"] if row["stage"] == stage and row["records"]]


def test_no_lag_is_none(stack):
    wait_applied(stack)
    wait_until(lambda: stack.sql("select count(*) from vote.outbox") == [(0,)], 20, "the outbox relayed")
    code, told, _ = lag(stack, "--max-lag", "0")
    assert code == 0 and waiting(told) == [] and told["max_seconds"] == 0, told
    assert [row["partition"] for row in told["partitions"] if row["stage"] == "vote-commit"] == list(range(6))


def test_lag_counts_records_and_seconds_of_what_waits(held, project, token):
    wait_until(lambda: waiting(lag(held)[1]) == [], 10, "nothing waits")
    for vote_type in ("up", "down", "none"):
        held.vote(token, project, vote_type)
    time.sleep(1.1)  # so old is the first of them then, at least
    code, told, errors = lag(held, "--max-lag", "1s")
    (row,) = waiting(told)
    assert row["records"] == 3 and 1 < row["seconds"] < 30 and row["end"] - row["next"] == 3
    assert code == 1 and "s behind" in errors and lag(held, "--max-lag", "1h")[0] == 0


def test_lag_for_eyes_is_aligned(stack):
    code, output, _ = admin(stack, "lag")
    lines = output.splitlines()
    assert code == 0 and lines[0].split() == ["STAGE", "TOPIC", "PARTITION", "NEXT", "END", "RECORDS", "SECONDS", "COMMITTED"]
    assert len({len(line) for line in lines[:13]}) == 1 and max(map(len, lines)) <= 96
    assert any(line.startswith("vote.outbox") for line in lines) and any(line.startswith("vote.dead") for line in lines)


def test_the_committed_offset_is_told_beside_the_one_that_counts(stack, project, token):
    vote(stack, token, project)
    wait_until(lambda: all(row["committed"] in (None, row["next"]) for row in lag(stack)[1]["partitions"]), 20, "the hint")


def test_lag_of_a_group_that_never_was_is_not_known(stack):
    told = lag(stack, "--invalidate-group", "nobody-" + uuid.uuid4().hex)[1]
    assert {row["records"] for row in told["partitions"] if row["stage"] == "vote-invalidate"} == {None}
    assert "has no offset there" in admin(stack, "lag", "--invalidate-group", "nobody")[1]


def test_lag_of_the_invalidating_group_is_by_its_offsets(stack, project, token):
    group = "reads-" + uuid.uuid4().hex
    vote(stack, token, project)
    wait_until(lambda: any(row["stage"] == "vote-invalidate" and row["end"] > 0 for row in lag(stack)[1]["partitions"]), 10, "a result")
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": group})
    consumer.commit(offsets=[TopicPartition("vote.results", p, 0) for p in range(6)], asynchronous=False)
    consumer.close()
    told = lag(stack, "--invalidate-group", group)[1]
    assert waiting(told, "vote-invalidate") and all(row["seconds"] > 0 for row in waiting(told, "vote-invalidate"))


def test_lag_counts_what_waits_in_tables(stack, project, token):
    stack.sql("insert into vote.parked (topic, \"partition\", \"offset\", request_id, next_attempt_at, sqlstate, reason) "
              "values ('vote.requests', 0, -9, gen_random_uuid(), now() + interval '1 hour', '22000', 'test')")
    told = lag(stack)[1]
    stack.sql("delete from vote.parked where \"offset\" = -9")
    assert told["parked"]["rows"] == 1 and told["outbox"]["rows"] == 0


def test_lag_names_the_server_that_is_away(stack):
    code, _, errors = admin(stack, "lag", "--database-url", "postgresql://votepipe@127.0.0.1:1/votepipe")
    assert code == 69 and "postgres" in errors


# stats

def test_stats_count_what_the_ledger_has(stack, project, token):
    vote(stack, token, project)
    code, output, _ = admin(stack, "stats", "--format", "json", "--top", "1000")
    told = json.loads(output)
    assert code == 0 and told["totals"]["projects"] == stack.sql("select count(*) from vote.projects")[0][0]
    assert sum(minute["votes"] for minute in told["minutes"]) >= 1 and len(told["minutes"]) == 10
    assert {row["outcome"]: row["requests"] for row in told["outcomes"]}["committed"] >= 1
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p95"] <= told["latency_ms"]["p99"]
    assert [(row["upvotes"], row["requests"]) for row in told["top"] if row["project_id"] == project] == [(1, 1)]


def test_stats_for_eyes_name_each_part(stack, project, token):
    vote(stack, token, project)
    code, output, _ = admin(stack, "stats", "--since", "1m", "--top", "3")
    assert code == 0 and all(word in output for word in ("totals", "Votes by minute", "Outcomes", "latency_ms", "Top projects", "votes_per_s"))


def test_stats_of_a_moment_without_votes_are_empty(stack):
    time.sleep(1.1)  # so long nobody votes
    told = json.loads(admin(stack, "stats", "--since", "1s", "--format", "json")[1])
    assert told["outcomes"] == [] and told["latency_ms"]["p50"] is None and told["top"] == []


# topics

@pytest.fixture
def brokers(stack):
    return AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]})


def configs(client, topic):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in client.describe_configs([resource])[resource].result(20).items()}


@pytest.fixture
def own_kafka(servers):
    """The environment of a Kafka of the test's own, without topics."""
    class Bare(Stack):
        def start_servers(self):
            self.server("start", "kafka")

        def stop(self):
            self.server("stop", "kafka")
    with started_servers(Bare, "votepipe-topics-") as bare:
        bare.client = AdminClient({"bootstrap.servers": bare.env["VOTE_KAFKA_BROKERS"]})
        yield bare


def test_topics_are_created_compared_and_mended(own_kafka):
    code, output, errors = admin(own_kafka, "topics", "--dry-run")
    assert code == 1 and output.count("is missing") == 3 and "3 to do" in errors
    code, output, _ = admin(own_kafka, "topics", "--partitions", "3")
    assert code == 0 and output.count("created") == 3
    wait_until(lambda: len(own_kafka.client.list_topics(timeout=10).topics) >= 3, 10, "the topics")
    assert configs(own_kafka.client, "vote.dead")["retention.ms"] == str(30 * 86400 * 1000)
    assert configs(own_kafka.client, "vote.requests")["cleanup.policy"] == "delete"

    code, output, _ = admin(own_kafka, "topics")  # 6 is only what is made up: what exists is right
    assert code == 0 and output.count("has 3 partitions, not 6") == 3
    assert admin(own_kafka, "topics", "--partitions", "3", "--dry-run")[0] == 0

    resource = ConfigResource(ConfigResource.Type.TOPIC, "vote.results",
                              {"retention.ms": "1000", "cleanup.policy": "compact", "max.message.bytes": "2000000"})
    own_kafka.client.alter_configs([resource])[resource].result(20)
    wait_until(lambda: configs(own_kafka.client, "vote.results")["retention.ms"] == "1000", 10, "the changed configuration")
    code, output, errors = admin(own_kafka, "topics", "--partitions", "3", "--dry-run")
    assert code == 1 and "vote.results has retention.ms=1000, not 604800000" in output
    assert "vote.results has cleanup.policy=compact, not delete" in output and "2 to do" in errors
    assert admin(own_kafka, "topics")[0] == 0 and configs(own_kafka.client, "vote.results")["retention.ms"] == "1000"

    code, _, errors = admin(own_kafka, "topics", "--apply")
    assert code == 64 and "--yes" in errors
    code, output, errors = admin(own_kafka, "topics", "--apply", "--yes", "--partitions", "4")
    assert code == 0, output + errors
    assert output.count("has 4 partitions now") == 3 and "a project's votes go to another one" in errors
    wait_until(lambda: configs(own_kafka.client, "vote.results")["retention.ms"] == "604800000", 10, "the configuration")
    found = configs(own_kafka.client, "vote.results")
    assert (found["cleanup.policy"], found["max.message.bytes"]) == ("delete", "2000000")
    assert wait_until(lambda: len(own_kafka.client.list_topics(timeout=10).topics["vote.requests"].partitions) == 4, 10, "partitions")
    assert admin(own_kafka, "topics", "--partitions", "4", "--dry-run")[0] == 0

    code, output, errors = admin(own_kafka, "topics", "--partitions", "2", "--apply", "--yes")
    assert code == 1 and "never fewer" in output
    code, output, _ = admin(own_kafka, "topics", "--replication-factor", "3")
    assert code == 1 and "has 1 replicas, not 3" in output
    code, output, _ = admin(own_kafka, "topics", "--retention", "2d", "--apply", "--yes")
    assert code == 0
    wait_until(lambda: configs(own_kafka.client, "vote.requests")["retention.ms"] == str(2 * 86400 * 1000), 10, "two days")


def test_topics_of_another_count_are_refused_only_when_it_was_asked_for(stack):
    assert admin(stack, "topics")[0] == 0
    code, output, _ = admin(stack, "topics", "--partitions", "12")
    assert code == 1 and output.count("has 6 partitions, not 12") == 3


# projects

def test_an_export_is_what_an_import_takes_back(stack, project, user):
    stack.run("vote-admin", "projects", "import", "-", input=f"project_id,owner_id\n{project},{user}\n", check=True)
    code, output, _ = admin(stack, "projects", "export")
    assert code == 0 and output.startswith("project_id,owner_id\n") and f"\n{project},{user}\n" in output
    assert len(output.splitlines()) - 1 == stack.sql("select count(*) from vote.projects")[0][0]
    stack.sql("update vote.projects set owner_id = null where project_id = %s", project)
    stack.run("vote-admin", "projects", "import", "-", input=output, check=True)
    assert stack.sql("select owner_id from vote.projects where project_id = %s", project) == [(user,)]


def test_an_export_to_a_full_disk_fails(stack):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN + "/vote-admin", "projects", "export"], env=stack.env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 69 and "unable to write" in done.stderr


# audit --repair, which asks a person

def test_a_repair_asks_and_can_be_tried_without_effect(stack, project, token):
    vote(stack, token, project)
    wait_applied(stack)
    by_hand(stack, ("update vote.projects set upvotes = 5 where project_id = %s", project))
    code, output, _ = admin(stack, "audit", "--repair", "--dry-run")
    assert code == 1 and f"would repair: {project}: counts are 1 up 0 down" in output and "nothing was changed" in output
    assert stack.counts(project) == (5, 0)
    code, text = on_a_terminal(stack, "y\n", "audit", "--repair")
    assert code == 0 and "Repair" in text and stack.counts(project) == (1, 0)
