# policies.py - what must be so in every overlay. Each takes the rendered objects and yields a line for each breach.
# SPDX-License-Identifier: Apache-2.0
import os
import re

import network
from manifests import DAEMONS, matches, name_of
from stack import ROOT
from tool_table import Refused, config_of, is_read, port_of, seconds

ROOM_SECONDS = 5  # between the longest drain and the kill
PARTITIONS_PRESET = 6  # of vote-admin topics


def images_have_a_version(manifests):
    for pod in manifests.pods():
        for container in pod.containers:
            tag = container["image"].rpartition("/")[2].partition("@")[0].partition(":")[2]
            if "@sha256:" not in container["image"] and tag in ("", "latest"):
                yield f"{pod.name}: {container['image']}"


def requests_and_limits_are_set(manifests):
    for pod in manifests.pods():
        for container in pod.containers:
            for kind in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    if not container.get("resources", {}).get(kind, {}).get(resource):
                        yield f"{pod.name}: no {kind} of {resource}"


def pods_are_restricted(manifests):
    for pod in manifests.pods():
        security = pod.spec.get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{pod.name}: may run as root"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name}: no seccomp profile"
        if any(pod.spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name}: shares the host's namespaces"
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            yield f"{pod.name}: mounts the host's files"
        for container in pod.containers:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{pod.name}: may get privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.name}: has capabilities"
            if pod.is_ours and not own.get("readOnlyRootFilesystem"):
                yield f"{pod.name}: may write its root"
    for namespace in manifests.all("Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"namespace {name_of(namespace)} takes any pod"


def pods_cannot_call_the_api_server(manifests):
    accounts = {name_of(account) for account in manifests.all("ServiceAccount")}
    for pod in manifests.pods():
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: has a token"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: finds services in its environment"
        if pod.spec.get("serviceAccountName", "default") not in accounts | {"default"}:
            yield f"{pod.name}: its service account is not there"


def selectors_match(manifests):
    pods = manifests.pods()
    for pod in pods:
        selector = pod.workload["spec"].get("selector")
        if selector and not matches(selector, pod.labels):
            yield f"{pod.kind} {pod.name} does not select its own pods"
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            keys = constraint.get("matchLabelKeys", [])
            if not matches(constraint["labelSelector"], pod.labels) or any(key not in pod.labels for key in keys):
                yield f"{pod.name}: spreads others"
    for service in manifests.all("Service"):
        chosen = [pod.name for pod in pods if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)]
        if chosen != [name_of(service)]:
            yield f"service {name_of(service)} selects {chosen}"
    for budget in manifests.all("PodDisruptionBudget"):
        chosen = [pod.name for pod in pods if matches(budget["spec"]["selector"], pod.labels)]
        if chosen != [name_of(budget)]:
            yield f"budget {name_of(budget)} selects {chosen}"


