# kafka_cluster.py - a stack whose Kafka is three brokers. SPDX-License-Identifier: Apache-2.0
import base64
import os
import signal
import subprocess
import uuid

from stack import KAFKA_ENV, SCRIPTS, Stack, free_port, wait_until

NODES = (1, 2, 3)
PATIENCE_SECONDS = 180  # three at once, on a machine with two busy cores
PROPERTIES = """node.id={node}
controller.quorum.bootstrap.servers={controllers}
offsets.topic.replication.factor=3
min.insync.replicas=2
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.timeout.ms=500
group.min.session.timeout.ms=1000"""


def kafka_id():
    """Without + and /, which its form does not have, and without -, which would begin an option."""
    return base64.b64encode(uuid.uuid4().bytes, b"ab").decode().rstrip("=")


class KafkaCluster:
    """Three nodes, each a broker and a controller, below one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.ports = {node: (free_port(), free_port()) for node in NODES}
        self.brokers = ",".join(f"127.0.0.1:{self.ports[node][0]}" for node in NODES)
        voters = ",".join(f"{node}@127.0.0.1:{self.ports[node][1]}:{kafka_id()}" for node in NODES)
        self.format = f"-t {kafka_id()} --initial-controllers {voters}"

    def path(self, node):
        return os.path.join(self.directory, f"kafka-{node}")

    def properties(self, node):
        controllers = ",".join(f"127.0.0.1:{self.ports[other][1]}" for other in NODES)
        return PROPERTIES.format(node=node, controllers=controllers)

    def start(self, *nodes):
        """All at once: none is ready before two can agree on a leader."""
        starting = [subprocess.Popen(
            [os.path.join(SCRIPTS, "kafka.sh"), "start", self.path(node), *map(str, self.ports[node])],
            env={**os.environ, **KAFKA_ENV, "KAFKA_FORMAT": self.format, "KAFKA_PATIENCE": str(PATIENCE_SECONDS),
                 "KAFKA_PROPERTIES": self.properties(node)})
            for node in nodes]
        for process in starting:
            assert process.wait(PATIENCE_SECONDS + 60) == 0

    def pid(self, node):
        return int(open(os.path.join(self.path(node), "pid")).read().split()[0])

    def kill(self, node):
        os.kill(self.pid(node), signal.SIGKILL)
        wait_until(lambda: self.is_gone(node), 10, "the broker is dead")

    def leave(self, node):
        """SIGTERM: it hands its partitions over, as far as others take them."""
        subprocess.run([os.path.join(SCRIPTS, "kafka.sh"), "stop", self.path(node)], check=True, stdout=subprocess.DEVNULL)

    def is_gone(self, node):
        status = subprocess.run([os.path.join(SCRIPTS, "kafka.sh"), "status", self.path(node)], stdout=subprocess.DEVNULL)
        return status.returncode != 0

    def stop(self):
        """Nobody needs their data any more, and two that leave in good order would wait for the third."""
        for node in NODES:
            if not self.is_gone(node):
                self.kill(node)


class ClusterStack(Stack):
    def __init__(self, directory):
        super().__init__(directory)
        self.kafka = KafkaCluster(self.directory)
        self.env["VOTE_KAFKA_BROKERS"] = self.kafka.brokers

    def start_servers(self):
        for name in ("postgres", "redis"):
            self.server("start", name)
        self.kafka.start(*NODES)
        self.run("vote-admin", "migrate", check=True)
        self.make_topics()

    def make_topics(self):
        wait_until(lambda: self.run("vote-admin", "topics", "--replication-factor", "3").returncode == 0, 90, "topics")

    def stop(self):
        for tool in self.tools:
            tool.stop()
        self.kafka.stop()
        for name in ("redis", "postgres"):
            self.server("stop", name)
