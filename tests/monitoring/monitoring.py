# monitoring.py - the rules and dashboards of k8s/monitoring, read as Prometheus and Grafana read them.
# SPDX-License-Identifier: Apache-2.0
import glob
import json
import os
import re
import subprocess

import yaml

from stack import ROOT

FOLDER = os.path.join(ROOT, "k8s", "monitoring")
# A name behind which no "(" comes (that is a function), or a "{" comes.
METRIC = re.compile(r"\b((?:vote|process|dependency)[a-z_:0-9]*|up)\b(?!\s*\()")


def plain_rules():
    """What plain.sh prints."""
    return subprocess.run([os.path.join(FOLDER, "plain.sh")], capture_output=True, text=True, check=True, timeout=60).stdout


def rules():
    return [rule for group in yaml.safe_load(plain_rules())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def dashboards():
    """{file name: dashboard}"""
    return {os.path.basename(path): json.load(open(path)) for path in sorted(glob.glob(FOLDER + "/dashboards/*.json"))}


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(kind):
    """(dashboard, panel, query) of every target for a kind of data source: "expr" or "rawSql"."""
    return [(name, panel["title"], target[kind]) for name, dashboard in dashboards().items() for panel in panels(dashboard)
            for target in panel["targets"] if kind in target]


def metrics_in(expression):
    """The metrics that an expression reads, without its selectors and labels."""
    bare = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', '""', expression))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return set(METRIC.findall(bare))
