"""A RayCluster as it is seen -> what is to be done, and its status.

not ours (managedBy)            -> nothing
leaving                         -> its objects go with it; what is outside of Kubernetes is cleaned up first
wrong in itself                 -> said, nothing made
suspended, being suspended      -> its pods go, all of them, before it may come back
of an older spec                -> its pods go where the upgrade strategy says so
else                            -> services, rights, storage ...; the head; the workers
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import WorkerGroupSpec
from rayfleet.kube_operator.conditions import Condition, holds
from rayfleet.kube_operator.raycluster.authentication import auth_secret
from rayfleet.kube_operator.raycluster.certificates import certificates, certified
from rayfleet.kube_operator.raycluster.checks import problems
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.deletion import hold, leaving
from rayfleet.kube_operator.raycluster.health import Health, created_at, health, moment
from rayfleet.kube_operator.raycluster.ingress import dashboard_ingress
from rayfleet.kube_operator.raycluster.names import (
    FT_ANNOTATION,
    GROUP_LABEL,
    HEAD,
    HEAD_SLOT,
    NO_HEAD_RESTART_ANNOTATION,
    NODE_TYPE_LABEL,
    SERVE_ANNOTATION,
    WORKER,
)
from rayfleet.kube_operator.raycluster.network import network_policies
from rayfleet.kube_operator.raycluster.pods import head_pod, worker_pod
from rayfleet.kube_operator.raycluster.rights import rights, rights_in_step
from rayfleet.kube_operator.raycluster.scaling import scaled_here, scaling
from rayfleet.kube_operator.raycluster.services import head_service, headless_service, serve_service
from rayfleet.kube_operator.raycluster.status import (
    PROVISIONED,
    SUSPENDED,
    SUSPENDING,
    invalid_status,
    pods_of,
    status_of,
)
from rayfleet.kube_operator.raycluster.storage import claim_differs, volume_claim
from rayfleet.kube_operator.raycluster.upkeep import in_step, missing, outdated
from rayfleet.kube_operator.raycluster.workers import Change, change, stays_s, token
from rayfleet.kube_operator.reconciling import Action, Create, Delete, Emit, EventType, Observed, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import (
    INGRESS,
    NETWORK_POLICY,
    POD,
    SERVICE,
    Kind,
    Object,
    is_leaving,
    key_of,
    labels_of,
    uid_of,
)

OURS: Final = (None, "", "ray.io/kuberay-operator", "ray.io/rayfleet-operator")
"""Values of `managedBy` with which the operator acts."""
LOST_S: Final = 60.0
"""A pod that is there so long after it should have ended is on a node that is lost."""


def reconcile(seen: Observed, settings: OperatorSettings) -> Reconciled:
    """Decide what a RayCluster needs. Pure."""
    cluster = Cluster.read(seen.thing, settings)
    if cluster.spec.managed_by not in OURS:
        return Reconciled()
    if is_leaving(seen.thing):
        return leaving(cluster, seen)
    if found := problems(cluster):
        return _invalid(cluster, seen, "; ".join(found))
    if holds(cluster.thing, SUSPENDING):
        return _suspending(cluster, seen)
    if cluster.spec.suspend or cluster.spec.idle_suspend:
        return _to_be_suspended(cluster, seen)
    return _running(cluster, seen)


def _running(cluster: Cluster, seen: Observed) -> Reconciled:
    if held := tuple(hold(cluster)):
        return Reconciled(held)  # before there is anything to clean up; the change brings us back
    resumed = [Condition(SUSPENDED, holds=False, reason="Resumed")] if holds(cluster.thing, SUSPENDED) else []
    if not certified(cluster, seen):
        return Reconciled(tuple(_belongings(cluster, seen)), status_of(cluster, seen, resumed))  # pods mount them
    if old := outdated(cluster, seen.all(POD)):
        return Reconciled(tuple(old), status_of(cluster, seen, resumed))
    changes = [*_workers(cluster, seen)]
    actions = [
        *_belongings(cluster, seen),
        *_head(cluster, seen),
        *(action for group, need in changes for action in _worker_actions(cluster, group, need, seen)),
    ]
    waits = [need.again_s for _, need in changes if need.again_s is not None]
    waits += [wait_s for wait_s in (_head_leaves_s(cluster, seen),) if wait_s > 0]
    waits += [
        stays_s(pod, seen) for pod in pods_of(seen, HEAD) if health(pod) is Health.ENDED and stays_s(pod, seen) > 0
    ]
    return Reconciled(
        tuple(actions),
        status_of(cluster, seen, resumed),
        again_s=min(waits, default=None),
        scaling=scaling(cluster, seen),
    )


def _invalid(cluster: Cluster, seen: Observed, text: str) -> Reconciled:
    """Say what is wrong, and make nothing; what is asked to be suspended goes all the same."""
    told = Emit(EventType.WARNING, "InvalidRayClusterSpec", text)
    away = cluster.spec.suspend or cluster.spec.idle_suspend or holds(cluster.thing, SUSPENDING)
    return Reconciled((told, *(_all_pods(seen) if away else ())), invalid_status(cluster, seen, text))


# ---- suspending ------------------------------------------------------------------------------------------------------


def _to_be_suspended(cluster: Cluster, seen: Observed) -> Reconciled:
    """Say first that it is being suspended: from then on nothing brings it back half way."""
    if holds(cluster.thing, SUSPENDED):
        return Reconciled(status=status_of(cluster, seen))
    said = Condition(SUSPENDING, holds=True, reason="UserRequestedSuspend")
    return Reconciled(status=status_of(cluster, seen, [said]))


def _suspending(cluster: Cluster, seen: Observed) -> Reconciled:
    if seen.all(POD):
        return Reconciled(tuple(_all_pods(seen)), status_of(cluster, seen))
    said = [
        Condition(SUSPENDING, holds=False, reason="Suspended"),
        Condition(SUSPENDED, holds=True, reason="Suspended"),
        Condition(PROVISIONED, holds=False, reason="Suspended"),
    ]
    return Reconciled(status=status_of(cluster, seen, said))


def _all_pods(seen: Observed) -> Iterator[Delete]:
    for pod in seen.all(POD):
        if not is_leaving(pod):
            yield _delete(pod, "the cluster is suspended", "FailedDeleteAllPods")


# ---- what belongs to a cluster ---------------------------------------------------------------------------------------


def _belongings(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Yield what makes a cluster's objects be there, but for its pods, which need them."""
    yield from missing(seen, _services(cluster))
    yield from missing(seen, rights(cluster))
    yield from rights_in_step(cluster, seen)
    yield from missing(seen, auth_secret(cluster, seen.fresh_secret))
    yield from certificates(cluster, seen)
    yield from missing(seen, volume_claim(cluster))
    yield from claim_differs(cluster, seen)
    yield from in_step(seen, INGRESS, dashboard_ingress(cluster))
    yield from in_step(seen, NETWORK_POLICY, network_policies(cluster, scaled_here=scaled_here(cluster, seen)))


