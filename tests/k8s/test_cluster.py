# test_cluster.py - what the manifests say of topics and metrics, held against real brokers and running tools.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import sys

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from manifests import render
from stack import ROOT, started_servers, wait_until

sys.path.insert(0, os.path.join(ROOT, "tests", "fault"))
from kafka_cluster import NODES, ClusterStack  # noqa: E402


class Brokers(ClusterStack):
    """Three brokers, Postgres and Redis; the topics are the manifests'."""

    def make_topics(self):
        topics = [NewTopic(topic["metadata"]["name"], topic["spec"]["partitions"], topic["spec"]["replicas"],
                           config={key: str(value) for key, value in topic["spec"]["config"].items()})
                  for topic in render("production").all("KafkaTopic")]
        admin = AdminClient({"bootstrap.servers": self.kafka.brokers})
        wait_until(lambda: len(admin.list_topics(timeout=10).brokers) == len(NODES), 60, "three brokers")
        for made in admin.create_topics(topics).values():
            made.result(60)


@pytest.fixture(scope="module")
def brokers():
    with started_servers(Brokers, "votepipe-k8s-") as stack:
        yield stack


@pytest.fixture(scope="module")
def daemons(brokers):
    """Those that an autoscaler asks for more than CPU."""
    return {"vote-commit": brokers.commit().start(),
            "vote-notify": brokers.tool("vote-notify", "--listen", f"127.0.0.1:{brokers.ports['api']}").start()}


def look(brokers, *arguments):
    """vote-admin topics as it finds what the manifests made: it changes nothing."""
    run = brokers.run("vote-admin", "topics", "--dry-run", "--replication-factor", "3", *arguments)
    return run.returncode, run.stdout + run.stderr


def test_vote_admin_has_nothing_to_mend_in_the_topics_of_the_manifests(brokers):
    partitions = {topic["spec"]["partitions"] for topic in render("production").all("KafkaTopic")}
    code, said = look(brokers, "--partitions", str(partitions.pop()))
    assert (code, partitions) == (0, set()), said
    assert " not " not in said and "create" not in said, said


@pytest.mark.parametrize("arguments", [("--partitions", "25"), ("--partitions", "24", "--retention", "8d"),
                                       ("--partitions", "24", "--dead-retention", "1d")])
def test_vote_admin_notices_topics_that_differ(brokers, arguments):
    code, said = look(brokers, *arguments)
    assert code == 1 and " not " in said, said


def names_asked(overlay):
    """Tool -> the metrics that its autoscaler goes by."""
    asked = {}
    for scaler in overlay.all("HorizontalPodAutoscaler", "ScaledObject"):
        name = scaler["spec"]["scaleTargetRef"]["name"]
        asked[name] = {metric["pods"]["metric"]["name"] for metric in scaler["spec"].get("metrics", []) if "pods" in metric}
        for trigger in scaler["spec"].get("triggers", []):
            asked[name] |= set(re.findall(r"\bvote_\w+", trigger["metadata"].get("query", "")))
    return asked


def test_the_autoscalers_go_by_metrics_that_the_tools_have(daemons):
    asked = names_asked(render("production"))
    assert asked.pop("vote-ingest") == set(), "its CPU"
    assert set(asked) == set(daemons) and all(asked.values())
    for name, tool in daemons.items():
        shown = set(re.findall(r"^(vote_\w+)[ {]", tool.metrics(), re.M))
        assert asked[name] <= shown, asked[name] - shown


def test_the_group_and_topic_of_the_autoscaler_are_those_of_vote_commit(daemons):
    trigger = render("production").find("ScaledObject", "vote-commit")["spec"]["triggers"][0]["metadata"]
    reading = next(line for line in open(daemons["vote-commit"].log) if "msg=reading" in line)
    assert f"topic={trigger['topic']} group={trigger['consumerGroup']} " in reading
