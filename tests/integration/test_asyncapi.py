# test_asyncapi.py - records on the topics against pipelines/asyncapi.json. SPDX-License-Identifier: Apache-2.0
#
# What browsers are told is checked where they are told: by the `browse` fixture of test_notify.py.
import json

import jsonschema
import pytest

from asyncapi import DOCUMENT, MESSAGES, check, check_event, check_record, schema
from stack import wait_until
from topics import produce, read_topic, wait_applied


def of_project(stack, topic, project):
    return [record for record in read_topic(stack, topic) if record.value() and project.encode() in record.value()]


def test_requests_and_results_are_what_the_document_says(stack, project, token, user):
    for vote_type, more in (("up", {"variant": "blue"}), ("up", {}), ("down", {})):
        stack.wait_committed(token, stack.vote(token, project, vote_type, **more).json()["data"]["request_id"])
    stack.sql("update vote.votes set value = 1 where user_id = %s", user)
    stack.wait_committed(token, stack.vote(token, project, "up", toggle=False).json()["data"]["request_id"])
    (request,) = {record.value() for record in of_project(stack, "vote.requests", project) if b'"blue"' in record.value()}
    older = json.loads(request) | {"request_id": "00000000-0000-4000-8000-00000000a5a5", "seq": 1}
    headers = [(name, value) for name, value in of_project(stack, "vote.requests", project)[0].headers()]
    produce(stack, [(project.encode(), json.dumps(older).encode(), headers)])
    wait_applied(stack)
    assert {check_record("requests", record) for record in of_project(stack, "vote.requests", project)} == {"vote.requested.v1"}
    told = wait_until(lambda: (lambda r: len(r) >= 5 and r)(of_project(stack, "vote.results", project)), 20, "results")
    assert {check_record("results", record) for record in told} == {
        "vote.cast.v1", "vote.removed.v1", "vote.reconciled.v1", "vote.superseded.v1"}


def test_a_wish_to_be_forgotten_is_what_the_document_says(stack, project, token, user):
    stack.wait_committed(token, stack.vote(token, project, "up").json()["data"]["request_id"])
    stack.run("vote-admin", "forget-user", user, "--yes", check=True)
    wishes = [record for record in read_topic(stack, "vote.requests") if record.key() == user.encode()]
    assert [check_record("requests", record) for record in wishes] == ["vote.user.forgotten.v1"] * 6


def test_a_dead_letter_is_what_the_document_says(stack, project):
    produce(stack, [(project.encode(), b"\xff no text", [("kept", b"as it was")])])
    dead = wait_until(lambda: [r for r in read_topic(stack, "vote.dead") if r.key() == project.encode()], 20, "vote.dead")
    check({name: value.decode() for name, value in dead[0].headers()}, "dead", "headers")


def test_every_reference_of_the_document_leads_somewhere():
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from references(child)
    for reference in references(DOCUMENT):
        node = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_schema_refuses_a_member_that_it_does_not_know(name):
    if name == "dead":
        pytest.skip("what is dead may be anything")
    with pytest.raises(jsonschema.ValidationError):
        check({"surprise": 1}, name)
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_a_public_event_with_a_users_id_would_be_found():
    public = {"project_id": "p", "upvotes": 1, "downvotes": 0, "voteCount": 1, "community_score": 0.2, "version": 1,
              "action": "created", "coalesced": 1, "committed_at": "2026-01-01T00:00:00.000Z"}
    check_event("vote:cast", public)
    with pytest.raises(AssertionError):
        check_event("vote:cast", public | {"user_id": "u"})
