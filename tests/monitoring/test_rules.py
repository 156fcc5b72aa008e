# test_rules.py - each alert fires on its series and is silent beside it, and somebody knows what to do then.
# SPDX-License-Identifier: Apache-2.0
import glob
import os
import re
import shutil
import subprocess

import pytest
import yaml

from monitoring import FOLDER, alerts, dashboards, metrics_in, plain_rules, queries, rules
from scrape import Series
from stack import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = sorted(glob.glob(HERE + "/*.test.yaml"))
RUNBOOK = os.path.join(ROOT, "pipelines", "runbook.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The plain rules beside the cases, as `promtool test rules` wants them."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(plain_rules())
    for case in CASES:
        shutil.copy(case, folder)
    return folder


def promtool(folder, *arguments):
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_sound(folder):
    assert f"{len(rules())} rules found" in promtool(folder, "check", "rules", "rules.yaml")


@pytest.mark.parametrize("case", [os.path.basename(path) for path in CASES])
def test_each_alert_fires_on_its_series_and_is_silent_beside_it(folder, case):
    assert "SUCCESS" in promtool(folder, "test", "rules", case)


def test_no_alert_is_without_a_case_in_which_it_fires_and_one_in_which_it_is_silent():
    fires, silent = set(), set()
    for path in CASES:
        for case in yaml.safe_load(open(path))["tests"]:
            fired = set()
            for moment in case["alert_rule_test"]:
                fired |= {(moment["alertname"], alert["exp_labels"]["severity"]) for alert in moment.get("exp_alerts", [])}
            fires |= fired
            if not fired:
                silent |= {moment["alertname"] for moment in case["alert_rule_test"]}
    assert fires == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}
    assert silent == {alert["alert"] for alert in alerts()}


def test_each_alert_says_what_it_is_how_urgent_and_where_to_read_on():
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, alert
        assert alert["annotations"]["runbook_url"].endswith("#" + alert["alert"].lower()), alert


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else():
    sections = re.findall(r"^## (Vote\w+)$", open(RUNBOOK).read(), re.M)
    assert sections == list(dict.fromkeys(sections))
    assert set(sections) == {alert["alert"] for alert in alerts()}


def test_each_section_of_the_runbook_says_what_it_means_how_to_see_it_and_what_to_do():
    for section in re.split(r"^## (?=Vote)", open(RUNBOOK).read(), flags=re.M)[1:]:
        marks = re.findall(r"^\*\*(Means|See|Do)\*\*", section, re.M)
        assert marks == ["Means", "See", "Do"], section.splitlines()[0]
        assert re.search(r"^    (vote-|psql|curl|kubectl)", section, re.M), section.splitlines()[0]


def test_each_metric_in_rules_and_dashboards_is_shown_by_a_daemon(watched):
    shown = {"up"}
    for daemon in watched.daemons.values():
        shown |= Series(daemon.metrics()).names()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    read = {(rule.get("alert") or rule["record"], metric) for rule in rules() for metric in metrics_in(rule["expr"])}
    read |= {(f"{name}: {title}", metric) for name, title, expr in queries("expr") for metric in metrics_in(expr)}
    assert len(read) > 100
    assert {(where, metric) for where, metric in read if metric not in shown | recorded} == set()


def test_each_metric_of_a_daemon_is_on_a_dashboard(watched):
    drawn = set().union(*(metrics_in(expr) for _, _, expr in queries("expr")))
    for name, daemon in watched.daemons.items():
        series = Series(daemon.metrics())
        missing = {family for family in series.types if not any(metric.startswith(family) for metric in drawn)}
        assert missing == set(), name


def test_the_kustomization_has_every_rule_and_dashboard():
    def files(folder):
        return {os.path.join(folder, name) for name in os.listdir(os.path.join(FOLDER, folder))}
    kustomization = yaml.safe_load(open(os.path.join(FOLDER, "kustomization.yaml")))
    assert set(kustomization["resources"]) == files("rules") | {"pods.yaml"}
    assert set(kustomization["configMapGenerator"][0]["files"]) == files("dashboards")


def test_plain_rules_are_those_of_the_resources():
    resources = [yaml.safe_load(open(path)) for path in sorted(glob.glob(FOLDER + "/rules/*.yaml"))]
    assert {resource["kind"] for resource in resources} == {"PrometheusRule"}
    assert yaml.safe_load(plain_rules())["groups"] == [group for resource in resources for group in resource["spec"]["groups"]]


def test_dashboards_read_what_the_rules_record():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    read = set().union(*(metrics_in(expr) for _, _, expr in queries("expr")), *(metrics_in(rule["expr"]) for rule in rules()))
    assert {metric for metric in read if ":" in metric} - recorded == set()
    assert recorded - read == set() and dashboards()
