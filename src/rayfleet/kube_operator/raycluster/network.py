"""Who may talk to the cluster's pods: a NetworkPolicy for the head and one for each worker group.

The pods of one cluster may always talk to each other. Nothing else is added: where egress is denied, names are resolved
and the API server is reached only if rules of the user's say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import NetworkPolicyMode, NetworkPolicyOptions, NetworkRules
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.wire.kube.objects import NETWORK_POLICY, Kind, Object

_DENIED: Final = {
    NetworkPolicyMode.DENY_ALL: ("Ingress", "Egress"),
    NetworkPolicyMode.DENY_ALL_INGRESS: ("Ingress",),
    NetworkPolicyMode.DENY_ALL_EGRESS: ("Egress",),
}


def network_policies(cluster: Cluster) -> Iterator[tuple[Kind, Object]]:
    """Yield the cluster's policies. No mode is as DenyAll."""
    options = cluster.spec.network_policy
    if options is None:
        return
    head = {names.NODE_TYPE_LABEL: names.HEAD}
    yield NETWORK_POLICY, _policy(cluster, options, names.HEAD, head, options.head)
    of_groups = {rules.group_name: rules for rules in options.worker_groups}
    for group in cluster.spec.worker_group_specs:
        name = group.group_name
        pods = {names.NODE_TYPE_LABEL: names.WORKER, names.GROUP_LABEL: name}
        rules = of_groups.get(name, options.worker)
        yield NETWORK_POLICY, _policy(cluster, options, names.group_word(name), pods, rules)


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
