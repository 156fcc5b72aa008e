# test_bad_input.py - bad input is named, and never becomes an event. SPDX-License-Identifier: Apache-2.0
import base64
import json
import time

import jwt
import pytest
import requests
from confluent_kafka import Consumer, TopicPartition

from stack import SECRET

GOOD = {"project_id": "bad-input", "vote_type": "up"}


def signed(claims=None, key=SECRET, algorithm="HS256"):
    return jwt.encode({"sub": "u1", "exp": int(time.time()) + 600, **(claims or {})}, key, algorithm=algorithm)


def end_of_requests(stack):
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "none"})
    partitions = consumer.list_topics("vote.requests", 10).topics["vote.requests"].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition("vote.requests", p), 10)[1] for p in partitions]
    consumer.close()
    return sum(ends)


BODIES = {
    "no_body": ("", 400),
    "not_json": ("{not json", 400),
    "an_array": ("[]", 400),
    "a_number": ("7", 400),
    "nested_deep": ("[" * 8000, 400),
    "objects_nested_deep": ('{"a":' * 3000, 400),
    "unknown_vote_type": (json.dumps({**GOOD, "vote_type": "sideways"}), 400),
    "no_project": (json.dumps({"vote_type": "up"}), 400),
    "no_vote_type": (json.dumps({"project_id": "bad-input"}), 400),
    "vote_type_is_a_number": (json.dumps({**GOOD, "vote_type": 1}), 400),
    "toggle_is_text": (json.dumps({**GOOD, "toggle": "yes"}), 400),
    "long_variant": (json.dumps({**GOOD, "variant": "x" * 33}), 400),
    "id_of_65_characters": (json.dumps({**GOOD, "project_id": "x" * 65}), 400),
    "empty_id": (json.dumps({**GOOD, "project_id": ""}), 400),
    "id_with_a_space": (json.dumps({**GOOD, "project_id": "p 1"}), 400),
    "id_with_a_quote": (json.dumps({**GOOD, "project_id": "p'1"}), 400),
    "id_with_braces": (json.dumps({**GOOD, "project_id": "{p}"}), 400),
    "id_with_nul": ('{"project_id":"p\\u0000","vote_type":"up"}', 400),
    "invalid_utf8": (b'{"project_id":"\xff","vote_type":"up"}', 400),
    "duplicate_member": ('{"project_id":"bad-input","vote_type":"up","vote_type":"down"}', 400),
    "a_megabyte": (json.dumps({**GOOD, "pad": "x" * 1000000}), 413),
    "just_over_16_KiB": (json.dumps({**GOOD, "pad": "x" * 16384}), 413),
    "unknown_project": (json.dumps({**GOOD, "project_id": "nobody-knows"}), 404),
}
UNSIGNED = jwt.encode({"sub": "u1", "exp": int(time.time()) + 600}, None, algorithm="none")
DEEP = base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=")
TOKENS = {
    "header_nested_deep": "Bearer " + DEEP + ".e30.AAAA",
    "claims_nested_deep": "Bearer eyJhbGciOiJIUzI1NiJ9." + DEEP + ".AAAA",
    "no_token": None,
    "empty_token": "Bearer ",
    "basic_auth": "Basic dTpw",
    "garbage": "Bearer a.b.c",
    "expired": "Bearer " + signed({"exp": int(time.time()) - 10}),
    "not_valid_yet": "Bearer " + signed({"nbf": int(time.time()) + 3600}),
    "wrong_signature": "Bearer " + signed(key="another secret of 32 characters....."),
    "other_algorithm": "Bearer " + signed(algorithm="HS512"),
    "alg_none": "Bearer " + UNSIGNED,
    "no_sub": "Bearer " + jwt.encode({"exp": int(time.time()) + 600}, SECRET, algorithm="HS256"),
    "bad_sub": "Bearer " + signed({"sub": "u 1"}),
}


@pytest.fixture(scope="module")
def bad(running):
    running.add_projects("bad-input")
    return running


def assert_problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem) and problem["status"] == status


def post(stack, body, headers):
    before = end_of_requests(stack)
    answer = requests.post(stack.url + "/api/votes", data=body, headers=headers, timeout=30)
    assert end_of_requests(stack) == before, "an event was made"
    return answer


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused(bad, name):
    body, status = BODIES[name]
    assert_problem(post(bad, body, {"Authorization": "Bearer " + signed(), "Content-Type": "application/json"}), status)


@pytest.mark.parametrize("name", TOKENS)
def test_a_bad_token_is_refused(bad, name):
    headers = {"Content-Type": "application/json"}
    if TOKENS[name] is not None:
        headers["Authorization"] = TOKENS[name]
    answer = post(bad, json.dumps(GOOD), headers)
    assert_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_content_type_is_refused(bad):
    headers = {"Authorization": "Bearer " + signed(), "Content-Type": "text/plain"}
    assert_problem(post(bad, json.dumps(GOOD), headers), 415)


def test_every_bad_field_is_named(bad):
    answer = post(bad, json.dumps({"project_id": "p 1", "vote_type": "x", "toggle": 3}),
                  {"Authorization": "Bearer " + signed(), "Content-Type": "application/json", "Idempotency-Key": "k" * 256})
    assert [error["field"] for error in answer.json()["errors"]] == ["project_id", "vote_type", "toggle", "Idempotency-Key"]


def test_an_unknown_path_is_404(bad):
    assert_problem(requests.get(bad.url + "/api/nothing", timeout=10), 404)


def test_a_wrong_method_is_405_and_names_the_right_one(bad):
    answer = requests.delete(bad.url + "/api/votes", timeout=10)
    assert_problem(answer, 405)
    assert answer.headers["Allow"] == "POST"
    assert requests.post(bad.url + "/openapi.json", timeout=10).headers["Allow"] == "GET, HEAD"
    admin = requests.post(f"http://127.0.0.1:{bad.main_ingest.admin_port}/metrics", timeout=10)
    assert (admin.status_code, admin.headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_that_is_too_large_is_431_and_says_so(bad):
    answer = requests.get(bad.url + "/api/votes/user", headers={"X-Large": "x" * 17000}, timeout=10)
    assert_problem(answer, 431)
    assert answer.json()["type"].endswith("/head-too-large")


def test_the_next_good_vote_works(bad):
    headers = {"Authorization": "Bearer " + signed({"sub": "after-bad"}), "Content-Type": "application/json"}
    assert requests.post(bad.url + "/api/votes", json=GOOD, headers=headers, timeout=10).status_code == 202
