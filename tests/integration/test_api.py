# test_api.py - the endpoints of vote-ingest as the contract has them. SPDX-License-Identifier: Apache-2.0
import json
import re
import signal
import threading
import time
import uuid

import jwt
import pytest
import requests

from stack import ROOT, SECRET, free_port, wait_until
from topics import produce

OPENAPI = json.load(open(ROOT + "/pipelines/openapi.json"))


def get(stack, token, path, url=None, **headers):
    return requests.get((url or stack.url) + path, timeout=30, headers={"Authorization": "Bearer " + token, **headers})


@pytest.fixture
def own(stack):
    """Starts a vote-ingest of the test's own: own(flags...) returns (tool, its url)."""
    started = []

    def start(*arguments, **environment):
        port = free_port()
        tool = stack.ingest(port, *arguments)
        tool.environment = environment
        started.append(tool.start())
        return tool, f"http://127.0.0.1:{port}"

    yield start
    for tool in started:
        tool.stop()


# The OpenAPI document

def test_openapi_is_served_as_it_is_in_the_tree(stack):
    answer = requests.get(stack.url + "/openapi.json", timeout=10)
    assert answer.status_code == 200 and answer.json() == OPENAPI


def test_openapi_has_every_route_and_every_route_is_there(stack, token):
    table = open(ROOT + "/cmd/vote-ingest/ingest.c").read()
    routes = {(method.lower(), path) for method, path in re.findall(r'\{"([A-Z]+)", "(/[^"]*)", api_', table)}
    documented = {(method, re.sub(r"\{[a-z_]+\}", "{}", path)) for path, item in OPENAPI["paths"].items() for method in item}
    assert routes == documented


def test_answers_have_the_members_that_openapi_requires(stack, project, token):
    posted = stack.vote(token, project, "up")
    stack.wait_committed(token, posted.json()["data"]["request_id"])
    answers = {"VoteAnswer": posted, "StatusAnswer": get(stack, token, posted.headers["Location"]),
               "Metrics": get(stack, token, "/api/votes/metrics"), "UserVotesAnswer": get(stack, token, "/api/votes/user"),
               "ProjectAnswer": get(stack, token, "/api/projects/" + project),
               "LeaderboardAnswer": get(stack, token, "/api/leaderboard"), "Problem": get(stack, token, "/api/nothing")}

    def check(schema, value, where):
        if "properties" in schema:
            assert set(schema["required"]) <= set(value) <= set(schema["properties"]), where
            for name in value:
                check(schema["properties"][name], value[name], where + "." + name)
        if schema.get("type") == "array":
            for one in value:
                check(schema["items"], one, where + "[]")
        if "enum" in schema:
            assert value in schema["enum"], where

    for name, answer in answers.items():
        check(OPENAPI["components"]["schemas"][name], answer.json(), name)


# GET /api/votes/user, /api/projects, /api/leaderboard, /api/votes/metrics

def test_my_own_vote_is_there_before_its_commit(stack, project, token):
    stack.main_commit.kill()
    stack.vote(token, project, "down")
    votes = get(stack, token, "/api/votes/user").json()["data"]["votes"]
    assert [(v["project_id"], v["vote_type"]) for v in votes] == [(project, "down")]


def test_a_vote_taken_back_is_gone_before_its_commit(stack, project, token):
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.main_commit.kill()
    stack.vote(token, project, "up")
    assert get(stack, token, "/api/votes/user").json()["data"]["votes"] == []


def test_a_vote_is_shown_once_while_it_is_committed(stack, token):
    projects = [f"once-{uuid.uuid4().hex[:8]}-{n}" for n in range(20)]
    stack.add_projects(*projects)
    for turn in range(20):  # the commit has to fall between two questions to Postgres: about one read in a hundred
        for name in projects:
            last = stack.vote(token, name, ("up", "down")[turn % 2]).json()["data"]["request_id"]
            shown = [v["project_id"] for v in get(stack, token, "/api/votes/user?limit=1000").json()["data"]["votes"]]
            assert len(shown) == len(set(shown)), f"twice in turn {turn}: {name}"
    stack.wait_committed(token, last)


def pages(stack, token, query, turn_page=lambda: None):
    """The project ids of each page."""
    cursor, found = "", []
    while cursor is not None:
        data = get(stack, token, f"/api/votes/user?{query}{'&cursor=' + cursor if cursor else ''}").json()["data"]
        found.append([v["project_id"] for v in data["votes"]])
        cursor = data["next_cursor"]
        turn_page()
    return found


