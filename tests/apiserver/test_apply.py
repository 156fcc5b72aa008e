# test_apply.py - a real API server takes what k8s/ has, as k8s/README.md says to give it. SPDX-License-Identifier: Apache-2.0
import glob
import json
import os
import re
import shlex

import pytest

from api_server import ApiServer
from manifests import OVERLAYS, Pod, name_of, render
from schemas import CRDS
from stack import ROOT, wait_until

README = open(os.path.join(ROOT, "k8s", "README.md")).read()


@pytest.fixture(scope="module", params=OVERLAYS)
def applied(request, tmp_path_factory):
    """An API server with the CRDs and one overlay."""
    server = ApiServer(tmp_path_factory.mktemp(request.param))
    try:
        server.start()
        server.overlay = request.param
        for file in glob.glob(os.path.join(CRDS, "*.yaml")):
            assert server.kubectl("apply", "--server-side", "-f", file).returncode == 0
        wait_until(lambda: server.kubectl("get", "kafkatopics,scaledobjects", "-A").returncode == 0, 60, "the CRDs are served")
        for namespace in ("votepipe", "kafka"):
            server.kubectl("create", "namespace", namespace)
        server.kubectl("-n", "votepipe", "create", "serviceaccount", "default")  # a controller's work, and none runs here
        server.first = apply(server)
        yield server
    finally:
        server.stop()


def apply(server, *arguments):
    return server.kubectl("apply", "--server-side", "--validate=strict", "-k",
                          os.path.join(ROOT, "k8s", "overlays", server.overlay), *arguments)


def versions(server):
    """What each object of the overlay is stored as: kind and name -> resourceVersion."""
    found = {}
    for thing in render(server.overlay).objects:
        namespace = ["-n", thing["metadata"]["namespace"]] if "namespace" in thing["metadata"] else []
        run = server.kubectl(*namespace, "get", thing["kind"], name_of(thing), "-o", "jsonpath={.metadata.resourceVersion}")
        assert run.returncode == 0, run.stderr
        found[thing["kind"], name_of(thing)] = run.stdout
    return found


def test_the_server_takes_every_object_without_a_warning(applied):
    assert (applied.first.returncode, applied.first.stderr) == (0, "")
    assert len(applied.first.stdout.splitlines()) == len(render(applied.overlay).objects)


def test_applying_it_again_changes_nothing(applied):
    before = versions(applied)
    assert apply(applied).returncode == 0
    assert versions(applied) == before


def pod_objects(overlay):
    """What the controllers would make of each workload."""
    for pod in render(overlay).pods():
        yield {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": pod.name + "-0", "namespace": "votepipe", "labels": pod.labels}, "spec": pod.spec}


def test_pod_security_admission_takes_each_pod(applied):
    for pod in pod_objects(applied.overlay):
        run = applied.create(pod, "--dry-run=server")
        assert (run.returncode, run.stderr) == (0, ""), name_of(pod)


@pytest.mark.parametrize("damage", [
    lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    lambda spec: spec["securityContext"].pop("seccompProfile"),
    lambda spec: spec["containers"][0]["securityContext"].update(capabilities={"add": ["NET_ADMIN"]}),
    lambda spec: spec.update(hostNetwork=True),
])
def test_pod_security_admission_refuses_a_pod_that_may_more(applied, damage):
    pod = next(pod_objects(applied.overlay))
    damage(pod["spec"])
    run = applied.create(pod, "--dry-run=server")
    assert run.returncode != 0 and 'violates PodSecurity "restricted' in run.stderr


@pytest.mark.parametrize("kind, damage", [
    ("Deployment", lambda spec: spec.update(replica=3)),
    ("Service", lambda spec: spec["ports"][0].update(port="eighty")),
    ("NetworkPolicy", lambda spec: spec.update(policyTypes=["Outgress"])),
])
def test_the_server_refuses_a_damaged_object(applied, kind, damage):
    thing = next(each for each in render(applied.overlay).all(kind))
    thing["metadata"]["name"] += "-damaged"
    damage(thing["spec"])
    assert applied.create(thing, "--dry-run=server").returncode != 0


def test_the_server_refuses_more_of_a_topic_than_the_crd_has(applied):
    topic = render("production").find("KafkaTopic", "vote.requests")
    topic["metadata"]["name"] += ".damaged"
    assert applied.create(topic, "--dry-run=server").returncode == 0
    topic["spec"]["partition"] = 6
    assert applied.create(topic, "--dry-run=server").returncode != 0


def readme_command(words):
    """The command of k8s/README.md that starts so, as a list; lines that end in a backslash go on."""
    text = README.replace("\\\n", " ")
    line = re.search(rf"^ +({re.escape(words)}.*)$", text, re.M)[1]
    line = line.replace('"$(cat k8s/shell.json)"', shlex.quote(open(os.path.join(ROOT, "k8s", "shell.json")).read()))
    return shlex.split(line)[1:]


@pytest.mark.parametrize("job", ["cronjob/vote-replay replay-1", "cronjob/vote-audit audit-now"])
def test_jobs_are_made_of_the_templates_as_the_readme_says(applied, job):
    command = readme_command(f"kubectl -n votepipe create job --from={job}")
    run = applied.kubectl(*command, "--dry-run=server", "-o", "name")
    assert (run.returncode, run.stderr) == (0, "")


def test_a_tail_in_a_pod_of_its_own_is_taken_as_the_readme_says(applied):
    command = readme_command("kubectl -n votepipe run vote-shell")
    tail = command.index("--")
    kept = [word for word in command[:tail] if word not in ("--rm", "-it")]
    run = applied.kubectl(*kept, "--dry-run=server", "-o", "json", *command[tail:])
    assert (run.returncode, run.stderr) == (0, "")
    pod = Pod({"kind": "Job", "metadata": {"name": "vote-shell"}, "spec": {"template": json.loads(run.stdout)}})
    assert pod.containers[0]["args"] == ["vote-tail", "-f"]
    assert pod.containers[0]["securityContext"]["readOnlyRootFilesystem"]
