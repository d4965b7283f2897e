"""TLS between the cluster's own pods: an authority of the cluster's, and one certificate for head and workers each.

    authority's Secret --vouches for--> head's Secret, workers' Secret --mounted--> pods
                                           ^                                          |
                                           '--- addresses of the pods, as they come --'

Ray calls its nodes by their addresses, which are known only when a pod has its place: the certificate is made anew for
each, and the pod's Ray waits until it names it. A pod is marked when it does; that also has its kubelet look at the
Secret at once instead of within a minute.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rayfleet.config.rayio.names import TLS_PATH, TLS_VARIABLES, TLS_VOLUME
from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.health import Health, health, moment
from rayfleet.kube_operator.raycluster.volumes import share
from rayfleet.kube_operator.reconciling import Action, Certify, Emit, EventType, Observed, Patch
from rayfleet.wire.kube.objects import POD, SECRET, Object, annotations_of, key_of, labels_of

VOLUME: Final = TLS_VOLUME
PATH: Final = TLS_PATH
MOUNT: Final = {"mountPath": PATH, "readOnly": True}
WAIT_CONTAINER: Final = "wait-for-tls-ip-san"
UNTIL_ANNOTATION: Final = "rayfleet.io/certified-until"
CALLED_ANNOTATION: Final = "rayfleet.io/certified-as"
ISSUER_ANNOTATION: Final = "rayfleet.io/certified-by"
DAY_S: Final = 86400.0
AUTHORITY_LIFE_S: Final = 3650 * DAY_S
AUTHORITY_RENEWAL_S: Final = 365 * DAY_S
LIFE_S: Final = 365 * DAY_S
RENEWAL_S: Final = 120 * DAY_S
"""A certificate is made anew so long before its end, so that no pod starts with less than that."""
WARNING_S: Final = 30 * DAY_S
"""Ray reads its certificate once: people are told so long before that of a running pod ends."""
_LOCAL: Final = ("127.0.0.1", "::1")
_UID_LENGTH: Final = 8
_RESOURCES: Final = {"cpu": "50m", "memory": "64Mi"}
_WAITING: Final = (
    f'echo "waiting for a certificate for $POD_IP"; until grep -qxF "$POD_IP" {PATH}/addresses; do sleep 0.5; done'
)


@dataclass(frozen=True, slots=True)
class _Side:
    """Head or workers: their Secret, and as whom its holders may be called."""

    secret: str
    called: tuple[str, ...]
    addresses: tuple[str, ...]


def encrypts(cluster: Cluster) -> bool:
    """Say whether the cluster's pods speak TLS with each other."""
    return cluster.spec.tls_options is not None and cluster.spec.tls_options.enabled


