"""Machines that are pods of a RayCluster: whoever runs the RayCluster makes them, we say how many and which go."""

from rayfleet.contracts import ProviderContext, ProviderKind
from rayfleet.providers.kuberay.provider import KubeRayProvider
from rayfleet.providers.kuberay.settings import Settings


def _build(context: ProviderContext) -> KubeRayProvider:
    return KubeRayProvider.reached_by(context)


PROVIDER = ProviderKind(name="kuberay", settings=Settings, build=_build)

__all__ = ["PROVIDER", "KubeRayProvider", "Settings"]
