# test_outage.py - vote-ingest while what it stands on is away, slow or dead. SPDX-License-Identifier: Apache-2.0
import json
import random
import signal
import statistics
import threading
import time

import pytest
import requests
from confluent_kafka import KafkaException

from stack import ROOT, free_port, wait_until
from topics import requests_log, results_of, wait_applied


@pytest.fixture
def own(stack):
    """A vote-ingest of the test's own: own(flags...) returns (tool, its url)."""
    started = []

    def start(*arguments):
        port = free_port()
        started.append(stack.ingest(port, *arguments).start())
        return started[-1], f"http://127.0.0.1:{port}"

    yield start
    for tool in started:
        tool.stop()


def timed_vote(stack, token, project, vote_type="up", url=None, **body):
    began = time.monotonic()
    answer = stack.vote(token, project, vote_type, url=url, **body)
    return answer, time.monotonic() - began


# Redis

def test_redis_stopped_votes_are_taken_and_the_state_is_right_afterwards(stack, project, own):
    _, url = own()
    tokens = [stack.token(f"r{n}-{project}") for n in range(6)]
    stack.vote(tokens[0], project, "up", url=url)
    stack.server("stop", "redis")
    try:
        answers = [stack.vote(token, project, "up", url=url) for token in tokens[1:5]]
        assert [a.status_code for a in answers] == [202] * 4
        wait_applied(stack)
        assert stack.counts(project) == (5, 0)
    finally:
        stack.server("start", "redis")

    def right():
        assert stack.vote(tokens[5], project, "up", toggle=False, url=url).status_code == 202
        wait_applied(stack)
        return stack.counts(project) == (6, 0) and stack.shown(project) == (6, 0, 0)
    wait_until(right, 20, "redis shows what postgres has")


def test_G2_without_redis_a_toggle_with_a_key_waits_since_it_might_be_a_retry(stack, project, own, token):
    _, url = own()
    first = keyed(stack, token, project, "k", url)
    stack.wait_committed(token, first.json()["data"]["request_id"])
    stack.server("stop", "redis")
    try:
        retry = keyed(stack, token, project, "k", url)
        assert (retry.status_code, retry.headers["Retry-After"]) == (503, "1")
        assert keyed(stack, token, project, "set", url, toggle=False).status_code == 202  # twice is the same as once
        wait_applied(stack)
        assert stack.counts(project) == (0, 1)
    finally:
        stack.server("start", "redis")


def test_redis_that_does_not_answer_is_waited_for_no_longer_than_its_timeout(stack, project, own):
    tool, url = own("--redis-timeout", "50ms")
    token = stack.token("slow-" + project)
    quiet = statistics.median(timed_vote(stack, token, project, url=url)[1] for _ in range(20))
    stack.signal_server("redis", "STOP")
    try:
        votes = [timed_vote(stack, token, project, toggle=False, url=url) for _ in range(40)]
        assert {answer.status_code for answer, _ in votes} == {202}
        # At most one wait a vote; as it knows that Redis is away, most have none at all. (The slowest two may have
        # been held up by the machine.)
        assert sorted(seconds for _, seconds in votes)[-3] < 0.05 + 10 * quiet + 0.25
        assert statistics.median(seconds for _, seconds in votes) < quiet + 0.04
    finally:
        stack.signal_server("redis", "CONT")
    wait_applied(stack)
    wait_until(lambda: tool.is_ready() and "vote_without_redis_total" in tool.metrics(), 10)

    def right():
        answer = stack.vote(token, project, "up", toggle=False, url=url)
        return answer.status_code == 202 and stack.counts(project) == (1, 0) and answer.json()["data"]["upvotes"] == 1
    wait_until(right, 20, "the state is right again")


def run_script(stack, name, keys, *arguments):
    with open(f"{ROOT}/lib/vote/lua/{name}.lua") as file:
        return stack.redis().eval(file.read(), len(keys), *keys, *arguments)


