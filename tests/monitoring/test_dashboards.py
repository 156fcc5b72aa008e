# test_dashboards.py - every panel is asked what Grafana would ask, of a real Prometheus that scrapes the running stack and of
# its Postgres. SPDX-License-Identifier: Apache-2.0
import itertools
import re

import confluent_kafka
import pytest
import requests

from conftest import DAEMONS
from monitoring import alerts, dashboards, panels, queries
from stack import free_port, wait_until

VARIABLES = {"$namespace": ".*", "$instance": ".*", "$__rate_interval": "30s"}


def filled(text, stage):
    for name, value in {**VARIABLES, "$stage": stage}.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


class Prometheus:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path, **parameters):
        answer = requests.get(self.url + path, params=parameters, timeout=30).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]

    def alerts(self):
        """(name, state, stage or reason) of what is pending or fires."""
        return {(alert["labels"]["alertname"], alert["state"], alert["labels"].get("job") or alert["labels"].get("reason"))
                for alert in self.get("alerts")["alerts"]}


@pytest.fixture(scope="module")
def prometheus(watched):
    port = free_port()
    folder = watched.directory + "/prometheus"
    targets = [f"{name}=127.0.0.1:{tool.admin_port}" for name, tool in watched.daemons.items()]
    watched.script("prometheus", "start", folder, str(port), *targets, env={"PROMETHEUS_INTERVAL": "1s"})
    prometheus = Prometheus(port)
    wait_until(lambda: len(prometheus.query("up == 1")) == 4, 120, "four targets are up")
    wait_until(lambda: prometheus.query("vote:slo_burn:rate3d"), 120, "the rules are evaluated")
    yield prometheus
    watched.script("prometheus", "stop", folder)


def test_prometheus_takes_the_rules_and_evaluates_each(prometheus):
    def health():
        return [rule["health"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    wait_until(lambda: "unknown" not in health(), 30, "every rule was evaluated")
    assert set(health()) == {"ok"} and len(health()) > 50


@pytest.mark.parametrize("name,title", dict.fromkeys((name, title) for name, title, _ in queries("expr")))
def test_each_query_of_a_panel_returns_a_series(prometheus, name, title):
    """A panel of one stage's own metrics returns something for that stage, and is empty for others."""
    for board, panel, expr in queries("expr"):
        if (board, panel) != (name, title):
            continue
        stages = DAEMONS if "$stage" in expr else [""]
        wait_until(lambda: any(prometheus.query(filled(expr, stage)) for stage in stages), 60, expr)


def test_a_healthy_stack_fires_no_alert(prometheus):
    firing = {alert for alert in prometheus.alerts() if alert[1] == "firing"}
    assert firing == set()


def test_a_dead_letter_fires_its_alert_and_a_stage_that_is_stopped_is_on_its_way_to_one(watched, prometheus):
    producer = confluent_kafka.Producer({"bootstrap.servers": watched.env["VOTE_KAFKA_BROKERS"]})
    producer.produce("vote.requests", key="watched-1", value="no request")
    assert producer.flush(30) == 0
    wait_until(lambda: ("VoteDeadLetters", "firing", "undecodable") in prometheus.alerts(), 60, "the alert fires")
    notify = watched.daemons["vote-notify"]
    notify.stop()
    try:
        wait_until(lambda: ("VoteStageDown", "pending", "vote-notify") in prometheus.alerts(), 60, "the alert is pending")
    finally:
        notify.start()
    wait_until(lambda: not any(name == "VoteStageDown" for name, _, _ in prometheus.alerts()), 60, "the alert goes")


def in_sql(text, project):
    """As Grafana's Postgres data source fills its macros."""
    text = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 between now() - interval '1 hour' and now()", text)
    text = re.sub(r"\$__timeGroupAlias\((\w+), 1m\)", r"date_trunc('minute', \1) as time", text)
    text = text.replace("${project:sqlstring}", f"'{project}'")
    assert "$" not in text, text
    return text


@pytest.mark.parametrize("name,title", dict.fromkeys((name, title) for name, title, _ in queries("rawSql")))
def test_each_statement_of_a_panel_runs_and_those_that_count_votes_find_some(watched, name, title):
    for panel in panels(dashboards()[name]):
        if panel["title"] != title:
            continue
        for target in panel["targets"]:
            connection = watched.connect()
            with connection, connection.cursor() as cursor:
                cursor.execute(in_sql(target["rawSql"], "watched-1"))
                columns, rows = [column.name for column in cursor.description], cursor.fetchall()
            connection.close()
            assert (columns[0] == "time") == (target["format"] == "time_series"), columns
            quiet = {"Why not": "every request was committed", "Owner was told": "the project has no owner"}
            # votes_per_hour has the start of the hour, which the last hour need not have in it
            assert rows or title in quiet or title == "All projects", target["rawSql"]


def test_a_role_that_only_reads_sees_all_that_the_project_panels_ask_for(watched):
    connection = watched.connect()
    with connection.cursor() as cursor:
        cursor.execute("create role grafana; grant usage on schema vote to grafana; "
                       "grant select on all tables in schema vote to grafana; set local role grafana")
        for _, _, statement in queries("rawSql"):
            cursor.execute(in_sql(statement, "watched-1"))
        with pytest.raises(Exception, match="permission denied"):
            cursor.execute("delete from vote.votes")
    connection.close()


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_is_whole(name):
    board = dashboards()[name]
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels(board):
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"].strip("${}") in variables, panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFG"[:len(panel["targets"])]), panel["title"]


@pytest.mark.parametrize("name", dashboards())
def test_panels_do_not_lie_over_each_other(name):
    def cells(panel):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
    taken = set()
    for panel in dashboards()[name]["panels"]:
        assert not taken & cells(panel), panel["title"]
        taken |= cells(panel)


def test_dashboards_have_different_names_and_alerts_are_on_the_overview():
    boards = dashboards()
    assert len({board["uid"] for board in boards.values()}) == len({board["title"] for board in boards.values()}) == 3
    assert any("ALERTS" in expr for name, _, expr in queries("expr") if name == "overview.json")
    assert all(alert["alert"].startswith("Vote") for alert in alerts())