def test_user_votes_come_newest_first_page_by_page(stack, token):
    projects = [f"page-{uuid.uuid4().hex[:8]}-{n}" for n in range(5)]
    stack.add_projects(*projects)
    for name in projects:
        last = stack.vote(token, name, "up").json()["data"]["request_id"]
        stack.wait_committed(token, last)
    found = pages(stack, token, "limit=2")
    assert sum(found, []) == projects[::-1] and list(map(len, found)) == [2, 2, 1]


@pytest.mark.parametrize("committed_between", (False, True))
def test_user_votes_keep_their_pages_and_places_while_they_are_committed(stack, token, committed_between):
    """Whether they are ahead of their commit, in one batch, or committed between two pages; project ids in no order."""
    projects = [f"{prefix}-{uuid.uuid4().hex[:8]}" for prefix in "dbeacgf"]
    stack.add_projects(*projects)
    stack.wait_committed(token, stack.vote(token, projects[0], "up").json()["data"]["request_id"])
    stack.main_commit.signal(signal.SIGSTOP)
    requests = [stack.vote(token, name, "up").json()["data"]["request_id"] for name in projects[1:] + projects[2:4]]
    newest_first = [name for name in projects[::-1] if name not in projects[2:4]]  # these were taken back

    def commit():
        stack.main_commit.signal(signal.SIGCONT)
        for request_id in requests:
            stack.wait_committed(token, request_id)

    try:
        found = pages(stack, token, "limit=2", commit if committed_between else lambda: None)
    finally:
        commit()
    assert list(map(len, found)) == [2, 2, 1] and sum(found, []) == newest_first
    assert sum(pages(stack, token, "limit=2"), []) == newest_first


def test_a_limit_holds_for_the_projects_on_a_page_too(stack, token):
    projects = [f"few-{uuid.uuid4().hex[:8]}-{n}" for n in range(3)]
    stack.add_projects(*projects)
    for name in projects:
        stack.vote(token, name, "up")
    assert pages(stack, token, f"project_ids={projects[0]},{projects[2]}&limit=1") == [[projects[2]], [projects[0]]]


def test_user_votes_of_the_projects_on_a_page(stack, token):
    projects = [f"some-{uuid.uuid4().hex[:8]}-{n}" for n in range(3)]
    stack.add_projects(*projects)
    for name in projects:
        stack.vote(token, name, "up")
    votes = get(stack, token, f"/api/votes/user?project_ids={projects[0]},{projects[2]},nothing").json()["data"]["votes"]
    assert {v["project_id"] for v in votes} == {projects[0], projects[2]}


@pytest.mark.parametrize("query, field", [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"),
                                          ("limit=" + "9" * 30, "limit"), ("limit=", "limit"),
                                          ("cursor=x", "cursor"), ("cursor=99999999999999999999:p1", "cursor"), ("cursor=:p1", "cursor"),
                                          ("project_ids=a%20b", "project_ids"), ("project_ids=", "project_ids"),
                                          ("limit=0&cursor=x&project_ids=", "limit cursor project_ids")])
def test_a_bad_query_names_its_fields(stack, token, query, field):
    answer = get(stack, token, "/api/votes/user?" + query)
    assert answer.status_code == 400 and [error["field"] for error in answer.json()["errors"]] == field.split()


@pytest.mark.parametrize("query", ("next_cursor=abc", "my_project_ids=%20", "unlimit=0", "cursor=9223372036854775807:p1", "cursor=-9223372036854775808:p1"))
def test_other_names_and_any_place_are_no_mistake(stack, token, query):
    assert get(stack, token, "/api/votes/user?" + query).status_code == 200


def test_a_limit_beyond_all_numbers_is_none_of_the_leaderboard(stack, token):
    answer = get(stack, token, "/api/leaderboard?limit=" + "9" * 30)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "limit"


def test_an_unchanged_project_is_304(stack, project, token):
    first = get(stack, token, "/api/projects/" + project)
    same = get(stack, token, "/api/projects/" + project, **{"If-None-Match": first.headers["ETag"]})
    assert get(stack, token, "/api/projects/" + project, **{"If-None-Match": "*"}).status_code == 304
    assert first.headers["Surrogate-Key"] == "project-" + project
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])


