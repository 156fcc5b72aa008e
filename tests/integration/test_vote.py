# test_vote.py - one vote from the click to the tables. SPDX-License-Identifier: Apache-2.0
import json
import uuid

from confluent_kafka import Consumer, TopicPartition

from stack import wait_until


def read_topic(stack, topic, request_id):
    """The record of a topic that carries a request, read by a client that is not ours."""
    consumer = Consumer({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"], "group.id": "none",
                         "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])

        def find():
            for message in consumer.consume(1000, 0.2):
                if not message.error() and request_id in message.value().decode(errors="replace"):
                    return message
            return None

        return wait_until(find, 30, f"{request_id} in {topic}")
    finally:
        consumer.close()


def test_a_vote_is_answered_as_the_contract_says(stack, project, token):
    answer = stack.vote(token, project, "up")
    body = answer.json()
    request_id = body["data"].pop("request_id")
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/api/votes/status/" + request_id
    assert uuid.UUID(request_id).version == 7
    assert body == {"status": "success", "message": "Vote recorded",
                    "data": {"id": project, "upvotes": 1, "downvotes": 0, "voteCount": 1, "user_vote": "up",
                             "action": "created"}}


def test_second_click_takes_the_vote_back(stack, project, token):
    stack.vote(token, project, "up")
    data = stack.vote(token, project, "up").json()["data"]
    assert (data["upvotes"], data["user_vote"], data["action"]) == (0, None, "removed")


def test_the_other_arrow_changes_the_vote(stack, project, token):
    stack.vote(token, project, "up")
    data = stack.vote(token, project, "down").json()["data"]
    assert (data["upvotes"], data["downvotes"], data["voteCount"], data["action"]) == (0, 1, -1, "changed")


def test_none_takes_back_whatever_there_is(stack, project, token):
    stack.vote(token, project, "down")
    data = stack.vote(token, project, "none").json()["data"]
    assert (data["downvotes"], data["user_vote"], data["action"]) == (0, None, "removed")


def test_setting_a_vote_that_stands_changes_nothing(stack, project, token):
    stack.vote(token, project, "up", toggle=False)
    data = stack.vote(token, project, "up", toggle=False).json()["data"]
    assert (data["upvotes"], data["user_vote"], data["action"]) == (1, "up", "unchanged")


def test_status_shows_the_whole_life_of_a_vote(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    data = stack.wait_committed(token, request_id)
    assert set(data) == {"request_id", "state", "project_id", "vote_type", "action", "accepted_at", "partition",
                         "offset", "committed_at", "version", "commit_latency_ms", "error"}
    assert (data["state"], data["project_id"], data["version"], data["error"]) == ("committed", project, 1, None)


def test_status_survives_the_loss_of_redis(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, request_id)
    stack.redis().delete("vote:request:" + request_id)
    assert stack.status(token, request_id)["state"] == "committed"


def test_another_user_gets_404_for_my_request(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    assert stack.get(stack.token("stranger"), "/api/votes/status/" + request_id).status_code == 404


def test_an_admin_sees_every_request(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    admin = stack.token("boss", "--scope", "vote:admin")
    assert stack.status(admin, request_id)["request_id"] == request_id


def test_a_vote_reaches_the_tables(stack, project, token, user):
    request_id = stack.vote(token, project, "down", variant="blue").json()["data"]["request_id"]
    stack.wait_committed(token, request_id)
    assert stack.sql("select value, request_id::text from vote.votes where user_id = %s", user) == [(-1, request_id)]
    assert stack.counts(project) == (0, 1)
    assert stack.sql("select outcome, variant from vote.log where request_id = %s", request_id) == [("committed", "blue")]


def test_the_request_event_is_as_the_contract_says(stack, project, token, user):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    message = read_topic(stack, "vote.requests", request_id)
    headers = {name: value.decode() for name, value in message.headers()}
    value = json.loads(message.value())
    assert message.key().decode() == project
    assert headers["ce_type"] == "vote.requested.v1" and headers["ce_id"] == request_id
    assert {"ce_specversion", "ce_source", "ce_time", "content-type", "traceparent"} <= set(headers)
    assert set(value) == {"request_id", "user_id", "project_id", "vote_type", "previous", "action", "seq", "accepted_at"}
    assert (value["user_id"], value["vote_type"], value["previous"]) == (user, "up", "none")


def test_the_result_is_announced_after_the_commit(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    message = read_topic(stack, "vote.results", request_id)
    headers = {name: value.decode() for name, value in message.headers()}
    value = json.loads(message.value())
    assert headers["ce_type"] == "vote.cast.v1"
    assert {"request_id", "user_id", "project_id", "vote_type", "previous", "action", "upvotes", "downvotes",
            "vote_count", "community_score", "version", "seq", "accepted_at", "committed_at"} <= set(value)
    assert (value["upvotes"], value["vote_count"], value["version"]) == (1, 1, 1)


def test_the_trace_goes_from_the_request_to_the_result(stack, project, token):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    traces = {dict(read_topic(stack, topic, request_id).headers())["traceparent"].decode().split("-")[1]
              for topic in ("vote.requests", "vote.results")}
    assert len(traces) == 1


def test_redis_shows_what_postgres_has_when_nothing_is_pending(stack, project, token, user):
    request_id = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, request_id)

    def settled():
        state = stack.redis().hgetall("vote:state:{%s}" % project)
        return state if state["pending"] == "0" else None

    state = wait_until(settled)
    assert (state["upvotes"], state["downvotes"], state["version"]) == ("1", "0", "1")
    assert stack.redis().hget("vote:voters:{%s}" % project, user) == "1"
    assert stack.redis().smembers(f"user:{user}:upvotes") == {project}


def test_a_row_changed_by_hand_is_reconciled(stack, project, token, user):
    first = stack.vote(token, project, "up").json()["data"]["request_id"]
    stack.wait_committed(token, first)
    stack.sql("update vote.votes set value = 0 where user_id = %s", user)
    stack.sql("update vote.projects set upvotes = 0 where project_id = %s", project)
    second = stack.vote(token, project, "down").json()["data"]["request_id"]
    assert stack.wait_committed(token, second)["state"] == "reconciled"
    assert stack.counts(project) == (0, 1)
