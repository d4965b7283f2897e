"""The API server -> one View: the resource, its RayCluster and that one's pods."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.launcher.errors import NoCluster, SeveralClusters, UnknownCluster
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.view import CLUSTER_LABEL, View, cluster_name, view
from rayfleet.wire.kube.errors import NotFound
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Object, key_of


@dataclass(frozen=True, slots=True)
class Found:
    """A resource, the RayCluster that it runs on (None while it has none), and that one's pods."""

    thing: Object
    cluster: Object | None
    pods: tuple[Object, ...]

    @property
    def view(self) -> View:
        """Return it in words."""
        return view(self.thing, self.cluster, self.pods)


async def look(kube: Kube, target: Target) -> Found:
    """Return how a resource is.

    Raises:
        UnknownCluster: it does not exist.
    """
    try:
        thing = await kube.get(target.kind, target.key)
    except NotFound as error:
        hint = f"known: kubectl get {target.kind.plural} -n {target.key.namespace}"
        raise UnknownCluster(f"there is no {target.kind.name} {target.key}", hint) from error
    name = cluster_name(thing)
    cluster = thing if target.kind.name == RAY_CLUSTER.name else await _cluster(kube, target.key.namespace, name)
    pods = await pods_of(kube, target.key.namespace, name) if name else ()
    return Found(thing, cluster, pods)


async def pods_of(kube: Kube, namespace: str, cluster: str) -> tuple[Object, ...]:
    """Return the pods of a RayCluster."""
    return (await kube.list(POD, namespace, f"{CLUSTER_LABEL}={cluster}")).items


async def only_cluster(kube: Kube, context: str | None, namespace: str) -> Target:
    """Return the only RayCluster of a namespace.

    Raises:
        NoCluster, SeveralClusters: there is none, or more than one.
    """
    names = [key_of(thing).name for thing in (await kube.list(RAY_CLUSTER, namespace)).items]
    if not names:
        raise NoCluster(f"no RayCluster is in namespace {namespace}", "another namespace: -n NAMESPACE")
    if len(names) > 1:
        raise SeveralClusters(f"several RayClusters are in namespace {namespace}: {', '.join(names)}", "name one")
    return Target(RAY_CLUSTER, Key(namespace, names[0]), context)


async def _cluster(kube: Kube, namespace: str, name: str) -> Object | None:
    try:
        return await kube.get(RAY_CLUSTER, Key(namespace, name)) if name else None
    except NotFound:
        return None
