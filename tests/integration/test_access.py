# test_access.py - who may do what: nobody, a user, another user and an admin, at each endpoint and with each event.
#
# An admin is a token whose scope holds `vote:admin`. It reads anybody's request at GET /api/votes/status, and nothing else
# more than others. SPDX-License-Identifier: Apache-2.0
import base64
import hashlib
import hmac
import json
import re
import time
import uuid

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from stack import ROOT, SECRET, free_port, wait_until
from test_notify import browse, notifier  # noqa: F401

OPENAPI = json.load(open(ROOT + "/pipelines/openapi.json"))
TABLE = re.findall(r'^    \{"([A-Z]+)", "(/[^"]*)", \w+, \w+\},$', open(ROOT + "/cmd/vote-ingest/ingest.c").read(), re.M)
NOBODY, OWNER, OTHER, ADMIN = CALLERS = ("nobody", "owner", "other", "admin")

# What each caller gets; {} is a request of the owner's, or their project. The page is not installed and --dev-tokens is off.
MATRIX = {
    ("POST", "/api/votes"): (401, 202, 202, 202),
    ("GET", "/api/votes/status/{}"): (401, 200, 404, 200),
    ("GET", "/api/votes/metrics"): (401, 200, 200, 200),
    ("GET", "/api/votes/user"): (401, 200, 200, 200),
    ("GET", "/api/projects/{}"): (401, 200, 200, 200),
    ("GET", "/api/leaderboard"): (401, 200, 200, 200),
    ("GET", "/openapi.json"): (200, 200, 200, 200),
    ("GET", "/"): (404, 404, 404, 404),
    ("GET", "/assets/{}"): (404, 404, 404, 404),
    ("GET", "/demo/config"): (404, 404, 404, 404),
    ("POST", "/demo/token"): (404, 404, 404, 404),
}
PROTECTED = [route for route, statuses in MATRIX.items() if statuses[0] == 401]


@pytest.fixture(scope="module")
def scene(running):
    """A vote of the owner's, and a token of each caller."""
    class Scene:
        stack, project, vote_of = running, "p-" + uuid.uuid4().hex[:12], {}
        users = {name: f"{name}-{uuid.uuid4().hex[:8]}" for name in CALLERS[1:]}
    running.add_projects(Scene.project)
    Scene.tokens = {name: running.token(user) for name, user in Scene.users.items()}
    Scene.tokens[ADMIN] = running.token(Scene.users[ADMIN], "--scope", "vote:admin")
    Scene.request_id = running.vote(Scene.tokens[OWNER], Scene.project, "up").json()["data"]["request_id"]
    running.wait_committed(Scene.tokens[OWNER], Scene.request_id)
    return Scene


def call(scene, method, path, bearer, url=None):
    parameter = scene.request_id if "status" in path else scene.project
    headers = {"Authorization": "Bearer " + bearer} if bearer is not None else {}
    body = {"json": {"project_id": scene.project, "vote_type": "up", "toggle": False}} if method == "POST" else {}
    return requests.request(method, (url or scene.stack.url) + path.replace("{}", parameter), headers=headers, timeout=30, **body)


def test_the_matrix_has_each_route_of_the_table_and_of_openapi():
    documented = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in OPENAPI["paths"].items() for method in item}
    assert set(MATRIX) == set(TABLE) and documented <= set(MATRIX)


def test_openapi_says_which_routes_need_a_token():
    for path, item in OPENAPI["paths"].items():
        for method, operation in item.items():
            needs = operation.get("security", OPENAPI["security"]) != []
            assert needs == ((method.upper(), re.sub(r"\{\w+\}", "{}", path)) in PROTECTED)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", MATRIX, ids=" ".join)
def test_a_caller_gets(scene, route, caller):
    answer = call(scene, *route, scene.tokens.get(caller))
    assert answer.status_code == MATRIX[route][CALLERS.index(caller)]
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer") and answer.json()["status"] == 401


def test_nobody_is_told_whether_a_request_of_somebody_else_exists(scene):
    def told(request_id):
        answer = scene.stack.get(scene.tokens[OTHER], "/api/votes/status/" + request_id)
        return answer.status_code, {name: value for name, value in answer.json().items() if name != "request_id"}
    assert told(scene.request_id) == told("0193a8b2-4c1e-7f00-8000-000000000001")


