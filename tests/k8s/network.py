# network.py - which pod may talk to whom, by the NetworkPolicies of an overlay. SPDX-License-Identifier: Apache-2.0
from manifests import matches, name_of

NAMESPACE = "kubernetes.io/metadata.name"


def peers_named(peer):
    """A peer of a rule by one word: its namespace, or within ours the names of its pods."""
    pods = peer.get("podSelector") or {}
    if "namespaceSelector" in peer:
        return [peer["namespaceSelector"]["matchLabels"][NAMESPACE]]
    named = [pods.get("matchLabels", {}).get("app.kubernetes.io/name")] if "matchLabels" in pods else []
    for expression in pods.get("matchExpressions", []):
        named += expression["values"]
    assert named, f"a peer that is everybody: {peer}"
    return named


def port_number(port, pod):
    return pod.ports().get(port, port) if isinstance(port, str) else port


def arrows(manifests, pod, direction):
    """{"kafka:9092"}: with whom the policies let the pod begin to talk (Egress), or who may with it (Ingress)."""
    side, end = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    allowed = set()
    for policy in manifests.all("NetworkPolicy"):
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != pod.namespace or not matches(spec["podSelector"], pod.labels):
            continue
        for rule in spec.get(side, []):
            assert rule.get(end) and rule.get("ports"), f"{name_of(policy)} opens everything"
            allowed |= {f"{name}:{port_number(port['port'], pod)}" for peer in rule[end] for name in peers_named(peer)
                        for port in rule["ports"]}
    return allowed


def is_denied_otherwise(manifests, namespace, direction):
    """Whether what no policy allows is refused for every pod there."""
    return any(policy["metadata"]["namespace"] == namespace and policy["spec"]["podSelector"] == {} and
               direction in policy["spec"]["policyTypes"] and not policy["spec"].get(direction.lower())
               for policy in manifests.all("NetworkPolicy"))
