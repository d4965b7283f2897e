"""A RayService as it is seen -> what is to be done, and its status.

goal changed -> another cluster (pending) -> it runs what is wanted -> it serves (active), the old one goes later
serve configuration changed -> the cluster that serves is told
counts changed, groups added -> the cluster that serves is changed in place
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rayfleet.kube_operator.conditions import Condition, holds
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import (
    CLUSTER_LABEL,
    HEAD,
    IS_RAY_NODE_LABEL,
    NODE_TYPE_LABEL,
    SERVE_ANNOTATION,
    SERVE_LABEL,
)
from rayfleet.kube_operator.raycluster.reconcile import OURS
from rayfleet.kube_operator.raycluster.status import HEAD_READY
from rayfleet.kube_operator.rayservice.checks import problems
from rayfleet.kube_operator.rayservice.clusters import Clusters, choose
from rayfleet.kube_operator.rayservice.gateway import no_routing, routing, trouble
from rayfleet.kube_operator.rayservice.incremental import CHANGED, capacity_of, due_in_s, turned, weights_of
from rayfleet.kube_operator.rayservice.initializing import READY, given_up, is_given_up, left_s
from rayfleet.kube_operator.rayservice.serve import (
    CAPACITY,
    WHOLE,
    configure,
    is_configured,
    probe,
    proxy_probe,
    told_config,
    wanted_config,
)
from rayfleet.kube_operator.rayservice.services import head_service_of, serve_service_of
from rayfleet.kube_operator.rayservice.state import (
    RETIRED_ANNOTATION,
    Service,
    endpoints,
    fact_of,
    matches,
    new_cluster,
    pods_of,
    secret_of,
    url_of,
)
from rayfleet.kube_operator.rayservice.status import SUSPENDED, SUSPENDING, UPGRADING, noted, renamed, status_of
from rayfleet.kube_operator.reconciling import (
    Action,
    Create,
    Delete,
    Emit,
    EventType,
    Observed,
    Patch,
    Probe,
    Reconciled,
    Related,
)
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import (
    GATEWAY,
    HTTP_ROUTE,
    POD,
    RAY_CLUSTER,
    RAY_SERVICE,
    SERVICE,
    Kind,
    Object,
    annotations_of,
    is_leaving,
    key_of,
    labels_of,
    uid_of,
)

FINALIZER: Final = "ray.io/rayservice-finalizer"
RELABELLED_S: Final = 2.0
"""When to count again after a head was let into, or out of, traffic."""


def reconcile(seen: Observed, settings: OperatorSettings) -> Reconciled:
    """Decide what a RayService needs. Pure."""
    service = Service.read(seen, settings)
    if service.spec.managed_by not in OURS:
        return Reconciled()
    if is_leaving(seen.thing):
        return _leaving(service)
    halted = _halted(service)
    if halted is not None:
        return halted
    wanted = choose(service)
    if wanted != Clusters(service.active_name, service.pending_name):
        return Reconciled(status=renamed(service, wanted))  # names are written before anything is made under them
    return _serving(service, wanted)


def _halted(service: Service) -> Reconciled | None:
    """Return what is done for a service that does not serve now, None for one that does."""
    found = list(problems(service))
    if found and not is_given_up(service):
        text = "; ".join(found)
        said = Condition(READY, holds=False, reason="ValidationFailed", message=text)
        told = Emit(EventType.WARNING, "InvalidRayServiceSpec", text)
        return Reconciled((told,), noted(service, [said]))
    if holds(service.thing, SUSPENDING):
        return _suspending(service)
    if service.spec.suspend:
        said = Condition(SUSPENDING, holds=True, reason="SuspendRequested")
        return Reconciled() if holds(service.thing, SUSPENDED) else Reconciled(status=noted(service, [said]))
    return _too_late(service)


def _too_late(service: Service) -> Reconciled | None:
    """Give up a service that does not come to serve in time; None for one that may go on."""
    if is_given_up(service):
        clusters = [one for one in service.seen.all(RAY_CLUSTER) if not is_leaving(one)]
        why = "nothing served in time"
        # A Gateway costs a load balancer; it goes as the clusters do that it would lead to.
        return Reconciled((*no_routing(service, why), *(_delete(RAY_CLUSTER, one, why) for one in clusters)))
    wait_s = left_s(service)
    if wait_s is None or wait_s > 0 or endpoints(service, service.active_name):
        return None
    said = given_up(service)
    nothing: Any = {"activeServiceStatus": {}, "pendingServiceStatus": {}, "numServeEndpoints": 0, "serviceStatus": ""}
    told = Emit(EventType.WARNING, said.reason, said.message)
    return Reconciled((told,), noted(service, [said], **nothing))


def related(thing: Object) -> tuple[Related, ...]:
    """Return what a RayService depends on beside what it owns: the pods of its clusters."""
    status = thing.get("status") or {}
    named = ((status.get(f"{which}ServiceStatus") or {}).get("rayClusterName") for which in ("active", "pending"))
    return tuple(Related(POD, {IS_RAY_NODE_LABEL: "yes", CLUSTER_LABEL: name}) for name in named if name)


# ---- serving ---------------------------------------------------------------------------------------------------------


def _serving(service: Service, wanted: Clusters) -> Reconciled:
    active, pending = service.cluster(wanted.active), service.cluster(wanted.pending)
    back = service.incremental and bool(wanted.active and wanted.pending) and turned(service) == CHANGED
    told = pending if wanted.pending and not back else active  # the one that is left behind stays as it is
    actions: list[Action] = []
    probes: list[Probe] = []
    if wanted.pending and pending is None and turned(service) != CHANGED:
        actions.append(Create(RAY_CLUSTER, new_cluster(service, wanted.pending), failure="FailedCreateRayCluster"))
    for cluster in (one for one in (active, pending) if one is not None):
        if holds(cluster, HEAD_READY):
            probes.append(probe(url_of(service, cluster), secret_of(service, cluster)))
            actions += _configured(service, cluster, whole=cluster is told)
        # Also where nobody is led to yet: on the day of the switch there must be somebody who answers.
        traffic, asked = _traffic(service, cluster)
        actions += [*traffic, *_in_place(service, cluster)]
        probes += asked
    labelled = any(isinstance(action, Patch) and action.kind == POD for action in actions)
    if active is not None:
        actions += _services(service, active)
    actions += _routing(service, wanted)
    retiring, retired_s = _retiring(service, wanted)
    actions += retiring
    # A label on a pod is no change of anything that this service owns: nobody would say that it is there.
    timed = (retired_s, RELABELLED_S if labelled else None, left_s(service), due_in_s(service))
    waits = [wait_s for wait_s in timed if wait_s is not None and wait_s > 0]
    return Reconciled(tuple(actions), status_of(service, wanted), min(waits, default=None), tuple(probes))


def _configured(service: Service, cluster: Object, *, whole: bool) -> Iterator[Action]:
    """Yield what has a cluster run what is wanted; without `whole` only as much as is wanted of what it runs."""
    fact = fact_of(service, cluster)
    if fact is None or fact.error:
        return
    config = wanted_config(service.spec.serve_config_v2) if whole else told_config(fact)
    capacity = capacity_of(service, key_of(cluster).name) if service.incremental else config.get(CAPACITY, WHOLE)
    is_told = is_configured(fact, config) if whole else True
    if is_told and fact.capacity == capacity:
        return
    if whole or (service.incremental and fact.applications):
        share = {CAPACITY: capacity} if service.incremental or fact.capacity != capacity else {}
        yield configure(url_of(service, cluster), {**config, **share}, secret_of(service, cluster))


def _routing(service: Service, wanted: Clusters) -> Iterator[Action]:
    """Yield what divides requests between the clusters, for a service that goes over by steps."""
    if not service.incremental:
        yield from no_routing(service)
        return
    for name in (wanted.active, wanted.pending):
        cluster = service.cluster(name)
        if cluster is not None and annotations_of(cluster).get(SERVE_ANNOTATION) != "true":
            # Made before upgrades were by steps: it has no Service of its own yet.
            yield Patch(RAY_CLUSTER, key_of(cluster), {"metadata": {"annotations": {SERVE_ANNOTATION: "true"}}})
    weights = weights_of(service)
    yield from routing(service, weights)
    found = trouble(service, weights)
    if found is not None and found.reason == "GatewayApiMissing":
        yield Emit(EventType.WARNING, found.reason, found.message)


def _in_place(service: Service, cluster: Object) -> Iterator[Action]:
    """Yield the patch of what changes without another cluster; counts that an autoscaler sets stay its own."""
    spec = service.cluster_spec
    if not matches(cluster, spec):
        return
    wanted = spec.get("workerGroupSpecs") or []
    there = {group["groupName"]: group for group in cluster["spec"].get("workerGroupSpecs") or []}
    kept = ("replicas", "scaleStrategy") if spec.get("enableInTreeAutoscaling") else ("scaleStrategy",)
    groups = [
        {**group, **{name: there[group["groupName"]][name] for name in kept if name in there[group["groupName"]]}}
        if group["groupName"] in there
        else group
        for group in wanted
    ]
    if groups != (cluster["spec"].get("workerGroupSpecs") or []):
        patch: list[dict[str, object]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": cluster["metadata"].get("resourceVersion")},
            {"op": "add", "path": "/spec/workerGroupSpecs", "value": groups},
        ]
        yield Patch(RAY_CLUSTER, key_of(cluster), patch)


def _services(service: Service, active: Object) -> Iterator[Action]:
    """Yield what has the service's names lead to the cluster that serves."""
    cluster = Cluster.read(active, service.settings)
    for wanted in (head_service_of(service, cluster), serve_service_of(service, cluster)):
        there = next((one for one in service.seen.all(SERVICE) if key_of(one) == key_of(wanted)), None)
        if there is None:
            yield Create(SERVICE, wanted, failure="FailedCreateService")
        elif there["spec"].get("selector") != wanted["spec"]["selector"]:
            # A merge would leave labels that the new cluster's pods have not; the selector is replaced as a whole.
            selector: dict[str, object] = {"op": "add", "path": "/spec/selector", "value": wanted["spec"]["selector"]}
            yield Patch(SERVICE, key_of(there), [selector])


