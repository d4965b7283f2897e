"""What the autoscaler beside the head may do: look at pods, and change its own cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import IdlePolicy
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import LABEL_MAX, trimmed
from rayfleet.kube_operator.reconciling import Action, Observed, Patch
from rayfleet.wire.kube.objects import ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Kind, Object, key_of

RBAC: Final = "rbac.authorization.k8s.io"


def rights(cluster: Cluster) -> Iterator[tuple[Kind, Object]]:
    """Yield the objects that let a cluster's autoscaler work; none where it does not run beside the head."""
    if not cluster.autoscaled or cluster.autoscaled_centrally:
        return
    name = account(cluster)
    if name == _default_name(cluster):
        yield SERVICE_ACCOUNT, _named(cluster, {})
    yield ROLE, _named(cluster, {"rules": _rules(cluster)})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}
    role = {"apiGroup": RBAC, "kind": "Role", "name": _default_name(cluster)}
    yield ROLE_BINDING, _named(cluster, {"subjects": [subject], "roleRef": role})


def rights_in_step(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Yield the change of a role that was made for an older spec: what is added to a cluster may need other rights."""
    wanted = {key_of(thing): thing for kind, thing in rights(cluster) if kind == ROLE}
    for there in seen.all(ROLE):
        role = wanted.get(key_of(there))
        if role is not None and there.get("rules") != role["rules"]:
            patch: list[dict[str, object]] = [{"op": "add", "path": "/rules", "value": role["rules"]}]
            yield Patch(ROLE, key_of(there), patch, failure="FailedUpdateRole")


def account(cluster: Cluster) -> str:
    """Return the service account of the head: the template's, else one of the cluster's own."""
    return (cluster.head.template.get("spec") or {}).get("serviceAccountName") or _default_name(cluster)


def _rules(cluster: Cluster) -> list[Object]:
    idle = cluster.spec.idle_termination_options
    ends = idle is not None and idle.policy is IdlePolicy.DELETE
    return [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
        {
            "apiGroups": ["ray.io"],
            "resources": ["rayclusters"],
            "verbs": ["get", "patch", *(["delete"] if ends else ())],
            "resourceNames": [cluster.name],
        },
    ]


def _default_name(cluster: Cluster) -> str:
    return trimmed(cluster.name, LABEL_MAX)


def _named(cluster: Cluster, content: Object) -> Object:
    return {"metadata": cluster.owned(_default_name(cluster)), **content}
