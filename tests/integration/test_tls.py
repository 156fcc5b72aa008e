# test_tls.py - TLS to Kafka, Postgres and Redis, on the listeners and in front of them, with real certificates.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import uuid

import jwt
import pytest
import requests
import websocket
from secured import Certificates, server_tunnel
from stack import die_with_parent, free_port, wait_until


@pytest.fixture
def project(secured):
    name = "p-" + uuid.uuid4().hex[:12]
    secured.add_projects(name)
    return name


def tail_requests(secured, **env):
    return secured.run("vote-tail", "-t", "requests", "-o", "start", "--format", "json", env={**secured.env, **env}, timeout=90)


def test_a_vote_goes_from_the_click_to_the_commit_over_tls_alone(secured, project):
    token = secured.token("u1")
    answer = secured.vote(token, project, "up")
    assert answer.status_code == 202, answer.text
    request_id = answer.json()["data"]["request_id"]
    assert secured.wait_committed(token, request_id)["state"] == "committed"
    assert secured.counts(project) == (1, 0)
    assert request_id in tail_requests(secured).stdout


def test_every_connection_to_postgres_is_encrypted(secured, project):
    secured.vote(secured.token("u1"), project, "up")
    rows = secured.sql("select a.application_name, s.ssl, s.version from pg_stat_activity a join pg_stat_ssl s using (pid) "
                       "where a.application_name like 'vote-%%'")
    assert {"vote-ingest", "vote-commit"} <= {name for name, _, _ in rows}
    assert all(ssl and version in ("TLSv1.2", "TLSv1.3") for _, ssl, version in rows)


def test_a_broker_with_a_certificate_of_a_stranger_is_refused(secured):
    properties = secured.secret_file("wrong-ca.secret", secured.kafka_properties(ca=secured.certificates.other_ca))
    result = tail_requests(secured, VOTE_KAFKA_PROPERTY_FILE=properties)
    assert result.returncode == 69 and result.stdout == ""


def test_a_broker_that_wants_tls_is_not_spoken_to_in_plain(secured):
    result = tail_requests(secured, VOTE_KAFKA_PROPERTY_FILE="")
    assert result.returncode == 69 and result.stdout == ""


def test_a_wrong_password_of_kafka_is_refused(secured):
    properties = secured.secret_file("wrong-kafka.secret", secured.kafka_properties(password="wrong"))
    assert tail_requests(secured, VOTE_KAFKA_PROPERTY_FILE=properties).returncode == 69


@pytest.mark.parametrize("change, complaint", [
    ({"ca": "other.pem"}, "certificate verify failed"),
    ({"host": "localhost"}, "does not match host name"),
    ({"password": "wrong"}, "password authentication failed"),
], ids=["wrong CA", "wrong name", "wrong password"])
def test_postgres_is_refused_with(secured, change, complaint):
    change = {name: secured.certificates.path(value) if name == "ca" else value for name, value in change.items()}
    url = secured.secret_file("wrong-postgres.secret", secured.database_url(**change))
    result = secured.run("vote-admin", "stats", env={**secured.env, "VOTE_DATABASE_URL_FILE": url})
    assert result.returncode == 69
    assert complaint in result.stderr


def test_redis_behind_a_tls_tunnel_is_reached(secured):
    clients = secured.redis().client_list()
    assert any(int(secured.ports["redis_tls"]) == int(client["laddr"].split(":")[1]) for client in clients)


def test_a_tunnel_takes_no_redis_with_a_certificate_of_a_stranger(secured):
    tunnel = secured.redis_tunnel(secured.certificates.other_ca)
    try:
        result = secured.run("vote-admin", "check", env={**secured.env, "VOTE_REDIS_URL_FILE": secured.secret_file(
            "stranger.secret", secured.redis_url(port=tunnel.port))})
        assert result.returncode == 69 and "redis" in result.stderr
        wait_until(lambda: "certificate verify failed" in open(tunnel.log).read(), 10, "the tunnel says why")
    finally:
        tunnel.stop()


