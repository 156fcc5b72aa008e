# test_brokers.py - one of three brokers is lost. SPDX-License-Identifier: Apache-2.0
import pytest
from confluent_kafka.admin import AdminClient

from kafka_cluster import ClusterStack
from members import SOON
from stack import started_servers, wait_until
from votes import Load


@pytest.fixture
def clustered():
    with started_servers(ClusterStack, "votepipe-brokers-") as stack:
        stack.main_ingest = stack.ingest().start()
        stack.main_commit = stack.commit(*SOON).start()
        yield stack


def leaders(stack):
    partitions = AdminClient({"bootstrap.servers": stack.env["VOTE_KAFKA_BROKERS"]}).list_topics("vote.requests", 10)
    return {number: partition.leader for number, partition in partitions.topics["vote.requests"].partitions.items()}


def test_G1_the_loss_of_one_of_three_brokers_loses_no_accepted_vote(clustered):
    load = Load(clustered)
    try:
        load.wait_committed(50)
        lost = leaders(clustered)[0]
        clustered.kafka.kill(lost)
        load.wait_more(50)
        wait_until(lambda: lost not in leaders(clustered).values(), 90, "other leaders")
        load.wait_more(100)
        load.wait_committed(100)
        load.check()
    finally:
        load.close()
