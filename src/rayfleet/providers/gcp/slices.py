"""TPU slices at Google: made, listed and deleted as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayfleet.contracts import Denied, LaunchRequest, TypeConfig
from rayfleet.providers.gcp import labels, tpu
from rayfleet.providers.gcp.calls import Calls, all_ended
from rayfleet.providers.gcp.client import CallFailed, Slice
from rayfleet.providers.gcp.making import Asked


class Slices:
    """Those of one cluster; nothing is asked where no pool is of TPUs (`wanted`)."""

    def __init__(self, calls: Calls, cluster: str, *, wanted: bool) -> None:
        """Take how to ask, and whose."""
        self._calls = calls
        self._label = labels.cluster_label(cluster)
        self._wanted = wanted
        self._names: dict[str, str] = {}

    def of(self, machine_id: str) -> str:
        """Return the slice of a host, "" when it is no TPU's."""
        return self._names.get(machine_id, "")

    def is_one(self, name: str) -> bool:
        """Say whether this is a slice's name."""
        return name in self._names.values()

    async def all(self) -> tuple[Slice, ...]:
        """Return the cluster's slices, in all zones.

        Raises:
            Flaky, Denied.
        """
        if not self._wanted:
            return ()
        found = await self._calls.told(None, self._calls.compute.slices)
        mine = tuple(one for one in found if one.labels.get(labels.CLUSTER) == self._label)
        self._names |= {machine.id: one.name for one in mine for machine in tpu.machines(one)}
        return mine

    async def ask(
        self, request: LaunchRequest, zone: str, body: Mapping[str, Any], names: tuple[str, ...]
    ) -> tuple[Asked, ...]:
        """Ask for slices, and watch for a while what Google says."""
        asked = await all_ended(self._one(request, zone, body, name) for name in names)
        begun = [one.operation for one in asked if one.operation]
        watched = {operation.name: operation for operation in await self._calls.watched(begun)}
        return tuple(Asked(one.names, one.operation and watched[one.operation.name], one.trouble) for one in asked)

    async def _one(self, request: LaunchRequest, zone: str, body: Mapping[str, Any], name: str) -> Asked:
        ids = tpu.machine_ids(name, request.hosts)
        try:
            operation = await self._calls.once(self._calls.compute.create_slice, zone, name, body)
        except CallFailed as failed:
            return Asked(ids, trouble=failed.trouble)
        self._names.update(dict.fromkeys(ids, name))
        return Asked(ids, operation)

    async def delete(self, name: str, zone: str) -> None:
        """Begin to delete a slice with all its hosts.

        Raises:
            Gone, Flaky, Denied.
        """
        await self._calls.told(None, self._calls.compute.delete_slice, zone, name)

    @staticmethod
    def check(request: LaunchRequest, config: TypeConfig, zone: str) -> None:
        """Refuse what cannot be.

        Raises:
            Denied: with what to do instead.
        """
        count = tpu.hosts(config)
        kind = config.node_config.get("acceleratorType") or config.node_config.get("acceleratorConfig")
        if request.head:
            raise Denied("a TPU cannot be the head: give the head a node type with machineType")
        if not zone:
            raise Denied("TPUs need a zone: set provider.availability_zone")
        if request.hosts != count:
            raise Denied(
                f"a slice {kind} has {count} hosts, and pool {request.offer.pool} counts {request.hosts} for a "
                f"replica: choose a slice of that many hosts"
            )
