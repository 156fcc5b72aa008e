# manifests.py - the objects of an overlay as kustomize renders them, and questions about them.
# SPDX-License-Identifier: Apache-2.0
import copy
import functools
import os
import subprocess

import yaml

from stack import ROOT

HERE = os.path.join(ROOT, "tests", "k8s")
OVERLAYS = ("dev", "production")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
PLACEHOLDERS = {"VOTE_REDIS_URL": "redis://:placeholder@redis", "VOTE_DATABASE_URL": "postgresql://postgres/votepipe"}
DAEMONS = ("vote-ingest", "vote-commit", "vote-invalidate", "vote-notify")


@functools.cache
def tool(name):
    """Where what checks k8s/ is; fetched or built the first time."""
    return subprocess.run([os.path.join(HERE, "tools.sh"), name], check=True, stdout=subprocess.PIPE, text=True,
                          timeout=1800).stdout.strip()


@functools.cache
def built(overlay):
    text = subprocess.run([tool("kustomize"), "build", os.path.join(ROOT, "k8s", "overlays", overlay)], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=120).stdout
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def render(overlay):
    """A copy of its own for each caller, to read or to damage."""
    return Manifests(copy.deepcopy(built(overlay)))


def name_of(thing):
    return thing["metadata"]["name"]


def matches(selector, labels):
    """Whether a label selector selects what has these labels."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        assert expression["operator"] == "In", "only In is used here"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


class Pod:
    """What a workload makes pods of."""

    def __init__(self, workload):
        self.workload, self.kind, self.name = workload, workload["kind"], name_of(workload)
        self.namespace = workload["metadata"].get("namespace")
        spec = workload["spec"]["jobTemplate"]["spec"] if self.kind == "CronJob" else workload["spec"]
        self.template = spec["template"]
        self.labels, self.spec = self.template["metadata"]["labels"], self.template["spec"]
        self.containers = self.spec["containers"]
        self.is_ours = self.name.startswith("vote-")

    def ports(self):
        return {port["name"]: port["containerPort"] for container in self.containers for port in container.get("ports", [])}


class Manifests:
    def __init__(self, objects):
        self.objects = objects

    def all(self, *kinds):
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def find(self, kind, name):
        return next(thing for thing in self.all(kind) if name_of(thing) == name)

    def pods(self):
        return [Pod(workload) for workload in self.all(*WORKLOADS)]

    def pod(self, name):
        return next(pod for pod in self.pods() if pod.name == name)

    def environment(self, container):
        """What the container's tool finds in its environment; what only a cluster knows is a placeholder."""
        environment = {}
        for source in container.get("envFrom", []):
            environment.update(self.find("ConfigMap", source["configMapRef"]["name"])["data"])
        for variable in container.get("env", []):
            environment[variable["name"]] = variable.get("value", PLACEHOLDERS.get(variable["name"], "placeholder"))
        return environment
