# test_tls.py - TLS to Kafka, Postgres and Redis, and in front of the listeners, with real certificates.
# SPDX-License-Identifier: Apache-2.0
import json
import uuid

import pytest
import requests
import websocket
from secured import server_tunnel
from stack import free_port, wait_until


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


def test_socket_io_is_wss_behind_a_terminator(secured, project):
    port = free_port()
    notify = secured.tool("vote-notify", "--listen", f"127.0.0.1:{port}").start()
    tunnel = server_tunnel(secured, port)
    try:
        socket = websocket.create_connection(f"wss://127.0.0.1:{tunnel.port}/socket.io/?EIO=4&transport=websocket", timeout=30,
                                             sslopt={"ca_certs": secured.certificates.ca})
        assert socket.recv().startswith("0{")
        socket.send("40" + json.dumps({"token": secured.token("u2")}))
        assert socket.recv().startswith("40{")
        socket.send("421" + json.dumps(["subscribe", {"project_ids": [project]}]))
        answer = next(frame for frame in iter(socket.recv, None) if frame.startswith("431"))
        assert json.loads(answer[3:])[0]["ok"]
        secured.vote(secured.token("u2"), project, "up")
        assert next(frame for frame in iter(socket.recv, None) if "vote:cast" in frame)
        socket.close()
    finally:
        tunnel.stop()
        notify.stop()
