# test_overlays.py - each overlay builds, is what Kubernetes' schemas have, and keeps the policies; and each policy
# notices when it is broken. SPDX-License-Identifier: Apache-2.0
import copy
import os
import re

import pytest
import yaml

import damages
import policies
import schemas
from manifests import DAEMONS, OVERLAYS, built, matches, name_of, render
from stack import ROOT


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return render(request.param)


def test_an_overlay_has_every_daemon_and_each_object_once(overlay):
    names = [(thing["kind"], thing["metadata"].get("namespace"), name_of(thing)) for thing in overlay.objects]
    assert len(names) == len(set(names))
    assert set(DAEMONS) <= {pod.name for pod in overlay.pods()}


def test_each_object_is_valid_for_the_kubernetes_version_and_the_crds(overlay):
    assert [error for thing in overlay.objects for error in schemas.errors(thing)] == []


@pytest.mark.parametrize("kind, name, damage", [
    ("Deployment", "vote-ingest", lambda spec: spec.update(replica=2)),
    ("Deployment", "vote-ingest", lambda spec: spec["template"]["spec"]["containers"][0].update(ports="8080")),
    ("NetworkPolicy", "to-kafka", lambda spec: spec["egress"][0].update(port=9092)),
    ("KafkaTopic", "vote.dead", lambda spec: spec.update(partition=6)),
    ("KafkaTopic", "vote.dead", lambda spec: spec.update(replicas="3")),
    ("ScaledObject", "vote-commit", lambda spec: spec.pop("scaleTargetRef")),
    ("ScaledObject", "vote-commit", lambda spec: spec.update(maxReplicas=6)),
    ("HorizontalPodAutoscaler", "vote-notify", lambda spec: spec["metrics"][0].update(type=6)),
    ("Ingress", "vote-notify", lambda spec: spec["rules"][0]["http"]["paths"][0].pop("pathType")),
])
def test_an_object_with_a_wrong_field_is_not_valid(kind, name, damage):
    thing = render("production").find(kind, name)
    damage(thing["spec"])
    assert schemas.errors(thing)


def test_an_api_that_the_version_does_not_serve_is_not_valid():
    thing = dict(render("production").find("CronJob", "vote-audit"), apiVersion="batch/v1beta1")
    assert schemas.errors(thing) == ["there is no CronJob in batch/v1beta1"]


def test_scraping_and_rules_are_valid_for_the_operators_crds():
    monitoring = built("../monitoring")
    assert {thing["kind"] for thing in monitoring} >= {"PodMonitor", "PrometheusRule"}
    assert [error for thing in monitoring for error in schemas.errors(thing)] == []


@pytest.mark.parametrize("kind, damage", [
    ("PodMonitor", lambda spec: spec["podMetricsEndpoints"][0].update(ports="admin")),
    ("PodMonitor", lambda spec: spec.pop("selector")),
    ("PrometheusRule", lambda spec: spec["groups"][0].pop("name")),
    ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].update(four="5m"))])
def test_what_the_operator_does_not_know_is_not_valid(kind, damage):
    thing = copy.deepcopy(next(thing for thing in built("../monitoring") if thing["kind"] == kind))
    damage(thing["spec"])
    assert schemas.errors(thing)


def test_prometheus_scrapes_every_daemon_and_nothing_else(overlay):
    monitor = yaml.safe_load(open(os.path.join(ROOT, "k8s", "monitoring", "pods.yaml")))["spec"]
    endpoint = monitor["podMetricsEndpoints"][0]
    kept = next(rule["regex"] for rule in endpoint["relabelings"] if rule.get("action") == "keep")
    scraped = {pod.name for pod in overlay.pods() if matches(monitor["selector"], pod.labels) and endpoint["port"] in pod.ports()
               and re.fullmatch(kept, pod.containers[0]["name"])}
    assert scraped == set(DAEMONS)


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.__name__)
def test_an_overlay_keeps_the_policy(overlay, policy):
    assert list(policy(overlay)) == []


CASES = [(name, *case) for name, own in (("dev", damages.IN_DEV), ("production", damages.IN_PRODUCTION))
         for case in damages.DAMAGES + own]


@pytest.mark.parametrize("name, policy, what, damage", CASES, ids=[f"{c[0]}-{c[1].__name__}-{c[2]}" for c in CASES])
def test_a_policy_notices(name, policy, what, damage):
    manifests = render(name)
    damage(manifests)
    assert list(policy(manifests)), what


def test_every_policy_is_seen_to_fail():
    assert {policy for policy, _, _ in damages.DAMAGES + damages.IN_DEV + damages.IN_PRODUCTION} == set(policies.POLICIES)