@pytest.mark.parametrize("caller", (OTHER, ADMIN))
def test_a_list_of_votes_is_the_callers_own(scene, caller):
    project = "p-" + uuid.uuid4().hex[:12]
    scene.stack.add_projects(project)
    scene.stack.vote(scene.tokens[OWNER], project, "down")
    answer = scene.stack.get(scene.tokens[caller], "/api/votes/user?limit=1000&project_ids=" + project)
    assert answer.json()["data"]["votes"] == []
    mine = scene.stack.get(scene.tokens[OWNER], "/api/votes/user?project_ids=" + project).json()["data"]["votes"]
    assert [vote["vote_type"] for vote in mine] == ["down"]


@pytest.mark.parametrize("caller", (OTHER, ADMIN))
def test_a_user_in_the_body_or_query_changes_nothing(scene, caller):
    project = "p-" + uuid.uuid4().hex[:12]
    scene.stack.add_projects(project)
    owner = scene.users[OWNER]
    scene.stack.vote(scene.tokens[caller], project, "up", user_id=owner, sub=owner)
    votes = scene.stack.get(scene.tokens[OWNER], "/api/votes/user?project_ids=" + project).json()["data"]["votes"]
    assert votes == []
    asked = scene.stack.get(scene.tokens[caller], f"/api/votes/user?user_id={owner}&user={owner}&project_ids={project}")
    assert [vote["vote_type"] for vote in asked.json()["data"]["votes"]] == ["up"]


def test_an_idempotency_key_is_the_users_own(scene):
    def post(caller):
        return requests.post(scene.stack.url + "/api/votes", timeout=30, json={"project_id": scene.project, "vote_type": "up"},
                             headers={"Authorization": "Bearer " + scene.tokens[caller], "Idempotency-Key": key})
    key = uuid.uuid4().hex
    first, second = post(OWNER), post(OTHER)
    assert second.status_code == 202 and "Idempotent-Replayed" not in second.headers
    assert first.json()["data"]["request_id"] != second.json()["data"]["request_id"]


@pytest.mark.parametrize("scope, is_admin", [
    ("vote:admin", True), ("a vote:admin b", True), ("vote:administrator", False), ("xvote:admin", False), ("VOTE:ADMIN", False),
    (["vote:admin"], False), ("", False)], ids=str)
def test_only_the_whole_word_makes_an_admin(scene, scope, is_admin):
    bearer = signed({"sub": "somebody", "scope": scope})
    assert call(scene, "GET", "/api/votes/status/{}", bearer).status_code == (200 if is_admin else 404)


# Tokens that are none

def signed(claims=None, key=SECRET, algorithm="HS256", **headers):
    return jwt.encode({"sub": "u1", "exp": int(time.time()) + 600, **(claims or {})}, key, algorithm=algorithm, headers=headers or None)