def references_are_there(manifests):
    """What objects name of each other; secrets are named in k8s/README.md, which says how to make them."""
    there = {(thing["kind"], name_of(thing)) for thing in manifests.objects}
    readme = open(os.path.join(ROOT, "k8s", "README.md")).read()
    for pod in manifests.pods():
        for container in pod.containers:
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                    yield f"{pod.name}: {source}"
            for variable in container.get("env", []):
                secret = variable.get("valueFrom", {}).get("secretKeyRef")
                if secret and (secret["name"] != "votepipe" or f"{secret['key']}=" not in readme):
                    yield f"{pod.name}: README makes no secret {secret}"
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            if mounts != {volume["name"] for volume in pod.spec.get("volumes", [])}:
                yield f"{pod.name}: mounts {sorted(mounts)}"
        for volume in pod.spec.get("volumes", []):
            for item in volume.get("secret", {}).get("items", []):
                if f"{item['key']}=" not in readme:
                    yield f"{pod.name}: README makes no secret {item['key']}"
    for scaler in manifests.all("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in there:
            yield f"{name_of(scaler)} scales {target}"
    for pod in manifests.pods():
        if pod.kind == "StatefulSet" and ("Service", pod.workload["spec"]["serviceName"]) not in there:
            yield f"{pod.name}: its service is not there"


def secrets_are_references(manifests):
    for secret in manifests.all("Secret"):
        yield f"secret {name_of(secret)} is in the repository"
    written = [(name_of(each), name, value) for each in manifests.all("ConfigMap") for name, value in each["data"].items()]
    written += [(pod.name, variable["name"], variable.get("value", "")) for pod in manifests.pods()
                for container in pod.containers for variable in container.get("env", [])]
    for owner, name, value in written:
        if re.search(r"PASSWORD|SECRET$|TOKEN|DATABASE_URL|REDIS_URL", name) and value or re.search(r"://[^/@]*:[^/@]+@", value):
            yield f"{owner}: {name} is written out"


def ports_have_a_container(manifests):
    pods = manifests.pods()
    services = {name_of(service): service["spec"] for service in manifests.all("Service")}
    for name, spec in services.items():
        for pod in pods:
            if matches({"matchLabels": spec["selector"]}, pod.labels):
                for port in spec["ports"]:
                    if port.get("targetPort") not in pod.ports():
                        yield f"service {name}: {pod.name} has no port {port.get('targetPort')}"
    for ingress in manifests.all("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                if service["port"].get("name") not in [p["name"] for p in services.get(service["name"], {}).get("ports", [])]:
                    yield f"ingress {name_of(ingress)}: no port {service}"
    for policy in manifests.all("NetworkPolicy"):
        named = [port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]]
        for pod in pods:
            if matches(policy["spec"]["podSelector"], pod.labels):
                for port in named:
                    if port not in pod.ports() and port not in pod.ports().values():
                        yield f"policy {name_of(policy)}: {pod.name} has no port {port}"


def tools_start_with_what_they_are_given(manifests):
    """Flags, values, names of variables and ports, as the tool's own table has them."""
    for pod in manifests.pods():
        for container in pod.containers:
            if not pod.is_ours:
                continue
            try:
                config = config_of(manifests, container)
            except Refused as refused:
                yield f"{pod.name}: {refused}"
                continue
            for variable in manifests.environment(container):
                if not is_read(config, variable):
                    yield f"{pod.name}: {variable} means nothing to {container['command'][0]}"
            listens = {port_of(config[option][0]) for option in ("listen", "admin-listen") if option in config}
            if listens != set(pod.ports().values()):
                yield f"{pod.name}: listens on {sorted(listens)}, not {pod.ports()}"


def pods_are_given_time_to_stop(manifests):
    for pod in manifests.pods():
        config = config_of(manifests, pod.containers[0]) if pod.is_ours else {}
        if "drain-timeout" not in config:
            continue
        drain = seconds(config["drain-timeout"][0])
        before = pod.containers[0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if pod.spec.get("terminationGracePeriodSeconds", 30) < before + drain + ROOM_SECONDS:
            yield f"{pod.name}: {before} s and {drain} s of draining end in a kill"
        takes_calls = any(matches({"matchLabels": service["spec"]["selector"]}, pod.labels) and
                          service["spec"].get("clusterIP") != "None" for service in manifests.all("Service"))
        if takes_calls and seconds(config["drain-delay"][0]) < 1:
            yield f"{pod.name}: its listener closes before load balancers know"


def probes_ask_the_admin_port(manifests):
    for name in DAEMONS:
        container = manifests.pod(name).containers[0]
        asked = {}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            call = container.get(probe, {}).get("httpGet", {})
            asked[probe] = call.get("path")
            if call.get("port") != "admin" or call.get("path") not in ("/healthz", "/readyz"):
                yield f"{name}: {probe} asks {call}"
        if asked["livenessProbe"] != "/healthz":
            yield f"{name}: would be restarted because something else is away"
        if "/readyz" not in (asked["readinessProbe"], asked["startupProbe"]):
            yield f"{name}: is called before it is ready"


def daemons_survive_a_drained_node(manifests):
    budgets = {name_of(budget): budget["spec"] for budget in manifests.all("PodDisruptionBudget")}
    for name in DAEMONS:
        if budgets.get(name, {}).get("maxUnavailable") != 1:
            yield f"{name}: no budget"
        keys = [each["topologyKey"] for each in manifests.pod(name).spec.get("topologySpreadConstraints", [])]
        if sorted(keys) != ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]:
            yield f"{name}: spreads over {keys}"


def commit_is_a_static_member(manifests):
    pod = manifests.pod("vote-commit")
    given = {each["name"]: each.get("valueFrom") for each in pod.containers[0]["env"]}
    if pod.kind != "StatefulSet" or given.get("VOTE_GROUP_INSTANCE_ID") != {"fieldRef": {"fieldPath": "metadata.name"}}:
        yield "vote-commit joins its group under a new name at each start"


def partitions_bound_commit(manifests):
    topics = {name_of(topic): topic["spec"]["partitions"] for topic in manifests.all("KafkaTopic")}
    partitions = topics.get("vote.requests", PARTITIONS_PRESET)
    most = manifests.pod("vote-commit").workload["spec"].get("replicas", 0)
    for scaler in manifests.all("ScaledObject"):
        most = max(most, scaler["spec"]["maxReplicaCount"])
    if not 0 < most <= partitions:
        yield f"{most} vote-commit over {partitions} partitions"


def autoscalers_have_the_only_say(manifests):
    for scaler in manifests.all("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if "replicas" in manifests.find(target["kind"], target["name"])["spec"]:
            yield f"{target['name']}: each apply would set its replicas back"


def polling_is_sticky(manifests):
    """The cookie of each kind of controller, wherever an Ingress leads to vote-notify."""
    for ingress in manifests.all("Ingress"):
        services = {path["backend"]["service"]["name"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]}
        if "vote-notify" not in services:
            continue
        own = ingress["metadata"].get("annotations", {})
        traefik = manifests.find("Service", "vote-notify")["metadata"].get("annotations", {})
        if own.get("nginx.ingress.kubernetes.io/affinity") != "cookie" or "haproxy.org/cookie-persistence" not in own or \
                traefik.get("traefik.ingress.kubernetes.io/service.sticky.cookie") != "true":
            yield f"ingress {name_of(ingress)}: a poll may reach another instance"


def arrows_wanted(manifests, pod):
    """Those of the picture: a tool talks to what its table has an address for; browsers and Prometheus to its ports."""
    servers = {"kafka-brokers": "kafka:9092", "redis-url": "redis:6379", "database-url": "postgres:5432"}
    if not pod.is_ours:
        return {"kube-system:53"}, {f"{client.name}:{port}" for client in manifests.pods() if client.is_ours
                       for port in pod.ports().values() if f"{pod.name}:{port}" in arrows_wanted(manifests, client)[0]}
    config = config_of(manifests, pod.containers[0])
    out = {"kube-system:53"} | {address for option, address in servers.items() if option in config}
    into = {f"{'monitoring' if name == 'admin' else 'traefik'}:{port}" for name, port in pod.ports().items()}
    return out, into


def network_opens_the_arrows_and_no_more(manifests, not_rendered=("vote-shell", "vote-topics")):
    for pod in manifests.pods():
        out, into = arrows_wanted(manifests, pod)
        into |= {arrow for arrow in network.arrows(manifests, pod, "Ingress") if arrow.startswith(not_rendered)}
        for direction, wanted in (("Egress", out), ("Ingress", into)):
            if not network.is_denied_otherwise(manifests, pod.namespace, direction):
                yield f"{pod.name}: {direction} is open"
            found = network.arrows(manifests, pod, direction)
            if found != wanted:
                yield f"{pod.name}: {direction} too many {sorted(found - wanted)}, too few {sorted(wanted - found)}"


def names_are_ours(manifests):
    for thing in manifests.objects:
        if thing["kind"] != "Namespace" and thing["metadata"].get("namespace") not in ("votepipe", "kafka"):
            yield f"{thing['kind']} {name_of(thing)} has no namespace"
    for pod in manifests.pods():
        if pod.labels.get("app.kubernetes.io/part-of") != "votepipe":
            yield f"{pod.name} is part of nothing"


POLICIES = [images_have_a_version, requests_and_limits_are_set, pods_are_restricted, pods_cannot_call_the_api_server,
            selectors_match, references_are_there, secrets_are_references, ports_have_a_container,
            tools_start_with_what_they_are_given, pods_are_given_time_to_stop, probes_ask_the_admin_port,
            daemons_survive_a_drained_node, commit_is_a_static_member, partitions_bound_commit,
            autoscalers_have_the_only_say, polling_is_sticky, network_opens_the_arrows_and_no_more, names_are_ours]