@pytest.mark.parametrize("tool", ["vote-ingest", "vote-commit", "vote-invalidate"])
def test_a_rediss_url_is_refused_and_a_tunnel_named(secured, tool):
    result = secured.run(tool, "--redis-url", "rediss://app:re-hunter2-42@127.0.0.1:6380")
    assert result.returncode == 64
    assert "rediss:// needs TLS" in result.stderr and "stunnel" in result.stderr and "hunter2" not in result.stderr


def test_the_api_is_https_behind_a_terminator(secured, project):
    tunnel = server_tunnel(secured, secured.ports["api"])
    url = f"https://127.0.0.1:{tunnel.port}/api/votes"
    call = {"json": {"project_id": project, "vote_type": "up"}, "timeout": 30,
            "headers": {"Authorization": "Bearer " + secured.token("u2")}}
    try:
        assert requests.post(url, verify=secured.certificates.ca, **call).status_code == 202
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(url, verify=secured.certificates.other_ca, **call)
    finally:
        tunnel.stop()


def hears_of_a_vote(secured, url, ca, project):
    """A browser's WebSocket that subscribes to a project and is told of a vote for it."""
    browser = websocket.create_connection(url + "/socket.io/?EIO=4&transport=websocket", timeout=30, sslopt={"ca_certs": ca})
    assert browser.recv().startswith("0{")
    browser.send("40" + json.dumps({"token": secured.token("u2")}))
    assert browser.recv().startswith("40{")
    browser.send("421" + json.dumps(["subscribe", {"project_ids": [project]}]))
    answer = next(frame for frame in iter(browser.recv, None) if frame.startswith("431"))
    assert json.loads(answer[3:])[0]["ok"]
    secured.vote(secured.token("u2"), project, "up")
    assert next(frame for frame in iter(browser.recv, None) if "vote:cast" in frame)
    browser.close()


def test_socket_io_is_wss_behind_a_terminator(secured, project):
    port = free_port()
    notify = secured.tool("vote-notify", "--listen", f"127.0.0.1:{port}").start()
    tunnel = server_tunnel(secured, port)
    try:
        hears_of_a_vote(secured, f"wss://127.0.0.1:{tunnel.port}", secured.certificates.ca, project)
    finally:
        tunnel.stop()
        notify.stop()


# --- The listeners' own


class Listener:
    """A daemon that ends TLS itself, with a certificate of its own files."""

    def __init__(self, secured, name, directory):
        self.files = Certificates(str(directory))
        self.address = ("127.0.0.1", free_port())
        self.tool = secured.tool(name, "--listen", "%s:%d" % self.address, *self.files.flags,
                                 *(["--rate-limit", "0"] if name == "vote-ingest" else [])).start()

    def connect(self, trust=None, **options):
        trust = trust or self.files.trust()
        return trust.wrap_socket(socket.create_connection(self.address, timeout=30), server_hostname="127.0.0.1", **options)

    def serial(self):
        with self.connect() as client:
            return client.getpeercert()["serialNumber"]

    def warnings(self):
        return [line for line in open(self.tool.log) if "the certificate is not renewed" in line]


@pytest.fixture(scope="module", params=["vote-ingest", "vote-notify"])
def listener(request, secured, tmp_path_factory):
    listener = Listener(secured, request.param, tmp_path_factory.mktemp(request.param))
    yield listener
    assert listener.tool.stop() == 0


@pytest.fixture(scope="module")
def https(secured, tmp_path_factory):
    listener = Listener(secured, "vote-ingest", tmp_path_factory.mktemp("https"))
    yield listener
    assert listener.tool.stop() == 0


