# test_image.py - k8s/Dockerfile and pipelines/compose.yaml, as far as they can be checked without an engine.
# SPDX-License-Identifier: Apache-2.0
import copy
import json
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

from manifests import DAEMONS, render, tool
from stack import BIN, ROOT
from tool_table import Refused, is_read, port_of, print_config, seconds

DOCKERFILE = open(os.path.join(ROOT, "k8s", "Dockerfile")).read()
LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]
TRIPLET = f"{os.uname().machine}-linux-gnu"


def linked_packages():
    """Debian's packages of the libraries that the tools name, but for the C library's."""
    names = set()
    for name in sorted(os.listdir(BIN)):
        dynamic = subprocess.run(["readelf", "-d", os.path.join(BIN, name)], check=True, capture_output=True, text=True).stdout
        names |= set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    files = [f"{folder}/{TRIPLET}/{name}" for folder in ("/usr/lib", "/lib") for name in names]
    owners = subprocess.run(["dpkg", "-S", *files], capture_output=True, text=True).stdout
    return {line.partition(":")[0] for line in owners.splitlines()} - {"libc6"}


def depends(package):
    text = subprocess.run(["dpkg-query", "-W", "-f", "${Depends}", package], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", text))


@pytest.mark.skipif("bookworm" not in open("/etc/os-release").read() or "asan" in BIN, reason="packages have other names")
def test_the_image_has_the_libraries_that_the_tools_are_linked_with_and_no_others():
    asked = LAST_STAGE.partition("--no-install-recommends")[2].partition("&&")[0]
    installed = set(asked.replace("\\", "").split()) - {"ca-certificates"}
    linked = linked_packages()
    brought = set().union(*(depends(package) for package in installed))
    assert installed <= linked
    assert linked - installed <= brought


def test_the_image_runs_as_nobody_and_says_what_it_is():
    assert re.search(r"^USER 10001:10001$", LAST_STAGE, re.M)
    for label in ("title", "version", "revision", "licenses", "base.name"):
        assert f"org.opencontainers.image.{label}=" in LAST_STAGE
    assert "apt-get install -y --no-install-recommends" in LAST_STAGE and "rm -rf /var/lib/apt/lists/*" in LAST_STAGE


def test_the_image_has_the_user_and_the_page_that_the_manifests_name():
    manifests = render("dev")
    assert {pod.spec["securityContext"]["runAsUser"] for pod in manifests.pods() if pod.is_ours} == {10001}
    assert f"{manifests.environment(manifests.pod('vote-ingest').containers[0])['VOTE_WEB_ROOT']}/" in LAST_STAGE


def test_one_version_stands_in_tools_image_manifests_and_compose():
    version = subprocess.run([os.path.join(BIN, "vote-ingest"), "--version"], check=True, capture_output=True,
                             text=True).stdout.split()[1]
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.M) == [version]
    for overlay in ("dev", "production"):
        assert {container["image"].rpartition(":")[2] for pod in render(overlay).pods() if pod.is_ours
                for container in pod.containers} == {version}
    assert {service["image"] for service in compose()["services"].values() if is_ours(service)} == {f"votepipe:{version}"}


def test_kafka_has_the_version_of_the_local_stack():
    pom = open(os.path.join(ROOT, "pipelines", "kafka", "pom.xml")).read()
    version = re.search(r"kafka_2.13</artifactId>\s*<version>(.+)</version>", pom)[1]
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{version}"
    assert render("dev").pod("kafka").containers[0]["image"] == f"apache/kafka:{version}"


def compose():
    return yaml.safe_load(open(os.path.join(ROOT, "pipelines", "compose.yaml")))


def is_ours(service):
    return service["image"].startswith("votepipe:")


def schema_errors(description):
    schema = json.load(open(tool("compose")))
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(description)]


def breaches(description):
    """What would keep a service from coming up, a line each."""
    services = description["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if needed not in services:
                yield f"{name} waits for {needed}, which is not there"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[needed]:
                yield f"{name} waits for the health of {needed}, which says nothing of it"
        for volume in service.get("volumes", []):
            if volume.partition(":")[0] not in description["volumes"]:
                yield f"{name}: {volume} is not declared"
        if service["image"].endswith(":latest") or ":" not in service["image"]:
            yield f"{name}: {service['image']}"
        if is_ours(service):
            yield from breaches_of_tool(name, service)


def breaches_of_tool(name, service):
    try:
        config = print_config(tuple(service["command"]), tuple(sorted(service["environment"].items())))
    except Refused as refused:
        yield f"{name}: {refused}"
        return
    yield from (f"{name}: {variable} means nothing" for variable in service["environment"] if not is_read(config, variable))
    listens = {port_of(config[option][0]) for option in ("listen", "admin-listen") if option in config}
    published = {port_of(port) for port in service.get("ports", [])}
    if listens != published:
        yield f"{name} listens on {sorted(listens)} and publishes {sorted(published)}"
    if "drain-timeout" in config and seconds(service["stop_grace_period"]) <= seconds(config["drain-timeout"][0]):
        yield f"{name}: is killed while it drains"


def test_the_compose_file_is_what_the_compose_specification_has():
    assert schema_errors(compose()) == []


def test_the_compose_file_brings_up_every_daemon_with_what_it_understands():
    description = compose()
    assert list(breaches(description)) == []
    assert set(DAEMONS) == {service["command"][0] for service in description["services"].values() if is_ours(service)} - {"vote-admin"}


@pytest.mark.parametrize("damage", [
    lambda services: services["ingest"]["depends_on"].update(cache={"condition": "service_healthy"}),
    lambda services: services["redis"].pop("healthcheck"),
    lambda services: services["commit"]["environment"].update(VOTE_REDIS="redis://redis"),
    lambda services: services["commit"].update(command=["vote-commit", "--bach", "1"]),
    lambda services: services["notify"].update(ports=["127.0.0.1:8081:8080"]),
    lambda services: services["notify"].update(stop_grace_period="10s"),
    lambda services: services["kafka"].update(image="apache/kafka:latest"),
    lambda services: services["kafka"].update(volumes=["data:/var/lib/kafka/data"]),
])
def test_a_compose_file_that_would_not_come_up_is_noticed(damage):
    description = copy.deepcopy(compose())
    damage(description["services"])
    assert list(breaches(description))


def test_a_field_that_compose_does_not_have_is_noticed():
    description = compose()
    description["services"]["redis"]["health_check"] = {}
    assert schema_errors(description)