def test_the_leaderboard_is_sorted_cached_and_marked(stack, token):
    stack.redis().delete("cache:leaderboard:7")
    answer = get(stack, token, "/api/leaderboard?limit=7")
    scores = [p["community_score"] for p in answer.json()["data"]["projects"]]
    assert scores == sorted(scores, reverse=True) and answer.headers["Surrogate-Key"] == "leaderboard"
    assert stack.redis().get("cache:leaderboard:7") == answer.text and stack.redis().pttl("cache:leaderboard:7") > 0


def test_a_leaderboard_miss_reads_postgres_once_however_many_ask(stack, token):
    stack.redis().delete("cache:leaderboard:9")
    lock = stack.connect()
    lock.cursor().execute("lock table vote.projects in access exclusive mode")  # the first reader waits here
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get(stack, token, "/api/leaderboard?limit=9").status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    waiting = "select count(*) from pg_stat_activity where query like '%%order by community_score%%' and wait_event_type = 'Lock'"
    wait_until(lambda: stack.sql(waiting)[0][0] == 1, 5, "the one reader")
    time.sleep(0.2)  # room for a second reader, if there were one
    readers = stack.sql(waiting)[0][0]
    lock.rollback()
    for thread in threads:
        thread.join()
    assert (readers, answers) == (1, [200] * 8)


def test_metrics_add_up_over_two_instances(stack, project, token, own):
    _, url = own()
    time.sleep(1.5)  # what was counted before is told by then
    before = get(stack, token, "/api/votes/metrics").json()
    for n in range(6):
        stack.vote(token, project, "up", url=url if n % 2 else None)
    after = wait_until(lambda: [m for m in [get(stack, token, "/api/votes/metrics").json()] if m["total_votes"] >= before["total_votes"] + 6])[0]
    assert after["total_votes"] == before["total_votes"] + 6
    assert 0 < after["p50_latency_ms"] <= after["p95_latency_ms"] <= after["p99_latency_ms"] and after["avg_latency_ms"] > 0


# Tokens

def pem(kind):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    key = rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


@pytest.mark.parametrize("algorithm", ("RS256", "ES256"))
def test_a_public_key_verifies_its_tokens_and_no_others(stack, project, own, tmp_path, algorithm):
    private, public = pem(algorithm)
    (tmp_path / "public.pem").write_bytes(public)
    _, url = own("--jwt-algorithm", algorithm, "--jwt-public-key-file", str(tmp_path / "public.pem"))
    good = jwt.encode({"sub": "u1", "exp": time.time() + 60}, private, algorithm=algorithm)
    other = jwt.encode({"sub": "u1", "exp": time.time() + 60}, pem(algorithm)[0], algorithm=algorithm)
    secret = jwt.encode({"sub": "u1", "exp": time.time() + 60}, SECRET, algorithm="HS256")
    assert [stack.vote(t, project, "up", url=url).status_code for t in (good, other, secret)] == [202, 401, 401]


def test_the_public_key_is_no_secret_to_sign_with(stack, project, own, tmp_path):
    import base64
    import hashlib
    import hmac
    public = pem("RS256")[1]
    (tmp_path / "public.pem").write_bytes(public)
    _, url = own("--jwt-algorithm", "RS256", "--jwt-public-key-file", str(tmp_path / "public.pem"))
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    for key in (public, public.rstrip(b"\n")):
        head = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(b'{"sub":"u1"}')
        token = head + b"." + encode(hmac.new(key, head, hashlib.sha256).digest())
        assert stack.vote(token.decode(), project, "up", url=url).status_code == 401


def test_issuer_and_audience_are_checked_where_configured(stack, project, own):
    _, url = own("--jwt-issuer", "https://id", "--jwt-audience", "votes")
    claims = [{"iss": "https://id", "aud": "votes"}, {"iss": "https://id", "aud": ["x", "votes"]}, {"iss": "https://id"},
              {"iss": "other", "aud": "votes"}, {"aud": "votes"}, {"iss": "https://id", "aud": ["x"]}]
    tokens = [jwt.encode({"sub": "u1", **c}, SECRET, algorithm="HS256") for c in claims]
    assert [stack.vote(t, project, "up", url=url).status_code for t in tokens] == [202, 202, 401, 401, 401, 401]


