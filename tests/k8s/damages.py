# damages.py - for each policy, changes to an overlay that it must notice. SPDX-License-Identifier: Apache-2.0
import policies


def container(manifests, name="vote-ingest"):
    return manifests.pod(name).containers[0]


def variable(manifests, pod, name):
    return next(each for each in container(manifests, pod)["env"] if each["name"] == name)


def policy(manifests, name):
    return manifests.find("NetworkPolicy", name)["spec"]


def drop(manifests, kind, name):
    manifests.objects.remove(manifests.find(kind, name))


def narrow(manifests, name, pod):
    policy(manifests, name)["podSelector"]["matchExpressions"][0]["values"].remove(pod)


def widen(manifests, name, pod):
    policy(manifests, name)["podSelector"]["matchExpressions"][0]["values"].append(pod)


# (policy, what is done, how); all but the last few in both overlays.
DAMAGES = [
    (policies.images_have_a_version, "latest", lambda m: container(m).update(image="votepipe:latest")),
    (policies.images_have_a_version, "no tag", lambda m: container(m).update(image="registry:5000/votepipe")),
    (policies.requests_and_limits_are_set, "no memory limit", lambda m: container(m)["resources"]["limits"].pop("memory")),
    (policies.pods_are_restricted, "root", lambda m: m.pod("vote-commit").spec["securityContext"].pop("runAsNonRoot")),
    (policies.pods_are_restricted, "no seccomp", lambda m: m.pod("vote-audit").spec["securityContext"].pop("seccompProfile")),
    (policies.pods_are_restricted, "writable root",
     lambda m: container(m)["securityContext"].update(readOnlyRootFilesystem=False)),
    (policies.pods_are_restricted, "a capability",
     lambda m: container(m)["securityContext"]["capabilities"].update(add=["NET_RAW"])),
    (policies.pods_are_restricted, "an open namespace",
     lambda m: m.find("Namespace", "votepipe")["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"})),
    (policies.pods_cannot_call_the_api_server, "a token",
     lambda m: m.pod("vote-notify").spec.update(automountServiceAccountToken=True)),
    (policies.pods_cannot_call_the_api_server, "service links", lambda m: m.pod("vote-notify").spec.pop("enableServiceLinks")),
    (policies.selectors_match, "a service of nothing",
     lambda m: m.find("Service", "vote-ingest")["spec"].update(selector={"app.kubernetes.io/name": "ingest"})),
    (policies.selectors_match, "a deployment of others",
     lambda m: m.find("Deployment", "vote-ingest")["spec"]["selector"]["matchLabels"].update(tier="web")),
    (policies.selectors_match, "a budget for all",
     lambda m: m.find("PodDisruptionBudget", "vote-ingest")["spec"]["selector"].update(
         matchLabels={"app.kubernetes.io/part-of": "votepipe"})),
    (policies.references_are_there, "another config map",
     lambda m: container(m)["envFrom"][0]["configMapRef"].update(name="votepipe")),
    (policies.references_are_there, "a secret that nobody makes",
     lambda m: variable(m, "vote-ingest", "VOTE_REDIS_URL")["valueFrom"]["secretKeyRef"].update(key="redis")),
    (policies.secrets_are_references, "a URL with a password",
     lambda m: variable(m, "vote-invalidate", "VOTE_DATABASE_URL").update(value="postgresql://u:p@db/votepipe")),
    (policies.secrets_are_references, "a secret object",
     lambda m: m.objects.append({"kind": "Secret", "metadata": {"name": "votepipe"}})),
    (policies.ports_have_a_container, "a port by another name",
     lambda m: m.find("Service", "vote-notify")["spec"]["ports"][0].update(targetPort="http")),
    (policies.ports_have_a_container, "a policy for no port",
     lambda m: policy(m, "browsers-to-ingest")["ingress"][0]["ports"][0].update(port="socketio")),
    (policies.tools_start_with_what_they_are_given, "an unknown flag",
     lambda m: container(m, "vote-commit").update(args=["--batch", "10"])),
    (policies.tools_start_with_what_they_are_given, "a bad value",
     lambda m: variable(m, "vote-migrate", "VOTE_LOG_FORMAT").update(value="xml")),
    (policies.tools_start_with_what_they_are_given, "a variable that means nothing",
     lambda m: variable(m, "vote-notify", "VOTE_JWT_SECRET_FILE").update(name="VOTE_JWT_KEY_FILE")),
    (policies.tools_start_with_what_they_are_given, "a variable of another tool",
     lambda m: container(m, "vote-notify")["env"].append({"name": "VOTE_REDIS_URL", "value": "redis://redis"})),
    (policies.tools_start_with_what_they_are_given, "a port that nobody listens on",
     lambda m: container(m, "vote-notify")["ports"][0].update(containerPort=8080)),
    (policies.pods_are_given_time_to_stop, "a long drain",
     lambda m: container(m, "vote-commit")["args"].extend(["--drain-timeout", "60s"])),
    (policies.pods_are_given_time_to_stop, "a short grace",
     lambda m: m.pod("vote-ingest").spec.update(terminationGracePeriodSeconds=12)),
    (policies.pods_are_given_time_to_stop, "no pause before the end", lambda m: container(m, "vote-notify").pop("args")),
    (policies.probes_ask_the_admin_port, "readiness by the API's port",
     lambda m: container(m)["readinessProbe"]["httpGet"].update(port="http")),
    (policies.probes_ask_the_admin_port, "restarts for what is away",
     lambda m: container(m)["livenessProbe"]["httpGet"].update(path="/readyz")),
    (policies.probes_ask_the_admin_port, "calls before it is ready",
     lambda m: container(m, "vote-notify")["startupProbe"]["httpGet"].update(path="/healthz")),
    (policies.daemons_survive_a_drained_node, "no budget", lambda m: drop(m, "PodDisruptionBudget", "vote-commit")),
    (policies.daemons_survive_a_drained_node, "no spread",
     lambda m: m.pod("vote-commit").spec.pop("topologySpreadConstraints")),
    (policies.commit_is_a_static_member, "no name", lambda m: container(m, "vote-commit")["env"].pop(0)),
    (policies.partitions_bound_commit, "more than partitions",
     lambda m: m.pod("vote-commit").workload["spec"].update(replicas=25)),
    (policies.network_opens_the_arrows_and_no_more, "no default", lambda m: drop(m, "NetworkPolicy", "default-deny")),
    (policies.network_opens_the_arrows_and_no_more, "commit without Kafka", lambda m: narrow(m, "to-kafka", "vote-commit")),
    (policies.network_opens_the_arrows_and_no_more, "notify with Redis", lambda m: widen(m, "to-redis", "vote-notify")),
    (policies.network_opens_the_arrows_and_no_more, "browsers at commit",
     lambda m: policy(m, "browsers-to-ingest").update(podSelector={"matchLabels": {"app.kubernetes.io/name": "vote-commit"}})),
    (policies.network_opens_the_arrows_and_no_more, "another port",
     lambda m: policy(m, "to-postgres")["egress"][0]["ports"][0].update(port=6432)),
    (policies.names_are_ours, "no namespace", lambda m: m.find("Service", "vote-notify")["metadata"].pop("namespace")),
]

