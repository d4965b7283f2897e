"""Who may talk to the cluster's pods: a NetworkPolicy for the head and one for each worker group.

The pods of one cluster may always talk to each other (those that submit its jobs are among them), and the operator to
its head. Nothing else is added: where egress is denied, names are resolved and the API server is reached only if rules
of the user's say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import NetworkPolicyMode, NetworkPolicyOptions, NetworkRules
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import DASHBOARD_PORT, Cluster
from rayfleet.wire.kube.objects import NETWORK_POLICY, Kind, Object

_DENIED: Final = {
    NetworkPolicyMode.DENY_ALL: ("Ingress", "Egress"),
    NetworkPolicyMode.DENY_ALL_INGRESS: ("Ingress",),
    NetworkPolicyMode.DENY_ALL_EGRESS: ("Egress",),
}


OPERATOR_LABELS: Final = {"app.kubernetes.io/name": "rayfleet-operator"}
"""Of the operator's pods, as its chart makes them."""
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
"""Kubernetes 1.21 and newer put it on every namespace."""


def network_policies(cluster: Cluster, *, scaled_here: bool) -> Iterator[tuple[Kind, Object]]:
    """Yield the cluster's policies. No mode is as DenyAll. `scaled_here`: the operator asks its Ray what waits."""
    options = cluster.spec.network_policy
    if options is None:
        return
    head = {names.NODE_TYPE_LABEL: names.HEAD}
    ports = (DASHBOARD_PORT, cluster.port) if scaled_here else (DASHBOARD_PORT,)
    yield NETWORK_POLICY, _policy(cluster, options, names.HEAD, head, _with_operator(cluster, options.head, ports))
    of_groups = {rules.group_name: rules for rules in options.worker_groups}
    for group in cluster.spec.worker_group_specs:
        name = group.group_name
        pods = {names.NODE_TYPE_LABEL: names.WORKER, names.GROUP_LABEL: name}
        rules = of_groups.get(name, options.worker)
        yield NETWORK_POLICY, _policy(cluster, options, names.group_word(name), pods, rules)


def _with_operator(cluster: Cluster, rules: NetworkRules | None, ports: tuple[int, ...]) -> NetworkRules:
    """Return a head's rules, and one for the operator, which asks it for jobs, applications and what waits."""
    rules = rules or NetworkRules()
    if not cluster.settings.namespace:
        return rules
    operator = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: cluster.settings.namespace}},
        "podSelector": {"matchLabels": OPERATOR_LABELS},
    }
    asking = {"from": [operator], "ports": [{"protocol": "TCP", "port": port} for port in ports]}
    return rules.model_copy(update={"ingress": [asking, *rules.ingress]})


def _policy(
    cluster: Cluster, options: NetworkPolicyOptions, name: str, pods: dict[str, str], rules: NetworkRules | None
) -> Object:
    types = _DENIED[options.mode or NetworkPolicyMode.DENY_ALL]
    own = {names.CLUSTER_LABEL: cluster.name}
    each_other = [{"podSelector": {"matchLabels": own}}]
    spec: Object = {"podSelector": {"matchLabels": own | pods}, "policyTypes": list(types)}
    if "Ingress" in types:
        spec["ingress"] = [{"from": each_other}, *(rules.ingress if rules else ())]
    if "Egress" in types:
        spec["egress"] = [{"to": each_other}, *(rules.egress if rules else ())]
    return {"metadata": cluster.owned(f"{cluster.name}-{name}"), "spec": spec}