def _services(cluster: Cluster) -> Iterator[tuple[Kind, Object]]:
    yield SERVICE, head_service(cluster)
    if cluster.annotations.get(SERVE_ANNOTATION) == "true":
        yield SERVICE, serve_service(cluster)
    if any(group.num_of_hosts > 1 for group in cluster.spec.worker_group_specs):
        yield SERVICE, headless_service(cluster)


def _head(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Yield what makes it one head: the oldest that lives."""
    heads = sorted(pods_of(seen, HEAD), key=lambda pod: (created_at(pod), key_of(pod).name))
    living = [pod for pod in heads if health(pod) is not Health.ENDED]
    for pod in heads:
        if pod not in living[:1]:
            if not living and stays_s(pod, seen) > 0:
                continue
            why = "it has ended" if pod not in living else "there is another head"
            yield _delete(pod, why, "FailedDeleteHeadPod")
    stays_away = cluster.annotations.get(NO_HEAD_RESTART_ANNOTATION) == "true" and holds(cluster.thing, PROVISIONED)
    if not heads and not stays_away and _head_leaves_s(cluster, seen) <= 0:
        yield Create(
            POD,
            head_pod(cluster, seen.incarnation, seen.departed.get(str(HEAD_SLOT), 0)),
            failure="FailedCreateHeadPod",
        )


def _head_leaves_s(cluster: Cluster, seen: Observed) -> float:
    """Return how long a head that leaves is waited for: two at once would write into one store of the GCS.

    One that its node has not ended long after it should have is thought to be lost with the node.
    """
    kept = cluster.spec.gcs_fault_tolerance_options is not None or cluster.annotations.get(FT_ANNOTATION) == "true"
    until = [moment(pod["metadata"]["deletionTimestamp"]) + LOST_S for pod in seen.all(POD) if _is_old_head(pod)]
    return max(until, default=0.0) - seen.now if kept else 0.0


def _is_old_head(pod: Object) -> bool:
    return labels_of(pod).get(NODE_TYPE_LABEL) == HEAD and is_leaving(pod)


def _workers(cluster: Cluster, seen: Observed) -> Iterator[tuple[WorkerGroupSpec | None, Change]]:
    """Yield what each group needs; pods of groups that are no more go."""
    pods = defaultdict(list)
    for pod in pods_of(seen, WORKER):
        pods[labels_of(pod).get(GROUP_LABEL, "")].append(pod)
    for group in cluster.spec.worker_group_specs:
        yield group, change(cluster, group, pods.pop(group.group_name, []), seen)
    for orphans in pods.values():
        yield None, Change(gone=[(pod, "its group is no more") for pod in orphans])


def _worker_actions(cluster: Cluster, group: WorkerGroupSpec | None, need: Change, seen: Observed) -> Iterator[Action]:
    for pod, why in need.gone:
        yield _delete(pod, why, "FailedDeleteWorkerPod")
    if group is not None:
        for slot in need.wanted:
            pod = worker_pod(cluster, group, slot, *token(group, slot.replica, seen))
            yield Create(POD, pod, failure="FailedCreateWorkerPod")


def _delete(pod: Object, why: str, failure: str) -> Delete:
    return Delete(POD, key_of(pod), uid_of(pod), why, failure=failure)