def part(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def hand_made(header, claims, key=None):
    text = part(header) + "." + part({"exp": int(time.time()) + 600, **claims})
    return text + "." + (part(hmac.new(key, text.encode(), hashlib.sha256).digest()) if key else "")


def pem(private):
    own = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return own.decode(), private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


GOOD = signed().split(".")
HOUR = int(time.time()) + 3600
BAD_TOKENS = {
    "empty": "",
    "no token at all": "x",
    "alg none": jwt.encode({"sub": "u1", "exp": HOUR}, None, algorithm="none"),
    "alg None": hand_made({"alg": "None"}, {"sub": "u1"}),
    "alg none with a signature": hand_made({"alg": "none"}, {"sub": "u1"}, SECRET.encode()),
    "no alg": hand_made({"typ": "JWT"}, {"sub": "u1"}, SECRET.encode()),
    "another HMAC": signed(algorithm="HS512"),
    "another secret": signed(key="another secret that is long enough, too"),
    "an empty secret": hand_made({"alg": "HS256"}, {"sub": "u1"}, b""),
    "signature cut off": ".".join(GOOD[:2]) + ".",
    "signature of another": ".".join(GOOD[:2]) + "." + signed({"sub": "u2"}).split(".")[2],
    "claims of another": ".".join([GOOD[0], signed({"sub": "u2"}).split(".")[1], GOOD[2]]),
    "expired": signed({"exp": int(time.time()) - 1}),
    "expired long ago": signed({"exp": 0}),
    "not yet valid": signed({"nbf": HOUR}),
    "exp is no number": hand_made({"alg": "HS256"}, {"sub": "u1", "exp": "tomorrow"}, SECRET.encode()),
    "no sub": jwt.encode({"exp": HOUR}, SECRET, algorithm="HS256"),
    "sub is no text": hand_made({"alg": "HS256"}, {"sub": 1}, SECRET.encode()),
    "sub is no id": signed({"sub": "u1 or 1=1"}),
    "sub of 65": signed({"sub": "u" * 65}),
    "a key in the header": signed({}, "mine " * 8, jwk={"kty": "oct", "k": part(b"mine " * 8)}, kid="../../dev/null"),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_none_opens_no_route(scene, name):
    for route in PROTECTED:
        assert call(scene, *route, BAD_TOKENS[name]).status_code == 401, route


@pytest.fixture(scope="module")
def instances(running, tmp_path_factory):
    """url by what a vote-ingest was told of tokens."""
    directory, started, urls = tmp_path_factory.mktemp("keys"), [], {}
    keys = {"RS256": pem(rsa.generate_private_key(65537, 2048)), "ES256": pem(ec.generate_private_key(ec.SECP256R1()))}
    settings = {"parties": ["--jwt-issuer", "me", "--jwt-audience", "votes"]}
    for algorithm, (_, public) in keys.items():
        (directory / algorithm).write_bytes(public)
        settings[algorithm] = ["--jwt-algorithm", algorithm, "--jwt-public-key-file", str(directory / algorithm)]
    for name, flags in settings.items():
        port = free_port()
        started.append(running.ingest(port, *flags).start())
        urls[name] = f"http://127.0.0.1:{port}"
    yield urls, keys
    for tool in started:
        tool.stop()


@pytest.mark.parametrize("claims, status", [
    ({"iss": "me", "aud": "votes"}, 200), ({"iss": "me", "aud": ["other", "votes"]}, 200), ({"aud": "votes"}, 401), ({"iss": "me"}, 401),
    ({"iss": "you", "aud": "votes"}, 401), ({"iss": "me", "aud": "vote"}, 401), ({"iss": "me", "aud": []}, 401),
    ({"iss": ["me"], "aud": "votes"}, 401)], ids=str)
def test_a_token_of_other_parties_is_refused(scene, instances, claims, status):
    token = hand_made({"alg": "HS256"}, {"sub": "u1", **claims}, SECRET.encode())
    assert call(scene, "GET", "/api/leaderboard", token, instances[0]["parties"]).status_code == status


@pytest.mark.parametrize("algorithm", ("RS256", "ES256"))
def test_a_public_key_is_no_secret_to_sign_with(scene, instances, algorithm):
    urls, keys = instances
    private, public = keys[algorithm]
    assert call(scene, "GET", "/api/leaderboard", signed({}, private, algorithm), urls[algorithm]).status_code == 200
    for forged in (public, public.strip(), public + b"\n"):
        confused = [hand_made({"alg": name}, {"sub": "u1"}, forged) for name in ("HS256", algorithm, "none")]
        for token in [*confused, BAD_TOKENS["alg none"], signed()]:
            for route in PROTECTED:
                assert call(scene, *route, token, urls[algorithm]).status_code == 401


@pytest.mark.parametrize("algorithm, other", [("RS256", "ES256"), ("ES256", "RS256")])
def test_a_key_of_the_other_kind_signs_nothing(scene, instances, algorithm, other):
    urls, keys = instances
    assert call(scene, "GET", "/api/leaderboard", signed({}, keys[other][0], other), urls[algorithm]).status_code == 401


# Socket.IO: what a client may send, and what each is told

SENT_BY_CLIENTS = {"subscribe", "unsubscribe"}
TOLD_TO_OWNERS = {"request_id", "user_vote"}


def test_the_events_of_this_file_are_those_of_the_source():
    source = open(ROOT + "/cmd/vote-notify/subscribe.c").read()
    assert set(re.findall(r'strcmp\(name, "(\w+)"\)', source)) == SENT_BY_CLIENTS
    assert set(re.findall(r'"(vote:\w+)"', open(ROOT + "/cmd/vote-notify/event.c").read())) == {
        "vote:cast", "vote:removed", "vote:reconciled", "vote:failed"}


def connected(scene, url, browse):  # noqa: F811
    return {caller: browse(url, scene.tokens.get(caller)) for caller in CALLERS}


@pytest.mark.parametrize("event", sorted(SENT_BY_CLIENTS))
def test_anybody_may(scene, notifier, browse, event):  # noqa: F811
    _, url = notifier()
    for caller, browser in connected(scene, url, browse).items():
        assert browser.call(event, {"project_ids": [scene.project]})["ok"] is True, caller


@pytest.mark.parametrize("event", ("vote:cast", "vote:failed", "vote:removed", "vote:reconciled", "join", "admin", "message"))
def test_nobody_may(scene, notifier, browse, event):  # noqa: F811
    _, url = notifier()
    browsers = connected(scene, url, browse)
    for browser in browsers.values():
        browser.subscribe(scene.project)
    for browser in browsers.values():
        answer = browser.call(event, {"project_ids": [scene.project], "project_id": scene.project, "room": "u:" + scene.users[OWNER]})
        assert answer["ok"] is False
    for caller, browser in browsers.items():
        assert not [name for name, _ in browser.events if name != "snapshot"], caller


def test_only_its_owner_is_told_whose_a_vote_is(scene, notifier, browse):  # noqa: F811
    _, url = notifier()
    browsers = connected(scene, url, browse)
    for browser in browsers.values():
        browser.subscribe(scene.project)
    for vote_type in ("down", "none"):
        request_id = scene.stack.vote(scene.tokens[OWNER], scene.project, vote_type).json()["data"]["request_id"]
        scene.stack.wait_committed(scene.tokens[OWNER], request_id)
        for caller, browser in browsers.items():
            wait_until(lambda: browser.of(scene.project, "vote:cast", "vote:removed"), 30, caller)
    wait_until(lambda: browsers[OWNER].of(scene.project, "vote:removed"), 30, "the owner is told")
    for caller, browser in browsers.items():
        said = json.dumps(browser.events)
        private = [payload for payload in browser.of(scene.project) if TOLD_TO_OWNERS & set(payload)]
        assert bool(private) == (caller == OWNER), caller
        assert not any(user in said for user in scene.users.values())


def test_a_token_that_is_none_connects_nobody(scene, notifier):  # noqa: F811
    _, url = notifier()
    for token in [*BAD_TOKENS.values(), 1, ["x"], {}]:
        answer = said_to_connect(url, {"token": token})
        assert answer.startswith("44"), token
        assert not token or str(token) not in answer or len(str(token)) < 5
    assert said_to_connect(url, {"token": None}).startswith("40") and said_to_connect(url, {}).startswith("40")


def said_to_connect(url, auth):
    """What the server says to a CONNECT, over long-polling."""
    address = url + "/socket.io/?EIO=4&transport=polling"
    session = requests.Session()
    sid = json.loads(session.get(address, timeout=20).text[1:])["sid"]
    requests.post(f"{address}&sid={sid}", "40" + json.dumps(auth), timeout=20)
    return session.get(f"{address}&sid={sid}", timeout=20).text


# The admin ports: for whoever reaches them

def test_an_admin_port_gives_three_pages_and_changes_nothing(scene):
    for tool in (scene.stack.main_ingest, scene.stack.main_commit):
        url = f"http://127.0.0.1:{tool.admin_port}"
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "PURGE"):
            for path in ("/", "/metrics", "/healthz", "/readyz", "/debug", "/config", "/../etc/passwd", "/metrics/../config", "/api/votes"):
                answer = requests.request(method, url + path, timeout=10)
                is_page = method == "GET" and path in ("/metrics", "/healthz", "/readyz")
                assert (answer.status_code == 200) == is_page, (method, path, answer.status_code)


def test_an_admin_port_tells_no_user_project_secret_or_address(scene):
    known = [*scene.users.values(), scene.project, scene.request_id, SECRET, *scene.tokens.values(), scene.stack.env["VOTE_KAFKA_BROKERS"],
             scene.stack.env["VOTE_DATABASE_URL"], scene.stack.env["VOTE_REDIS_URL"], scene.stack.directory]
    for tool in (scene.stack.main_ingest, scene.stack.main_commit):
        url = f"http://127.0.0.1:{tool.admin_port}"
        pages = "".join(requests.get(url + path, timeout=10).text for path in ("/metrics", "/readyz", "/healthz"))
        assert [value for value in known if value in pages] == []


@pytest.mark.parametrize("tool, port", [("vote-ingest", 9101), ("vote-commit", 9102), ("vote-invalidate", 9103), ("vote-notify", 9104)])
def test_an_admin_port_is_where_the_contract_has_it(scene, tool, port):
    env = {name: value for name, value in scene.stack.env.items() if not name.startswith("VOTE_")}
    listed = scene.stack.run(tool, "--print-config", env={**env, "VOTE_JWT_SECRET": SECRET})
    assert f"admin-listen=0.0.0.0:{port}  # preset" in listed.stdout