def test_G7_a_project_whose_voters_were_lost_on_their_way_into_redis_is_read_again(stack, project):
    state, loading = f"vote:state:{{{project}}}", f"vote:loading:{{{project}}}:r1"
    keys = [state, *(f"vote:{kind}:{{{project}}}" for kind in ("pending", "settled", "voters")), loading]
    assert run_script(stack, "voters", [state, loading], "1", "u1", "1", "u2", "-1") == 0
    stack.redis().delete(loading)  # as FLUSHALL does
    assert run_script(stack, "load", keys, 1, 1, 2, 17, 2) == 0 and not stack.redis().exists(state)
    assert run_script(stack, "voters", [state, loading], "1", "u1", "1", "u2", "-1") == 0
    assert run_script(stack, "load", keys, 1, 1, 2, 17, 2) == 1
    assert stack.redis().hgetall(keys[3]) == {"u1": "1", "u2": "-1"} and stack.redis().ttl(keys[3]) == -1
    stack.redis().delete(*keys)  # Postgres has no such votes: an audit would name it


@pytest.mark.parametrize("seed", range(20))
def test_G7_clicks_that_fail_leave_nothing_in_whatever_order_they_are_taken_back(stack, project, seed):
    """Against what those clicks alone make that do not fail: each user's last one of them stands."""
    dice, redis = random.Random(seed), stack.redis()
    state, pending, settled, voters, loading = keys = [f"vote:{kind}:{{{project}}}" for kind in (
        "state", "pending", "settled", "voters", "loading")]
    assert run_script(stack, "voters", [state, loading], "1", "a", "1", "b", "-1") == 0
    assert run_script(stack, "load", keys[:4] + [loading], 1, 1, 2, 17, 2) == 1
    stands, clicks = {"a": 1, "b": -1, "c": 0}, []
    for number in range(12):
        user = dice.choice("abc")
        taken = run_script(stack, "vote", [state, voters, pending], user, dice.choice((1, -1, 0)), dice.choice((0, 1)), f"r{number}")
        clicks.append((user, f"r{number}", int(taken[3])))
    failed = dice.sample(clicks, dice.choice((3, 6, 12)))
    for user, request, _ in failed:
        run_script(stack, "undo", [state, voters, pending], request)
    for user, _, value in [click for click in clicks if click not in failed]:
        stands[user] = value
    shown = {name: int(redis.hget(voters, name) or 0) for name in stands}
    counts = [int(value) for value in redis.hmget(state, "upvotes", "downvotes", "pending")]
    redis.delete(*keys)
    assert shown == stands
    assert counts == [list(stands.values()).count(1), list(stands.values()).count(-1), len(clicks) - len(failed)]


def test_G7_a_lost_click_behind_a_superseded_one_leaves_what_stands(stack, project):
    """Which is not what the superseded one had made."""
    state, pending, settled, voters, loading = keys = [f"vote:{kind}:{{{project}}}" for kind in (
        "state", "pending", "settled", "voters", "loading")]
    assert run_script(stack, "voters", [state, loading], "1", "a", "-1") == 0
    assert run_script(stack, "load", keys[:4] + [loading], 0, 1, 5, 17, 1) == 1
    run_script(stack, "vote", [state, voters, pending], "a", 1, 0, "r1")
    run_script(stack, "vote", [state, voters, pending], "a", 0, 0, "r2")
    run_script(stack, "settle", [state, voters, pending, settled], 0, 1, 5, "r1", "a", -1)
    between = stack.redis().hmget(state, "upvotes", "downvotes", "pending")
    run_script(stack, "undo", [state, voters, pending], "r2")
    after = stack.redis().hmget(state, "upvotes", "downvotes", "pending")
    stands, left = stack.redis().hget(voters, "a"), stack.redis().exists(pending)
    stack.redis().delete(*keys)
    assert (between, after, stands, left) == (["0", "0", "1"], ["0", "1", "0"], "-1", 0)


# Postgres (G9)

PATIENT = ("--kafka-timeout", "20s", "--redis-timeout", "20s")  # with what is not away: a slow machine is no outage


def toggles(stack, project, url, count=60):
    """The median seconds of these clicks, and what each was told that the vote is now."""
    token = stack.token("g9-" + project)
    answers, seconds = zip(*(timed_vote(stack, token, project, url=url) for _ in range(count)))
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers if answer.status_code != 202]
    return statistics.median(seconds), [answer.json()["data"]["user_vote"] for answer in answers]


def assert_last_click_counts(stack, project, told):
    """Beside the first user's upvote; what they were all told says why, if not."""
    wait_applied(stack)
    assert stack.counts(project) == (1 + (told[-1] == "up"), 0), told