IN_PRODUCTION = [
    (policies.references_are_there, "a scaler of nothing",
     lambda m: m.find("ScaledObject", "vote-commit")["spec"]["scaleTargetRef"].update(kind="Deployment")),
    (policies.ports_have_a_container, "an ingress to no port",
     lambda m: m.find("Ingress", "vote-ingest")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
         port={"name": "web"})),
    (policies.partitions_bound_commit, "a scaler beyond partitions",
     lambda m: m.find("KafkaTopic", "vote.requests")["spec"].update(partitions=12)),
    (policies.autoscalers_have_the_only_say, "replicas beside a scaler",
     lambda m: m.find("Deployment", "vote-notify")["spec"].update(replicas=2)),
    (policies.polling_is_sticky, "no cookie",
     lambda m: m.find("Ingress", "vote-notify")["metadata"]["annotations"].pop("nginx.ingress.kubernetes.io/affinity")),
    (policies.polling_is_sticky, "no cookie of Traefik", lambda m: m.find("Service", "vote-notify")["metadata"].pop("annotations")),
]

IN_DEV = [
    (policies.secrets_are_references, "a password written out",
     lambda m: variable(m, "postgres", "POSTGRES_PASSWORD").update(value="secret")),
    (policies.network_opens_the_arrows_and_no_more, "a server that one tool cannot reach",
     lambda m: policy(m, "from-tools-to-redis")["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0][
         "values"].remove("vote-commit")),
]
