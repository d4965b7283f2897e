"""The programs that are attached to a cluster, as its GCS knows them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from rayfleet.contracts import Attachment
from rayfleet.engines.ray.gcs import Gcs
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.engines.ray.tls import credentials

_INTERNAL: Final = "_ray_internal_"
"""Namespaces of Ray's own programs (the dashboard, agents of jobs) begin so."""


class RayDrivers:
    """The drivers of one cluster, over a connection of its own."""

    def __init__(self, settings: RaySettings) -> None:
        """Take where the cluster is; connected at the first look."""
        self._gcs = Gcs(settings.gcs_address, settings.token, tls=partial(credentials, settings))

    async def look(self) -> Attachment:
        """Return whether drivers are attached.

        Raises:
            EngineError: no answer.
        """
        return attachment(await self._gcs.jobs())

    async def close(self) -> None:
        """Let go of the connection."""
        await self._gcs.close()


def attachment(jobs: Iterable[Any]) -> Attachment:
    """Return what the GCS's table of jobs says. Pure."""
    users = [job for job in jobs if not job.config.ray_namespace.startswith(_INTERNAL)]
    return Attachment(any(not job.is_dead for job in users), sum(job.is_dead for job in users))
