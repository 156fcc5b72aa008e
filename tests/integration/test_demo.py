# test_demo.py - the page that vote-ingest serves, and what only that page uses. SPDX-License-Identifier: Apache-2.0
import gzip
import subprocess

import jwt
import pytest
import requests

from stack import BIN, SECRET, free_port

HTML = "<!doctype html><title>votes</title>" + "<p>" * 200
SCRIPT = "console.log('votes');" * 100
NOTIFY = "http://127.0.0.1:8081"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A built page: index.html, and a script with its compressed copies."""
    directory = tmp_path_factory.mktemp("web")
    assets = directory / "assets"
    assets.mkdir()
    (directory / "index.html").write_text(HTML)
    (assets / "app-1a2b.js").write_text(SCRIPT)
    (assets / "app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (assets / "app-1a2b.js.br").write_bytes(b"not really brotli")
    (directory / ".secret").write_text("hidden")
    return directory


@pytest.fixture(scope="module")
def page(servers, root):
    port = free_port()
    tool = servers.ingest(port, "--web-root", str(root), "--notify-url", NOTIFY, "--dev-tokens").start()
    yield f"http://127.0.0.1:{port}"
    tool.stop()


def get(url, encoding="identity", **headers):
    return requests.get(url, headers={"Accept-Encoding": encoding, **headers}, timeout=10, stream=True)


def test_the_page_is_at_the_root(page):
    answer = get(page + "/")
    assert answer.status_code == 200 and answer.text == HTML
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_may_talk_to_us_and_to_vote_notify_alone(page):
    policy = dict(part.strip().split(" ", 1) for part in get(page + "/").headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
    assert policy["connect-src"].split() == ["'self'", NOTIFY, NOTIFY.replace("http", "ws")]
    assert policy["frame-ancestors"] == "'none'"


def test_a_page_that_is_known_is_not_sent_again(page):
    etag = get(page + "/").headers["ETag"]
    again = get(page + "/", **{"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert get(page + "/", **{"If-None-Match": 'W/"0123456789abcdef"'}).status_code == 200


def test_assets_are_kept_for_good(page):
    answer = get(page + "/assets/app-1a2b.js")
    assert answer.text == SCRIPT and "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("accepted, encoding", [
    ("gzip, deflate, br", "br"), ("gzip", "gzip"), ("GZIP;q=0.5", "gzip"), ("br;q=0, gzip", "gzip"), ("deflate", None),
    ("gzip;q=0", None), ("xgzip, brr", None), ("", None)])
def test_the_encoding_is_one_that_the_client_takes(page, accepted, encoding):
    answer = get(page + "/assets/app-1a2b.js", accepted)
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    body = answer.raw.read(decode_content=False)
    assert {None: SCRIPT.encode(), "gzip": gzip.compress(SCRIPT.encode())[:4], "br": b"not really brotli"}[
        encoding] == (body[:4] if encoding == "gzip" else body)


@pytest.mark.parametrize("path", ["/assets/nothing.js", "/assets/../index.html", "/assets/..%2f.secret", "/.secret",
                                  "/index.html.gz", "/assets/", "/assets/app-1a2b.js.br"])
def test_nothing_else_is_served(page, path):
    request = requests.Request("GET", page).prepare()
    request.url = page + path  # as it is
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == 404


def test_the_page_learns_where_the_rest_is(page):
    assert requests.get(page + "/demo/config", timeout=10).json() == {"notify_url": NOTIFY, "dev_tokens": True}


def test_a_development_token_is_good_for_its_user(page, stack):
    answer = requests.post(page + "/demo/token", json={"user": "ada"}, timeout=10)
    assert answer.status_code == 200
    assert jwt.decode(answer.json()["token"], SECRET, ["HS256"])["sub"] == "ada"
    votes = requests.get(page + "/api/votes/user", headers={"Authorization": "Bearer " + answer.json()["token"]},
                         timeout=10)
    assert votes.status_code == 200


@pytest.mark.parametrize("body", ['{"user":""}', '{"user":"a b"}', '{"user":7}', "{}", "[]", "nonsense", pytest.param("[" * 5000, id="deep")])
def test_a_token_for_nobody_is_refused(page, body):
    answer = requests.post(page + "/demo/token", body, headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "user"


def test_a_token_is_not_given_to_a_form_of_another_site(page):
    answer = requests.post(page + "/demo/token", '{"user":"ada"}', headers={"Content-Type": "text/plain"}, timeout=10)
    assert answer.status_code == 415


def test_without_the_flags_there_is_neither_page_nor_token(stack):
    assert requests.get(stack.url + "/", timeout=10).status_code == 404
    assert requests.get(stack.url + "/demo/config", timeout=10).status_code == 404
    assert requests.post(stack.url + "/demo/token", json={"user": "ada"}, timeout=10).status_code == 404


@pytest.mark.parametrize("flags, named", [
    (["--web-root", "/nowhere"], "--web-root: unable to read /nowhere"),
    (["--notify-url", "ftp://x"], "--notify-url"), (["--notify-url", "http://x; script-src *"], "--notify-url"),
    (["--dev-tokens", "--jwt-algorithm", "ES256"], "--dev-tokens")])
def test_a_page_that_cannot_be_served_stops_the_start(stack, flags, named):
    environment = {**stack.env, "VOTE_JWT_PUBLIC_KEY": "x"}
    result = subprocess.run([BIN + "/vote-ingest", "--listen", f"127.0.0.1:{free_port()}", "--admin-listen",
                             f"127.0.0.1:{free_port()}", *flags], env=environment, capture_output=True, text=True,
                            timeout=20)
    assert result.returncode == 78 and named in result.stderr
