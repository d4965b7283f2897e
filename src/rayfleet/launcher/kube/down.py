"""`down`: the resource goes, and what a file has beside it; over when no pod is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.launcher.errors import TookTooLong
from rayfleet.launcher.kube.look import pods_of
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.up import POLL_S, Tell
from rayfleet.launcher.kube.view import cluster_name
from rayfleet.wire.kube.errors import NotFound, Unavailable
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key, Kind, Object, key_of, labels_of

ORIGIN_NAME_LABEL: Final = "ray.io/originated-from-cr-name"
ORIGIN_KIND_LABEL: Final = "ray.io/originated-from-crd"


@dataclass(frozen=True, slots=True)
class Ended:
    """What `down` did. `existed` False: there was nothing to delete."""

    target: Target
    existed: bool
    pods: int
    took_s: float

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        key = self.target.key
        return {
            "kind": self.target.kind.name,
            "name": key.name,
            "namespace": key.namespace,
            "existed": self.existed,
            "pods": self.pods,
            "took_s": round(self.took_s, 3),
        }


async def bring_down(
    kube: Kube, target: Target, beside: Sequence[tuple[Kind, Object]], tell: Tell, limit_s: float
) -> Ended:
    """Delete the resource, then what goes along with it; return when its pods are gone too.

    Raises:
        TookTooLong: something is still there; the message names it.
    """
    began = asyncio.get_running_loop().time()
    try:
        thing = await kube.get(target.kind, target.key)
    except NotFound:
        return Ended(target, existed=await _remove(kube, beside), pods=0, took_s=0.0)
    clusters = await _clusters(kube, target, thing)
    before = len(await _pods(kube, target.key.namespace, clusters))
    await _delete(kube, target.kind, target.key)
    await _until_gone(kube, target, clusters, tell, began + limit_s)
    await _remove(kube, beside)
    return Ended(target, existed=True, pods=before, took_s=asyncio.get_running_loop().time() - began)


async def _until_gone(kube: Kube, target: Target, clusters: set[str], tell: Tell, until: float) -> None:
    told = ""
    while True:
        try:
            clusters |= await _clusters(kube, target, None)
            left = await _left(kube, target, clusters)
        except Unavailable:
            left = [*([told] if told else []), "(the API server does not answer)"]
        if not left:
            return
        if asyncio.get_running_loop().time() >= until:
            names = "\n".join(left)
            raise TookTooLong(f"still there:\n{names}", "finalizers, or a machine that does not answer, may hold them")
        if told != (told := f"{len(left)} left: {', '.join(left)}"):
            tell(told)
        await asyncio.sleep(POLL_S)


async def _left(kube: Kube, target: Target, clusters: set[str]) -> list[str]:
    left = [f"pod {key_of(pod).name}" for pod in await _pods(kube, target.key.namespace, clusters)]
    try:
        await kube.get(target.kind, target.key)
    except NotFound:
        return left
    return [f"{target.kind.name} {target.key.name}", *left]


async def _clusters(kube: Kube, target: Target, thing: Object | None) -> set[str]:
    """Return the names of every RayCluster that the resource has made, or is."""
    if target.kind.name == RAY_CLUSTER.name:
        return {target.key.name}
    made = await kube.list(RAY_CLUSTER, target.key.namespace, ORIGIN_NAME_LABEL)
    names = {key_of(one).name for one in made.items if _is_from(one, target)}
    selected = bool((thing or {}).get("spec", {}).get("clusterSelector"))
    own = cluster_name(thing) if thing is not None and not selected else ""  # a cluster that was selected stays
    return names | ({own} if own else set())


def _is_from(cluster: Object, target: Target) -> bool:
    labels = labels_of(cluster)
    same = labels.get(ORIGIN_NAME_LABEL) == target.key.name
    return same and labels.get(ORIGIN_KIND_LABEL) == target.kind.name


async def _pods(kube: Kube, namespace: str, clusters: set[str]) -> list[Object]:
    return [pod for name in sorted(clusters) for pod in await pods_of(kube, namespace, name)]


async def _remove(kube: Kube, beside: Sequence[tuple[Kind, Object]]) -> bool:
    """Delete what goes along; say whether any of it was there."""
    return any([await _delete(kube, kind, key_of(thing)) for kind, thing in reversed(beside)])


async def _delete(kube: Kube, kind: Kind, key: Key) -> bool:
    try:
        await kube.delete(kind, key)
    except NotFound:
        return False
    return True
