"""What is known of Google's machines without asking: sizes, zones, markets and prices."""

from __future__ import annotations

from typing import Final

from rayfleet.contracts import Catalogue, TypeConfig
from rayfleet.model import CPU, GPU, MEMORY, Market, Offer, Resources
from rayfleet.providers.gcp import tpu
from rayfleet.providers.gcp.bodies import is_spot, is_tpu, machine_type
from rayfleet.providers.gcp.settings import Settings
from rayfleet.wire.catalogue import tables

CLOUD: Final = "gcp"
MEMORY_SHARE: Final = 0.7
"""Of a machine's memory, what Ray counts as `memory`; the rest is its object store."""
_MAKERS: Final = ("nvidia-", "tesla-")


class GcpCatalogue:
    """Answers from the tables; custom machine types say in their names what they have."""

    def instance_type(self, settings: Settings, config: TypeConfig) -> str:  # noqa: ARG002 - the same everywhere
        """Return the machine type, a TPU's accelerator type, or the instance template that says it."""
        node = config.node_config
        if is_tpu(config):
            topology = node.get("acceleratorConfig") or {}
            return str(node.get("acceleratorType") or f"{topology.get('type')} {topology.get('topology')}")
        return machine_type(config) or str(node["sourceInstanceTemplate"]).rpartition("/")[2]

    def resources(self, settings: Settings, config: TypeConfig) -> Resources | None:  # noqa: ARG002 - as above
        """Return what such a machine has, with the GPUs that the configuration adds to it."""
        found = tables.machine_type(CLOUD, machine_type(config)) if not is_tpu(config) else None
        if found is None:
            return None
        added = _added(config)
        gpus = found.gpus + sum(added.values())
        kinds = {kind for kind in (found.accelerator, *added) if kind}
        return Resources.of(
            {
                CPU: found.cpus,
                MEMORY: int(found.memory_bytes * MEMORY_SHARE),
                **({GPU: gpus} if gpus else {}),
                **{f"accelerator_type:{kind}": 1 for kind in kinds},
            }
        )

    def offers(self, settings: Settings, config: TypeConfig) -> tuple[Offer, ...]:
        """Return one for each zone, in the file's order, in the market that `scheduling` says.

        No table knows what a GPU costs that is added to a machine. Google takes no maximum price for spot machines.
        """
        market = Market.SPOT if is_spot(config) or config.spot_max_usd_per_hour is not None else Market.ON_DEMAND
        region, kind = settings.where, machine_type(config)
        known = tables.price(CLOUD, region, kind, market) if not _added(config) and not is_tpu(config) else None
        usd = known.usd_per_hour if known else None
        return tuple(Offer(usd, market, zone, region or None, provider=CLOUD) for zone in settings.zones or (None,))

    def hosts(self, settings: Settings, config: TypeConfig) -> int:  # noqa: ARG002 - the same everywhere
        """Return how many hosts a slice of TPUs has; anything else is one machine.

        Raises:
            Denied: nothing says what it is.
        """
        return tpu.hosts(config) if is_tpu(config) else 1


def _added(config: TypeConfig) -> dict[str, int]:
    """Return the GPUs that are added to a machine: Ray's name of each kind, and how many."""
    found: dict[str, int] = {}
    for accelerator in config.node_config.get("guestAccelerators") or ():
        name = str(accelerator.get("acceleratorType", "")).rpartition("/")[2]
        for maker in _MAKERS:
            name = name.removeprefix(maker)
        kind = name.removesuffix("-80gb").upper()
        found[kind] = found.get(kind, 0) + int(accelerator.get("acceleratorCount", 0))
    return found


CATALOGUE: Final[Catalogue] = GcpCatalogue()