def test_G9_postgres_stopped_votes_are_taken_as_fast_as_before(stack, project, own):
    _, url = own(*PATIENT)
    stack.vote(stack.token("g9-first"), project, "up", url=url)
    before, _ = toggles(stack, project, url)
    stack.server("stop", "postgres")
    try:
        during, told = toggles(stack, project, url)
    finally:
        stack.server("start", "postgres")
    assert during < 3 * before + 0.01
    assert_last_click_counts(stack, project, told)


def test_G9_a_locked_project_row_does_not_hold_up_a_click(stack, project, own):
    _, url = own(*PATIENT)
    stack.vote(stack.token("g9-first"), project, "up", url=url)
    before, _ = toggles(stack, project, url)
    lock = stack.connect()
    lock.cursor().execute("select * from vote.projects where project_id = %s for update", (project,))
    during, told = toggles(stack, project, url)
    lock.rollback()
    lock.close()
    assert during < 3 * before + 0.01
    assert_last_click_counts(stack, project, told)


def test_G9_postgres_that_hangs_does_not_hold_up_a_click(stack, project, own):
    _, url = own(*PATIENT)
    stack.vote(stack.token("g9-first"), project, "up", url=url)
    before, _ = toggles(stack, project, url)
    pids = [row[0] for row in stack.sql("select pid from pg_stat_activity where backend_type = 'client backend'")]
    stopped = [pid for pid in pids if stop_process(pid)]
    try:
        during, told = toggles(stack, project, url)
    finally:
        for pid in stopped:
            continue_process(pid)
    assert during < 3 * before + 0.01
    assert_last_click_counts(stack, project, told)


def stop_process(pid):
    import os
    try:
        os.kill(pid, signal.SIGSTOP)
        return True
    except OSError:
        return False


def continue_process(pid):
    import os
    try:
        os.kill(pid, signal.SIGCONT)
    except OSError:
        pass


# Kafka

@pytest.fixture
def kafka_away(stack):
    """kafka_away() stops Kafka; it is back when kafka_away.back() is called, or at the end."""
    class Away:
        stopped = False

        def __call__(self):
            stack.server("stop", "kafka")
            self.stopped = True

        def back(self):
            if self.stopped:
                stack.server("start", "kafka")
            self.stopped = False

    away = Away()
    yield away
    away.back()


def breaker(tool):
    return tool.metric("vote_kafka_breaker_state")


def test_G1_kafka_stopped_votes_are_applied_at_once_and_relayed_afterwards(stack, project, own, kafka_away):
    tool, url = own("--kafka-timeout", "2s")
    tokens = [stack.token(f"s{n}-{project}") for n in range(12)]
    stack.vote(tokens[0], project, "up", url=url)
    stack.wait_committed(tokens[0], stack.vote(tokens[0], project, "down", url=url).json()["data"]["request_id"])
    kafka_away()
    first, seconds = timed_vote(stack, tokens[1], project, url=url)
    assert first.status_code == 202 and seconds < 3.5
    wait_until(lambda: breaker(tool) == 1, 5, "the breaker opens")
    answers = [first]
    for token in tokens[2:]:
        answer, seconds = timed_vote(stack, token, project, url=url)
        assert answer.status_code == 202 and seconds < 0.5
        answers.append(answer)
    answers.append(stack.vote(tokens[0], project, "up", toggle=False, url=url))  # order by seq holds across the switch
    assert stack.counts(project) == (12, 0)
    request_ids = [a.json()["data"]["request_id"] for a in answers]
    assert {stack.get(tokens[1], "/api/votes/status/" + request_ids[0]).json()["data"]["state"]} == {"committed"}
    waiting = [json.loads(row[0])["request_id"] for row in stack.sql("select value from vote.outbox where key = %s order by id", project)]
    assert waiting == request_ids
    kafka_away.back()
    wait_until(lambda: stack.sql("select count(*) from vote.outbox")[0][0] == 0, 60, "the relay")
    wait_applied(stack)
    log = [json.loads(value)["request_id"] for key, value, _ in requests_log(stack) if key.decode() == project]
    relayed = [request for request in log if request in request_ids[1:]]  # the first one may have reached Kafka by itself
    assert relayed == request_ids[1:]
    wait_until(lambda: len(results_of(stack, request_ids)) == len(request_ids), 30, "every result")
    assert {len(types) for request, types in results_of(stack, request_ids[1:]).items()} == {1}
    assert stack.counts(project) == (12, 0)
    wait_until(lambda: stack.vote(tokens[1], project, "up", toggle=False, url=url).status_code == 202 and breaker(tool) == 0, 20, "the breaker closes")
    wait_until(lambda: stack.shown(project) == (12, 0, 0), 20, "redis settles")
    assert stack.run("vote-admin", "audit").returncode == 0