def _traffic(service: Service, cluster: Object) -> tuple[list[Action], list[Probe]]:
    """Return what lets traffic to the head, or keeps it away: its proxy is not behind a probe of its own."""
    for pod in pods_of(service, cluster):
        if labels_of(pod).get(NODE_TYPE_LABEL) != HEAD or not (address := (pod.get("status") or {}).get("podIP")):
            continue
        asked = proxy_probe(str(address))
        before = labels_of(pod).get(SERVE_LABEL)
        answers = service.seen.facts.get(asked.key)
        # An operator that was just started has not asked yet: what the one before it knew still holds.
        label = before if answers is None and before else "true" if answers else "false"
        label = "false" if service.spec.exclude_head_pod_from_serve_svc else label
        if before == label:
            return [], [asked]
        return [Patch(POD, key_of(pod), {"metadata": {"labels": {SERVE_LABEL: label}}})], [asked]
    return [], []


def _retiring(service: Service, wanted: Clusters) -> tuple[list[Action], float | None]:
    """Return what ends clusters that no longer serve: those that did, some time later; others at once."""
    delay_s, now = float(service.spec.ray_cluster_deletion_delay_seconds), service.seen.now
    actions: list[Action] = []
    waits = []
    for cluster in service.seen.all(RAY_CLUSTER):
        if key_of(cluster).name in (wanted.active, wanted.pending) or is_leaving(cluster):
            continue
        retired = annotations_of(cluster).get(RETIRED_ANNOTATION)
        if retired is None:
            patch: dict[str, object] = {"metadata": {"annotations": {RETIRED_ANNOTATION: f"{now:.0f}"}}}
            actions.append(Patch(RAY_CLUSTER, key_of(cluster), patch))
            waits.append(delay_s)
        elif now - float(retired) >= delay_s:
            actions.append(_delete(RAY_CLUSTER, cluster, "another cluster serves"))
        else:
            waits.append(float(retired) + delay_s - now)
    return actions, min(waits, default=None)


