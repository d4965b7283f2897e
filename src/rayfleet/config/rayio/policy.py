"""RayCluster -> Policy: what its worker groups are to the planner.

Where a resource comes from, the first that says so wins:

    group.resources -> rayStartParams -> limits of the Ray container -> its requests
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from rayfleet.config.rayio.base import INT32_MAX
from rayfleet.config.rayio.quantity import quantity, whole
from rayfleet.config.rayio.raycluster import GroupSpec, RayClusterSpec, UpscalingMode, WorkerGroupSpec
from rayfleet.model import UNITS, FrozenMap, Offer, Policy, Pool, Resources

PROVIDER: Final = "kuberay"
IDLE_TIMEOUT_S: Final = 60.0
CONSERVATIVE_SPEED: Final = 1.0
BOOT_TIMEOUT_S: Final = 900.0
"""A pod may wait for a machine that is added for it, and for an image of many gigabytes."""
_TPU: Final = "google.com/tpu"
_PARAMETERS: Final = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}
_CONTAINER: Final = {"cpu": "CPU", "memory": "memory"}


def policy_of(spec: RayClusterSpec) -> Policy:
    """Return the policy of a cluster's workers; its head is somebody else's."""
    options = spec.autoscaler_options
    idle_s = options.idle_timeout_seconds if options else None
    conservative = options is not None and options.upscaling_mode is UpscalingMode.CONSERVATIVE
    return Policy(
        pools=tuple(_pool(group) for group in spec.worker_group_specs),
        idle_timeout_s=IDLE_TIMEOUT_S if idle_s is None else float(idle_s),
        upscaling_speed=CONSERVATIVE_SPEED if conservative else None,
    )


def group_resources(group: GroupSpec) -> Resources:
    """Return what one pod of a group is for Ray. Processors are rounded up, as `ray start` is told.

    Raises:
        ValueError: an amount cannot be read.
    """
    container = _container(group)
    found: dict[str, Decimal] = {}
    for source in (group.resources, _parameters(group), container.get("limits") or {}, container.get("requests") or {}):
        for name, value in _named(source).items():
            found.setdefault(name, value)
    if "CPU" in found:
        found["CPU"] = Decimal(whole(found["CPU"]))
    return Resources({name: int(value * UNITS) for name, value in found.items()})


def _pool(group: WorkerGroupSpec) -> Pool:
    hosts = group.num_of_hosts
    limited = group.max_replicas < INT32_MAX
    return Pool(
        name=group.group_name,
        resources=group_resources(group),
        labels=FrozenMap(group.labels),
        min_workers=0 if group.suspend else group.min_replicas * hosts,
        max_workers=0 if group.suspend else group.max_replicas * hosts if limited else None,
        priority=group.priority,
        hosts_per_replica=hosts,
        idle_timeout_s=None if group.idle_timeout_seconds is None else float(group.idle_timeout_seconds),
        boot_timeout_s=BOOT_TIMEOUT_S,
        offers=(Offer(provider=PROVIDER),),
    )


def _container(group: GroupSpec) -> Mapping[str, Any]:
    containers = (group.template.get("spec") or {}).get("containers") or [{}]
    resources: Mapping[str, Any] = containers[0].get("resources") or {}
    return resources


def _parameters(group: GroupSpec) -> dict[str, object]:
    """Return what `rayStartParams` say, custom resources only where the group has no `resources` of its own."""
    given: dict[str, object] = {
        name: group.ray_start_params[parameter]
        for parameter, name in _PARAMETERS.items()
        if parameter in group.ray_start_params
    }
    custom = group.ray_start_params.get("resources", "")
    if custom and not group.resources:
        given |= _custom(custom)
    return given


def _custom(text: str) -> dict[str, object]:
    r"""Read custom resources, which users quote for a shell: `'"{\"A\": 1}"'`."""
    read = json.loads(text.strip().strip("'").strip('"').replace("\\", ""))
    if not isinstance(read, dict):
        raise ValueError(f'resources must be a mapping such as {{"A": 1}}, not {text}')  # noqa: TRY004 - a user's text
    return read


def _named(source: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return amounts by Ray's names; what is no resource of Ray's (disk, huge pages) is left out."""
    found: dict[str, Decimal] = {}
    for name, value in source.items():
        known = _CONTAINER.get(name, name)
        if name.endswith("gpu"):
            known = "GPU"
        elif name == _TPU:
            known = "TPU"
        elif "/" in name or name == "ephemeral-storage" or name.startswith("hugepages-"):
            continue
        found[known] = found.get(known, Decimal(0)) + quantity(value)
    return found