def test_a_remembered_token_ends_when_it_expires(stack, project):
    token = jwt.encode({"sub": "u1", "exp": int(time.time()) + 3}, SECRET, algorithm="HS256")
    assert stack.vote(token, project, "up").status_code == 202
    wait_until(lambda: stack.vote(token, project, "up").status_code == 401, 10, "expiry")


def test_a_service_without_its_key_does_not_start(stack):
    started = stack.run("vote-ingest", "--jwt-algorithm", "ES256")
    assert (started.returncode, "VOTE_JWT_PUBLIC_KEY is not set" in started.stderr) == (78, True)


# The rate limit

def test_the_limit_answers_429_and_says_when(stack, project, token, own):
    _, url = own("--rate-limit", "3/30s", "--rate-burst", "3")
    answers = [stack.vote(token, project, "up", url=url) for _ in range(4)]
    assert [a.status_code for a in answers] == [202, 202, 202, 429]
    assert [a.headers["RateLimit"].split(";")[1] for a in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert answers[0].headers["RateLimit-Policy"] == '"user";q=3;w=30'
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 10


def test_the_limit_holds_over_two_instances_and_is_each_users_own(stack, project, token, own):
    first, second = own("--rate-limit", "2/60s", "--rate-burst", "2")[1], own("--rate-limit", "2/60s", "--rate-burst", "2")[1]
    assert [stack.vote(token, project, "up", url=u).status_code for u in (first, second, first, second)] == [202, 202, 429, 429]
    assert stack.vote(stack.token("somebody-else"), project, "up", url=first).status_code == 202


def test_a_limited_vote_changes_nothing(stack, project, token, own):
    _, url = own("--rate-limit", "1/60s", "--rate-burst", "1")
    stack.vote(token, project, "up", url=url)
    assert stack.vote(token, project, "up", url=url).status_code == 429
    assert stack.redis().hget("vote:state:{%s}" % project, "upvotes") == "1"


def test_the_limit_lets_go_again(stack, project, token, own):
    _, url = own("--rate-limit", "4/2s", "--rate-burst", "1")
    assert [stack.vote(token, project, "up", url=url).status_code for _ in range(2)] == [202, 429]
    wait_until(lambda: stack.vote(token, project, "up", url=url).status_code == 202, 5, "the next vote")


@pytest.mark.parametrize("value", ("x", "3", "0/1s", "3/0s", "-1/1s"))
def test_a_bad_limit_stops_the_start(stack, value):
    assert stack.run("vote-ingest", "--rate-limit", value).returncode == 64


# Idempotency

def keyed(stack, token, project, key, vote_type="up", url=None, **body):
    return requests.post((url or stack.url) + "/api/votes", timeout=30, json={"project_id": project, "vote_type": vote_type, **body},
                         headers={"Authorization": "Bearer " + token, "Idempotency-Key": key})


def test_the_same_key_and_vote_get_the_first_answer_again(stack, project, token, own):
    _, url = own()
    first, again = keyed(stack, token, project, "k1"), keyed(stack, token, project, "k1", url=url)
    assert (first.status_code, again.status_code, again.text, again.headers["Location"]) == (202, 202, first.text, first.headers["Location"])
    assert "Idempotent-Replayed" not in first.headers and again.headers["Idempotent-Replayed"] == "true"
    assert stack.redis().hget("vote:state:{%s}" % project, "upvotes") == "1"


def test_a_replay_costs_nothing_of_the_limit(stack, project, token, own):
    _, url = own("--rate-limit", "2/60s", "--rate-burst", "2")
    answers = [keyed(stack, token, project, key, url=url) for key in ("k1", "k1", "k1", "k2", "k2", "k3")]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]
    assert ["RateLimit" in answer.headers for answer in answers] == [True, False, False, True, False, True]


def test_the_same_key_with_another_vote_is_422(stack, project, token):
    keyed(stack, token, project, "k1")
    assert keyed(stack, token, project, "k1", "down").status_code == 422
    assert keyed(stack, token, project, "k1", toggle=False).status_code == 422


def test_a_key_is_its_users_own(stack, project, token):
    keyed(stack, token, project, "k1")
    other = keyed(stack, stack.token("another-user"), project, "k1")
    assert other.status_code == 202 and "Idempotent-Replayed" not in other.headers


