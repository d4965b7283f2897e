"""Which RayCluster it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """The `provider:` section of a cluster whose machines are pods of a RayCluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: str = "default"
    """Where the RayCluster is."""
    cluster: str = ""
    """The RayCluster's name; "": as the cluster's."""
    context: str | None = None
    """The context of the kubeconfig; null: the current one, or the pod's own account."""