def test_kafka_and_postgres_stopped_is_503_and_nothing_is_counted_later(stack, project, own, kafka_away):
    tool, url = own("--kafka-timeout", "1s")
    token, other = stack.token("both-" + project), stack.token("warm-" + project)
    stack.wait_committed(other, stack.vote(other, project, "up", url=url).json()["data"]["request_id"])
    kafka_away()
    stack.server("stop", "postgres")
    try:
        answers = [stack.vote(token, project, "down", url=url) for _ in range(3)]
        assert {a.status_code for a in answers} == {503} and int(answers[0].headers["Retry-After"]) >= 1
        assert answers[0].json()["type"].endswith("temporary-reduced-capacity")
        assert stack.shown(project)[:2] == (1, 0)
        assert stack.redis().hget("vote:voters:{%s}" % project, "both-" + project) in (None, "0")
    finally:
        stack.server("start", "postgres")
        kafka_away.back()
    wait_until(tool.is_ready, 30)
    again = wait_until(lambda: [a for a in [stack.vote(other, project, "up", toggle=False, url=url)] if a.status_code == 202], 30)[0]
    stack.wait_committed(other, again.json()["data"]["request_id"])
    wait_applied(stack)
    assert stack.counts(project) == (1, 0)
    assert stack.sql("select count(*) from vote.log where user_id = %s", "both-" + project) == [(0,)]


def is_quiet(stack):
    """All that is in the log is applied; False as long as Kafka does not say."""
    try:
        wait_applied(stack, 1)
    except (AssertionError, KafkaException):
        return False
    return True


def keyed(stack, token, project, key, url, **body):
    return requests.post(url + "/api/votes", timeout=30, json={"project_id": project, "vote_type": "down", **body},
                         headers={"Authorization": "Bearer " + token, "Idempotency-Key": key})


def test_G2_a_vote_that_kafka_may_have_is_not_refused_and_its_retry_goes_on_with_it(stack, project, own, user, token):
    _, url = own("--kafka-timeout", "1s")
    other = stack.token("warm-" + project)
    stack.wait_committed(other, stack.vote(other, project, "up", url=url).json()["data"]["request_id"])
    stack.signal_server("kafka", "STOP")
    stack.server("stop", "postgres")
    try:
        answers = [keyed(stack, token, project, "maybe", url) for _ in range(2)]
        assert [a.status_code for a in answers] == [503, 503]
        assert {a.json()["type"].rsplit("/", 1)[1] for a in answers} == {"outcome-unknown"}
        assert len({a.headers["Location"] for a in answers}) == 1
        assert stack.shown(project)[:2] == (1, 1)
    finally:
        stack.server("start", "postgres")
        stack.signal_server("kafka", "CONT")
    taken = wait_until(lambda: [a for a in [keyed(stack, token, project, "maybe", url)] if a.status_code == 202], 30, "the retry is taken")[0]
    request_id = taken.json()["data"]["request_id"]
    assert answers[0].headers["Location"].endswith(request_id)
    stack.wait_committed(token, request_id)
    wait_until(lambda: stack.sql("select count(*) from vote.outbox") == [(0,)], 30, "the relay")
    wait_until(lambda: is_quiet(stack), 60, "all is applied")
    assert stack.sql("select request_id::text from vote.log where user_id = %s", user) == [(request_id,)]
    events = {value for key, value, _ in requests_log(stack) if key.decode() == project and json.loads(value)["user_id"] == user}
    assert len(events) == 1 and stack.counts(project) == (1, 1)