@pytest.mark.parametrize("key", ("k" * 256, ""))
def test_a_key_that_is_none_is_400(stack, project, token, key):
    answer = keyed(stack, token, project, key)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_key_in_flight_is_409_and_the_retry_gets_the_answer(stack, project, token):
    stack.vote(token, project, "none")
    answers = []
    stack.signal_server("kafka", "STOP")
    try:
        thread = threading.Thread(target=lambda: answers.append(keyed(stack, token, project, "slow")))
        thread.start()
        wait_until(lambda: stack.redis().exists("vote:idem:{%s}:slow" % stack.user_of(token)), 5, "the reservation")
        busy = keyed(stack, token, project, "slow")
    finally:
        stack.signal_server("kafka", "CONT")
    thread.join()
    assert busy.status_code == 409 and int(busy.headers["Retry-After"]) >= 1
    assert answers[0].status_code == 202 and keyed(stack, token, project, "slow").text == answers[0].text


def test_a_key_whose_first_attempt_was_killed_half_way_counts_once(stack, project, token, own, user):
    tool, url = own("--kafka-timeout", "1s", "--database-timeout", "500ms")
    _, patient = own("--redis-timeout", "5s")  # without Redis there is no key: on a busy machine it may be late
    keyed(stack, token, project, "warm", "none")
    stack.signal_server("kafka", "STOP")
    try:
        thread = threading.Thread(target=lambda: pytest.raises(requests.RequestException, keyed, stack, token, project, "dead", url=url))
        thread.start()
        wait_until(lambda: stack.redis().hget("vote:voters:{%s}" % project, user) == "1", 5, "the step in Redis")
        tool.kill()
        thread.join()
    finally:
        stack.signal_server("kafka", "CONT")
    answer = wait_until(lambda: [a for a in [keyed(stack, token, project, "dead", url=patient)] if a.status_code not in (409, 503)], 20, "the lease's end")[0]
    data = answer.json()["data"]
    assert (answer.status_code, data["upvotes"], data["user_vote"]) == (202, 1, "up")
    assert stack.wait_committed(token, data["request_id"])["state"] == "committed"
    assert stack.counts(project) == (1, 0)


# CORS

def test_pages_of_configured_origins_may_call(stack, own):
    _, url = own("--cors-origins", "https://a.example,https://b.example")
    asked = requests.options(url + "/api/votes", headers={"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}, timeout=10)
    assert asked.status_code == 204 and asked.headers["Access-Control-Allow-Origin"] == "https://b.example"
    allowed = asked.headers["Access-Control-Allow-Headers"]
    assert "Idempotency-Key" in allowed and "If-None-Match" in allowed
    other = requests.get(url + "/openapi.json", headers={"Origin": "https://evil.example"}, timeout=10)
    assert "Access-Control-Allow-Origin" not in other.headers and other.headers["Vary"] == "Origin"


def both_statuses(stack, token, request_id):
    """As Redis has it and, when it has forgotten it, as the ledger has."""
    first = stack.status(token, request_id)
    stack.redis().delete("vote:request:" + request_id)
    return first, stack.status(token, request_id)


def test_the_ledger_tells_a_status_as_redis_did(stack, project, token):
    answers = [stack.vote(token, project, "up").json()["data"]["request_id"] for _ in range(3)]
    late = {"request_id": str(uuid.uuid4()), "user_id": stack.user_of(token), "project_id": project, "vote_type": "down", "previous": "none",
            "action": "created", "seq": 17, "accepted_at": "2026-01-01T00:00:00.000Z"}
    stack.wait_committed(token, answers[-1])
    produce(stack, [(project.encode(), json.dumps(late).encode(), [])])
    wait_until(lambda: stack.redis().hget("vote:request:" + late["request_id"], "state") == "superseded", 20, "it is too late")
    for request_id in (*answers, late["request_id"]):
        first, second = both_statuses(stack, token, request_id)
        assert first == second and first["error"] is None and first["commit_latency_ms"] >= 0


def test_a_status_that_redis_was_not_told_of_comes_from_the_ledger(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, request_id)
    stack.redis().hset("vote:request:" + request_id, "state", "pending")
    wait_until(lambda: stack.status(token, request_id)["state"] == "committed", 10, "what Postgres has")
    assert stack.status(token, request_id)["version"] == 1
    stranger = get(stack, stack.token("stranger"), "/api/votes/status/" + request_id)
    assert stranger.status_code == 404