def ask(client, path, *headers):
    """One request on a connection; the whole answer."""
    client.sendall("\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *headers, "", "")).encode())
    return read_answer(client)


def read_answer(client, rest=b""):
    while b"\r\n\r\n" not in rest:
        rest += client.recv(65536)
    head, _, body = rest.partition(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < size:
        body += client.recv(65536)
    return head, body[:size], body[size:]


def test_the_api_is_https_by_itself(secured, https, project):
    url = "https://%s:%d/api/votes" % https.address
    call = {"json": {"project_id": project, "vote_type": "up"}, "timeout": 30,
            "headers": {"Authorization": "Bearer " + secured.token("u2")}}
    answer = requests.post(url, verify=https.files.ca, **call)
    assert answer.status_code == 202 and answer.json()["data"]["upvotes"] == 1
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(url, verify=https.files.other_ca, **call)


def test_socket_io_is_wss_by_itself(secured, tmp_path, project):
    notify = Listener(secured, "vote-notify", tmp_path)
    hears_of_a_vote(secured, "wss://%s:%d" % notify.address, notify.files.ca, project)
    polled = requests.get("https://%s:%d/socket.io/?EIO=4&transport=polling" % notify.address, verify=notify.files.ca, timeout=30)
    assert polled.status_code == 200 and polled.text.startswith("0{")
    assert notify.tool.stop() == 0


def test_who_speaks_no_tls_or_an_old_one_is_not_answered(listener):
    with socket.create_connection(listener.address, timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.recv(4096)
    old = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % listener.address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                         input="", capture_output=True, text=True, timeout=30)
    assert old.returncode != 0 and "alert protocol version" in old.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_that_are_left_are_spoken(listener, version):
    trust = listener.files.trust()
    trust.minimum_version = trust.maximum_version = version
    with listener.connect(trust) as client:
        client.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 4")


def test_a_connection_carries_many_requests_and_answers_of_many_records(secured, https):
    wanted = requests.get(secured.url + "/openapi.json", timeout=30).content
    assert len(wanted) > 16 * 1024
    with https.connect() as client:
        for _ in range(50):
            head, body, rest = ask(client, "/openapi.json")
            assert head.startswith(b"HTTP/1.1 200") and body == wanted and rest == b""


def test_pipelined_requests_of_who_reads_late_are_answered_in_order(https):
    with https.connect() as client:
        for number in range(300):
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\nGET /none-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        time.sleep(0.5)
        rest = b""
        for number in range(300):
            head, _, rest = read_answer(client, rest)
            assert head.startswith(b"HTTP/1.1 200")
            head, body, rest = read_answer(client, rest)
            assert head.startswith(b"HTTP/1.1 404") and json.loads(body)["status"] == 404


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_who_has_a_bad_token_is_told_so(secured, https, project, algorithm):
    """Its check leaves errors of OpenSSL behind, which are none of the connection's."""
    key = secured.certificates.key if algorithm == "RS256" else None
    token = jwt.encode({"sub": "u1"}, open(key).read() if key else "another secret, of 32 bytes or more", algorithm)
    body = json.dumps({"project_id": project, "vote_type": "down"}).encode()
    with https.connect() as client:
        for _ in range(3):
            client.sendall(b"POST /api/votes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (token.encode(), len(body), body))
            assert read_answer(client)[0].startswith(b"HTTP/1.1 401")


def test_who_ends_its_side_behind_a_request_is_answered_and_told_the_end(https):
    """Each side of TLS ends by itself (RFC 8446 section 6.1)."""
    incoming, outgoing, answer = ssl.MemoryBIO(), ssl.MemoryBIO(), b""
    client = https.files.trust().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(https.address, timeout=30) as plain:
        def carry(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    came = plain.recv(65536)
                    incoming.write(came) if came else incoming.write_eof()

        carry(client.do_handshake)
        client.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        with pytest.raises(ssl.SSLZeroReturnError):  # close_notify, and no cut
            while True:
                answer += carry(lambda: client.read(65536))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and json.loads(body)["openapi"]


def test_a_body_that_is_waited_for_is_invited(secured, https, project):
    body = json.dumps({"project_id": project, "vote_type": "down"}).encode()
    with https.connect() as client:
        client.sendall(b"POST /api/votes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (secured.token("u5").encode(), len(body)))
        assert client.recv(4096).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert client.recv(4096).startswith(b"HTTP/1.1 202")


def test_new_keys_within_a_connection_are_taken(https):
    """RFC 8446 section 4.6.3; openssl sends a KeyUpdate that asks for one when a line begins with K."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % https.address, "-CAfile", https.files.ca, "-crlf"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              preexec_fn=die_with_parent)
    patience = threading.Timer(30, client.kill)
    patience.start()
    for line in ("K\n", "GET /openapi.json HTTP/1.1\nHost: x\nConnection: close\n\n"):
        time.sleep(0.5)  # a read that has more than the letter is no command
        client.stdin.write(line)
        client.stdin.flush()
    output = client.stdout.read()  # to its end, which the answer's end brings
    patience.cancel()
    client.stdin.close()
    client.wait()
    assert "KEYUPDATE" in output and "HTTP/1.1 200" in output


def test_the_end_of_a_connection_is_told_in_tls(https):
    with https.connect(suppress_ragged_eofs=False) as client:
        assert ask(client, "/none", "Connection: close")[0].startswith(b"HTTP/1.1 404")
        assert client.recv(4096) == b""  # close_notify: a cut would raise


def test_who_does_not_finish_the_handshake_is_closed(listener):
    started = time.monotonic()
    with socket.create_connection(listener.address, timeout=60) as silent:
        silent.sendall(b"\x16\x03\x01\x02")
        assert silent.recv(4096) == b""
    assert time.monotonic() - started > 5


def test_a_renewed_certificate_is_used_without_a_restart(listener, tmp_path):
    before, trust, renewed = listener.serial(), listener.files.trust(), Certificates(str(tmp_path))
    for name in ("ca.pem", "server.pem"):
        os.replace(renewed.path(name), listener.files.path(name))
    wait_until(lambda: len(listener.warnings()) == 1, 20, "a certificate without its key is told")
    time.sleep(2.5)
    assert len(listener.warnings()) == 1, "once"
    with listener.connect(trust) as opened:
        os.replace(renewed.key, listener.files.key)
        wait_until(lambda: "the certificate is renewed" in open(listener.tool.log).read(), 20, "it is told")
        assert listener.serial() != before
        opened.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert opened.recv(4096).startswith(b"HTTP/1.1 4"), "who was there before goes on"


@pytest.mark.parametrize("tool", ["vote-ingest", "vote-notify"])
@pytest.mark.parametrize("cert, key, complaint", [
    ("server.pem", None, "--tls-key is missing"), (None, "server.key", "--tls-cert is missing"),
    ("none.pem", "server.key", "--tls-cert {}/none.pem: No such file"), ("server.pem", "none.key", "--tls-key {}/none.key: No such file"),
    ("server.key", "server.key", "server.key: not a PEM certificate"), ("server.pem", "ca.key", "ca.key: not the certificate's"),
    ("server.pem", "locked.key", "locked.key: not the certificate's PEM key without a passphrase"),
], ids=["no key", "no certificate", "certificate away", "key away", "not one", "another's key", "a passphrase"])
def test_a_certificate_that_cannot_be_used_is_named(secured, tool, cert, key, complaint):
    files = secured.certificates
    subprocess.run(["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", files.key, "-out", files.path("locked.key")],
                   check=True, capture_output=True)
    flags = [word for flag, name in (("--tls-cert", cert), ("--tls-key", key)) if name for word in (flag, files.path(name))]
    result = secured.run(tool, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *flags, timeout=60)
    assert result.returncode == 78 and complaint.format(files.directory) in result.stderr