def certificates(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """Yield what makes all certificates be there and name every pod."""
    if not encrypts(cluster):
        return
    authority = _secret(seen, authority_name(cluster))
    if authority is None or _ends_s(authority, seen) < AUTHORITY_RENEWAL_S:
        yield _authority(cluster, seen, authority)
    if authority is None:
        return  # who is vouched for comes when it is seen
    for side in _sides(cluster, seen):
        there = _secret(seen, side.secret)
        if there is None or _is_outdated(there, side, authority, seen):
            yield _certificate(cluster, seen, side, authority, there)
    yield from _marks(cluster, seen)
    yield from _warnings(seen)


def certified(cluster: Cluster, seen: Observed) -> bool:
    """Say whether pods may be made: what they mount is there."""
    secrets = (names.HEAD, names.WORKER)
    return not encrypts(cluster) or all(_secret(seen, secret_name(cluster, kind)) for kind in secrets)


def secret_name(cluster: Cluster, kind: str) -> str:
    """Return the name of the Secret that the pods of a kind (head or worker) mount."""
    return f"ray-{kind}-secret-{cluster.name}"


def authority_name(cluster: Cluster) -> str:
    """Return the name of the authority's Secret, which nobody mounts: another one for each cluster that ever was."""
    return f"{cluster.name}-ca-secret-{cluster.uid[:_UID_LENGTH].rstrip('-')}"


# ---- pods ------------------------------------------------------------------------------------------------------------


def tls_environment(cluster: Cluster) -> list[Object]:
    """Return the variables by which Ray speaks TLS, in every container that speaks with Ray."""
    return [{"name": name, "value": value} for name, value in TLS_VARIABLES.items()] if encrypts(cluster) else []


def mount_certificate(cluster: Cluster, pod: Object, kind: str) -> None:
    """Give the Ray container its certificate."""
    if encrypts(cluster):
        share(pod, VOLUME, MOUNT, {"secret": {"secretName": secret_name(cluster, kind)}})


def wait_for_certificate(cluster: Cluster, pod: Object) -> None:
    """Have nothing of the pod start before its certificate names its address; else nobody would speak with it."""
    if not encrypts(cluster):
        return
    ray = pod["spec"]["containers"][0]
    waiting: Object = {
        "name": WAIT_CONTAINER,
        "command": ["/bin/sh", "-c"],
        "args": [_WAITING],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "resources": {"limits": dict(_RESOURCES), "requests": dict(_RESOURCES)},
        "volumeMounts": [{"name": VOLUME, **MOUNT}],
    }
    waiting |= {name: ray[name] for name in ("image", "imagePullPolicy", "securityContext") if name in ray}
    pod["spec"]["initContainers"] = [waiting, *pod["spec"].get("initContainers", ())]


# ---- Secrets ---------------------------------------------------------------------------------------------------------


def _sides(cluster: Cluster, seen: Observed) -> Iterator[_Side]:
    for kind, called in ((names.HEAD, ("localhost", *_services(cluster))), (names.WORKER, ("localhost",))):
        addresses = {address for pod in _pods(seen, kind) for address in _addresses(pod)}
        yield _Side(secret_name(cluster, kind), called, (*_LOCAL, *sorted(addresses - {*_LOCAL})))


def _services(cluster: Cluster) -> Iterator[str]:
    """Yield the names under which the head is found, from near to far; also those of whoever has made the cluster."""
    origin = cluster.labels.get(names.ORIGIN_NAME_LABEL)
    own = cluster.address.partition(".")[0]
    for service in dict.fromkeys((own, names.head_service_name(origin)) if origin else (own,)):
        whole = (service, cluster.namespace, "svc", cluster.settings.cluster_domain)
        yield from (".".join(whole[:length]) for length in range(1, len(whole) + 1))


def _authority(cluster: Cluster, seen: Observed, before: Object | None) -> Certify:
    until = seen.now + AUTHORITY_LIFE_S
    thing = _thing(cluster, authority_name(cluster), {UNTIL_ANNOTATION: timestamp(until)})
    return Certify(thing, f"ray-ca-{cluster.name}", until, before)


def _certificate(cluster: Cluster, seen: Observed, side: _Side, authority: Object, before: Object | None) -> Certify:
    until = min(seen.now + LIFE_S, seen.now + _ends_s(authority, seen))
    told = {
        UNTIL_ANNOTATION: timestamp(until),
        CALLED_ANNOTATION: json.dumps([*side.called, *side.addresses], separators=(",", ":")),
        ISSUER_ANNOTATION: _mark(authority),
    }
    thing = _thing(cluster, side.secret, told)
    return Certify(thing, side.secret, until, before, authority, side.called, side.addresses)


def _thing(cluster: Cluster, name: str, annotations: dict[str, str]) -> Object:
    metadata = {**cluster.owned(name), "annotations": annotations}
    return {"metadata": metadata, "type": "kubernetes.io/tls"}


def _is_outdated(there: Object, side: _Side, authority: Object, seen: Observed) -> bool:
    """Say whether a certificate is to be made anew. Addresses of pods that have gone alone are no reason."""
    lacks = not {*side.called, *side.addresses} <= _called(there)
    other = annotations_of(there).get(ISSUER_ANNOTATION) != _mark(authority)
    return lacks or other or _ends_s(there, seen) < min(RENEWAL_S, _ends_s(authority, seen) - DAY_S)


def _called(secret: Object) -> set[str]:
    try:
        return set(json.loads(annotations_of(secret).get(CALLED_ANNOTATION, "[]")))
    except ValueError:
        return set()


def _mark(authority: Object) -> str:
    """Return what stands for the authority's certificate as it is now."""
    return names.digest(authority["data"].get("tls.crt", ""), length=16)


def _ends_s(secret: Object, seen: Observed) -> float:
    return moment(annotations_of(secret).get(UNTIL_ANNOTATION)) - seen.now


def _secret(seen: Observed, name: str) -> Object | None:
    mine = (one for one in seen.all(SECRET) if key_of(one).name == name)
    return next((one for one in mine if one.get("data")), None)


# ---- which pods are named --------------------------------------------------------------------------------------------


def _marks(cluster: Cluster, seen: Observed) -> Iterator[Patch]:
    for kind in (names.HEAD, names.WORKER):
        secret = _secret(seen, secret_name(cluster, kind))
        if secret is None:
            continue
        called, until = _called(secret), annotations_of(secret)[UNTIL_ANNOTATION]
        for pod in _pods(seen, kind):
            addresses = _addresses(pod)
            if addresses and addresses <= called and UNTIL_ANNOTATION not in annotations_of(pod):
                change: dict[str, object] = {"metadata": {"annotations": {UNTIL_ANNOTATION: until}}}
                yield Patch(POD, key_of(pod), change, failure="FailedMarkPod")


def _warnings(seen: Observed) -> Iterator[Emit]:
    marks = {key_of(pod).name: annotations_of(pod).get(UNTIL_ANNOTATION) for pod in _living(seen.all(POD))}
    ending = sorted(name for name, until in marks.items() if until and moment(until) - seen.now < WARNING_S)
    if ending:
        text = f"the certificates with which {', '.join(ending)} started end within {WARNING_S / DAY_S:.0f} days"
        yield Emit(EventType.WARNING, "CertificatesEnd", f"{text}; delete these pods, and new ones take their place")


def _pods(seen: Observed, kind: str) -> list[Object]:
    return [pod for pod in _living(seen.all(POD)) if labels_of(pod).get(names.NODE_TYPE_LABEL) == kind]


def _living(pods: Iterable[Object]) -> Iterator[Object]:
    return (pod for pod in pods if health(pod) is not Health.ENDED)


def _addresses(pod: Object) -> set[str]:
    status = pod.get("status") or {}
    every = [status.get("podIP"), *(one.get("ip") for one in status.get("podIPs") or ())]
    return {address for address in every if address}
