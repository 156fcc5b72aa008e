# connect.py - Kafka Connect with Debezium's JDBC sink, which copies votes into one table.
# SPDX-License-Identifier: Apache-2.0
#
# It reads vote.requests as it is: the schema that the sink asks for is given to the JSON converter once, and not with
# every record. It keeps the last vote of each user and project, and counts nothing.
import json
import os
import re
import subprocess

import requests

from stack import ROOT, SCRIPTS, die_with_parent, free_port, wait_until

POM = ROOT + "/tests/bench/peers/connect/pom.xml"
LIBS = ROOT + "/build/connect/libs"
FIELDS = {"project_id": "string", "user_id": "string", "vote_type": "string", "seq": "int64", "request_id": "string"}

WORKER = """\
bootstrap.servers={brokers}
listeners=http://127.0.0.1:{port}
offset.storage.file.filename={directory}/offsets
plugin.discovery=service_load
connector.client.config.override.policy=All
key.converter=org.apache.kafka.connect.storage.StringConverter
header.converter=org.apache.kafka.connect.converters.ByteArrayConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=true
value.converter.schema.content={schema}
"""

BASE = {"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": "vote.requests",
        "connection.username": "votepipe", "connection.password": "", "collection.name.format": "peer.votes",
        "schema.evolution": "none", "insert.mode": "upsert", "primary.key.mode": "record_value",
        "primary.key.fields": "project_id,user_id", "consumer.override.auto.offset.reset": "earliest"}
PLAIN = {"tasks.max": "1"}  # and batches of 500, which is the default
# Of two votes for one row only the newer is written, which statements of many rows ask for; a task for each core.
TUNED = {"tasks.max": str(os.cpu_count()), "batch.size": "3000", "consumer.override.max.poll.records": "3000",
         "use.reduction.buffer": "true", "dialect.postgres.unnest.insert.enabled": "true"}


def schema():
    fields = [{"field": name, "type": type_, "optional": False} for name, type_ in FIELDS.items()]
    return json.dumps({"type": "struct", "name": "vote", "optional": False, "fields": fields})


class Connect:
    """A standalone worker of Connect; connectors come and go in it, so that its code is compiled when it counts."""

    def __init__(self, stack):
        self.directory, port = stack.directory + "/connect", free_port()
        self.url = f"http://127.0.0.1:{port}/connectors"
        database = re.search(r"@(.*)", stack.env["VOTE_DATABASE_URL"]).group(1)
        self.database_url = "jdbc:postgresql://" + database
        os.makedirs(self.directory, exist_ok=True)
        with open(self.directory + "/worker.properties", "w") as file:
            file.write(WORKER.format(brokers=stack.env["VOTE_KAFKA_BROKERS"], port=port, directory=self.directory,
                                     schema=schema()))
        subprocess.run([SCRIPTS + "/kafka-libs.sh", POM, LIBS], check=True, timeout=300, stdout=subprocess.DEVNULL)

    def start(self, log):
        self.process = subprocess.Popen(
            ["java", "-Xmx512m", "-cp", LIBS + "/*", "org.apache.kafka.connect.cli.ConnectStandalone",
             self.directory + "/worker.properties"], stdout=log, stderr=log, preexec_fn=die_with_parent)
        wait_until(self.answers, 60, "Connect ready")

    def answers(self):
        assert self.process.poll() is None, "Connect ended"
        try:
            return requests.get(self.url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def add(self, name, settings):
        config = {**BASE, "connection.url": self.database_url, **settings}
        answer = requests.post(self.url, json={"name": name, "config": config}, timeout=60)
        assert answer.status_code == 201, answer.text

    def assert_runs(self, name):
        tasks = requests.get(f"{self.url}/{name}/status", timeout=10).json().get("tasks", [])
        assert all(task["state"] != "FAILED" for task in tasks), json.dumps(tasks)

    def remove(self, name):
        requests.delete(f"{self.url}/{name}", timeout=60)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