def test_G10_what_a_trigger_says_of_a_vote_while_kafka_is_away_is_in_no_log(stack, project, own, kafka_away, user, token):
    tool, url = own("--kafka-timeout", "1s")
    stack.wait_committed(token, stack.vote(token, project, "up", url=url).json()["data"]["request_id"])
    stack.sql("create function vote.raise_for() returns trigger language plpgsql as $$ begin "
              "raise exception using message = 'user ' || new.user_id || ' votes ' || new.value; end $$")
    stack.sql("create trigger raise_for before insert or update on vote.votes for each row execute function vote.raise_for()")
    try:
        kafka_away()
        assert stack.vote(token, project, "down", url=url).status_code == 503
        log = open(tool.log).read()
        assert "refused by PL/pgSQL function vote.raise_for()" in log and "SQLSTATE P0001" in log
        assert user not in log
    finally:
        stack.sql("drop function vote.raise_for cascade")
    assert stack.counts(project) == (1, 0)


# Ghosts

def owns_partitions(tool):
    """Its group may have taken them while Kafka was away: it joins again then."""
    log = open(tool.log).read()
    return log.count('"partition assigned"') > log.count('"partition revoked"')


def test_G7_what_a_killed_ingest_left_of_a_click_without_its_step_goes_too(stack, project, own, kafka_away, user, token):
    """Redis is away when the step is to be taken, and back when the click is recorded there."""
    tool, url = own("--kafka-timeout", "60s", "--database-timeout", "60s")
    stack.wait_committed(token, stack.vote(token, project, "up", url=url).json()["data"]["request_id"])
    stack.main_commit.stop()
    sweeper = stack.commit("-X", "session.timeout.ms=6000", "--optimism-grace", "10s")
    recent = "vote:recent:{%s}" % user
    failed = threading.Thread(target=lambda: pytest.raises(requests.RequestException, stack.vote, token, project, "down", url=url))
    holder = stack.connect()
    try:
        holder.cursor().execute("lock table vote.projects in access exclusive mode")
        stack.server("stop", "redis")
        failed.start()
        wait_until(lambda: tool.metric("vote_without_redis_total") == 1, 10, "the click goes on without Redis")
        stack.server("start", "redis")
        wait_until(lambda: tool.metric('dependency_up{dependency="redis"}') == 1, 10, "Redis is back")
        kafka_away()
        holder.rollback()
        wait_until(lambda: stack.redis().hget(recent, project), 20, "the user's own view")
        tool.kill()
        failed.join()
        kafka_away.back()
        sweeper.start()
        wait_until(lambda: not stack.redis().exists(recent), 60, "the click is gone from the user's own view")
        wait_until(lambda: stack.redis().sismember(f"user:{user}:upvotes", project), 10, "the vote before stands")
        assert stack.counts(project) == (1, 0)
    finally:
        holder.close()
        stack.server("start", "redis")
        kafka_away.back()
        sweeper.stop()
        stack.main_commit.start()


def test_G7_a_ghost_of_a_killed_ingest_is_gone_within_the_grace(stack, project, own, kafka_away, user, token):
    tool, url = own("--kafka-timeout", "60s")
    grace = 24
    stack.wait_committed(token, stack.vote(token, project, "up", url=url).json()["data"]["request_id"])
    stack.main_commit.stop()
    sweeper = stack.commit("-X", "session.timeout.ms=6000", "--optimism-grace", f"{grace}s").start()
    try:
        kafka_away()
        failed = threading.Thread(target=lambda: pytest.raises(requests.RequestException, stack.vote, token, project, "down", url=url))
        failed.start()
        wait_until(lambda: stack.shown(project)[:2] == (0, 1), 5, "the ghost")
        born = time.monotonic()
        ghost = next(name[2:] for name in stack.redis().hkeys("vote:pending:{%s}" % project) if name.startswith("r:"))
        tool.kill()
        failed.join()
        kafka_away.back()
        wait_until(lambda: sweeper.is_ready() and owns_partitions(sweeper), 30, "the log can be read again")
        ready = time.monotonic()  # a busy machine may take most of the grace for that
        wait_until(lambda: stack.shown(project) == (1, 0, 0), 2 * grace, "the ghost is gone")
        assert time.monotonic() - born < grace or time.monotonic() - ready < grace / 3
        assert stack.status(token, ghost)["state"] == "failed"
        assert wait_until(lambda: results_of(stack, [ghost]), 10) == {ghost: ["vote.failed.v1"]}
        assert stack.redis().hget("vote:voters:{%s}" % project, user) == "1"
        own_votes = stack.get(token, "/api/votes/user")
        assert own_votes.status_code == 200, own_votes.text
        assert own_votes.json()["data"]["votes"][0]["vote_type"] == "up"
    finally:
        sweeper.stop()
