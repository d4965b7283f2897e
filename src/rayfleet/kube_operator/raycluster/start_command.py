"""`ray start` with its flags, from what a group says and what its container may use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from rayfleet.config.rayio.quantity import quantity, whole
from rayfleet.config.rayio.raycluster import GroupSpec
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.wire.kube.objects import Object

METRICS_PORT: Final = 8080
AGENT_PORT: Final = 52365
OPEN_FILES: Final = 65536

_VALUED_BOOLEANS: Final = {"log-color", "include-dashboard", "include-log-monitor"}
"""Flags that take true or false as a value; all others are there or not."""
_OTHER_ACCELERATORS: Final = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}
_RAY_START: Final = "ray start"


def container_limits(container: Object) -> Mapping[str, object]:
    """Return what a container may use at most."""
    return container.get("resources", {}).get("limits") or {}


def container_requests(container: Object) -> Mapping[str, object]:
    """Return what a container has for certain."""
    return container.get("resources", {}).get("requests") or {}


def start_params(cluster: Cluster, group: GroupSpec, container: Object, *, head: bool) -> dict[str, str]:
    """Return the flags of `ray start` without their dashes; what the user set wins."""
    fixed = {"block": "true", "metrics-export-port": str(METRICS_PORT), "dashboard-agent-listen-port": str(AGENT_PORT)}
    if head:
        fixed |= {"dashboard-host": "0.0.0.0"}  # noqa: S104 - inside a pod, where a Service leads to it
        fixed |= {"no-monitor": "true"} if cluster.autoscaled else {}
    else:
        fixed |= {"address": f"{cluster.address}:{cluster.port}"}
    labels = (
        {"labels": ",".join(f"{key}={value}" for key, value in sorted(group.labels.items()))} if group.labels else {}
    )
    return fixed | _own_resources(container) | group.ray_start_params | _group_resources(group) | labels


def start_command(params: Mapping[str, str], *, head: bool) -> str:
    """Return the line that starts Ray, its flags in order."""
    flags = [_flag(name, value) for name, value in sorted(params.items())]
    return " ".join(part for part in (_RAY_START, "--head" if head else "", *flags) if part)


def container_command(cluster: Cluster, container: Object, start: str, *, overwrite: bool) -> Object:
    """Return `command` and `args` of the Ray container. `overwrite`: the user's own stay as they are."""
    if overwrite:
        return {key: container[key] for key in ("command", "args") if key in container}
    shell = "-cl" if cluster.settings.login_shell else "-c"
    line = f"ulimit -n ${{RAY_START_ULIMIT_OPEN_FILES:-{OPEN_FILES}}}; {start}"
    own = " ".join([*container.get("command", ()), *container.get("args", ())]).strip()
    if own:
        line = own if _RAY_START in own else f"{own} && {line}"
    return {"command": ["/bin/bash", shell, "--"], "args": [line]}


def _flag(name: str, value: str) -> str:
    plain = value.strip().lower()
    if plain in ("true", "false") and name not in _VALUED_BOOLEANS:
        return f"--{name}" if plain == "true" else ""
    return f"--{name}={value}"


def _own_resources(container: Object) -> dict[str, str]:
    """Return what the container's limits mean for Ray. Processors count also when only requested; memory does not."""
    limits, requests = container_limits(container), container_requests(container)
    found: dict[str, str] = {}
    processors = limits.get("cpu", requests.get("cpu"))
    if processors is not None:
        found["num-cpus"] = str(whole(processors))
    if "memory" in limits:
        found["memory"] = str(whole(limits["memory"]))
    devices = sum(whole(value) for name, value in limits.items() if name.endswith("gpu"))
    if devices:
        found["num-gpus"] = str(devices)
    for name, resource in _OTHER_ACCELERATORS.items():
        if quantity(limits.get(name, 0)):
            return found | {"resources": _quoted({resource: whole(limits[name])})}
    return found


def _group_resources(group: GroupSpec) -> dict[str, str]:
    """Return what the group's own `resources` say instead."""
    given = {name: quantity(value) for name, value in group.resources.items()}
    found = {}
    for name, flag in (("CPU", "num-cpus"), ("GPU", "num-gpus"), ("memory", "memory")):
        if name in given:
            found[flag] = f"{given.pop(name).normalize():f}"
    if given:
        found["resources"] = _quoted({name: float(value) for name, value in sorted(given.items())})
    return found


def _quoted(resources: Mapping[str, float]) -> str:
    return f"'{json.dumps(resources, separators=(',', ':'))}'"