# ---- the rest --------------------------------------------------------------------------------------------------------


def _suspending(service: Service) -> Reconciled:
    """Take everything away before it may come back."""
    kinds = (HTTP_ROUTE, GATEWAY, RAY_CLUSTER, SERVICE)
    things = [(kind, one) for kind in kinds for one in service.seen.all(kind)]
    if things:
        going = tuple(_delete(kind, one, "the service is suspended") for kind, one in things if not is_leaving(one))
        return Reconciled(going)
    said = [
        Condition(SUSPENDING, holds=False, reason="SuspendComplete"),
        Condition(SUSPENDED, holds=True, reason="SuspendComplete"),
        Condition(READY, holds=False, reason="SuspendComplete"),
        Condition(UPGRADING, holds=False, reason="NoActiveCluster"),
    ]
    nothing: Any = {"activeServiceStatus": {}, "pendingServiceStatus": {}, "numServeEndpoints": 0, "serviceStatus": ""}
    return Reconciled(status=noted(service, said, **nothing))


def _leaving(service: Service) -> Reconciled:
    """Let go of a service that another operator has held: what it owns goes with it."""
    finalizers = service.thing["metadata"].get("finalizers") or []
    rest = [name for name in finalizers if name != FINALIZER]
    if rest == finalizers:
        return Reconciled()
    version = service.thing["metadata"].get("resourceVersion")
    patch: dict[str, object] = {"metadata": {"resourceVersion": version, "finalizers": rest}}
    return Reconciled((Patch(RAY_SERVICE, key_of(service.thing), patch),))


def _delete(kind: Kind, thing: Object, why: str) -> Delete:
    return Delete(kind, key_of(thing), uid_of(thing), why)
