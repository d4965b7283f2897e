"""What Serve runs on a cluster, what it should run, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.wire.kube.objects import Key

APPLICATIONS: Final = "serve_applications"
PROXY: Final = "serve_proxy"
CONFIGURE: Final = "put_serve_config"
EVERY_S: Final = 3.0
SERVE_PORT: Final = 8000
RUNNING: Final = "RUNNING"
CAPACITY: Final = "target_capacity"
WHOLE: Final = 100.0
_STEADY: Final = frozenset({"HEALTHY", "DOWNSCALING", ""})
"""States of deployments that have at least the replicas that they should have; "" where Serve says nothing of it."""


@dataclass(frozen=True, slots=True)
class ServeFact:
    """What a cluster's Serve says. `error`: it says nothing.

    `applications`: name -> its status as Ray has it (`status`, `message`, `deployments`, `deployed_app_config`).
    `target_capacity`: the percentage of all replicas that it was told to run, None when it was told none: all.
    """

    applications: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    target_capacity: float | None = None

    @property
    def capacity(self) -> float:
        """Return the percentage of all replicas that Serve tries to run."""
        return WHOLE if self.target_capacity is None else self.target_capacity


def wanted_config(text: str) -> dict[str, Any]:
    """Return the configuration that `serveConfigV2` is.

    Raises:
        ValueError: it is none, in words for the user.
    """
    try:
        config = YAML(typ="safe").load(text or "{}")
    except YAMLError as error:
        raise ValueError(f"serveConfigV2 is no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(config, dict) or not isinstance(config.get("applications"), list):
        raise ValueError("serveConfigV2 must be a mapping with a list of applications")  # noqa: TRY004 - a user's text
    return dict(config)


def probe(url: str, secret: Key | None = None) -> Probe:
    """Return the question what runs at a cluster. `secret`: as of a Probe."""
    return Probe((APPLICATIONS, url), APPLICATIONS, url, every_s=EVERY_S, secret=secret)


def proxy_probe(address: str) -> Probe:
    """Return the question whether Serve's proxy on a node answers; the fact is true or false."""
    return Probe((PROXY, address), PROXY, f"http://{address}:{SERVE_PORT}", every_s=EVERY_S)


def configure(url: str, config: Mapping[str, Any], secret: Key | None = None) -> Call:
    """Return the call that has a cluster run what is wanted. Doing it again changes nothing."""
    return Call(CONFIGURE, url, config, failure="FailedServeConfig", secret=secret)


def is_configured(fact: ServeFact, config: Mapping[str, Any]) -> bool:
    """Say whether a cluster was told to run just what is wanted."""
    told = {name: (state.get("deployed_app_config") or {}) for name, state in fact.applications.items()}
    wanted = {str(app.get("name", "default")): app for app in config["applications"]}
    return told.keys() == wanted.keys() and all(covers(told[name], wanted[name]) for name in wanted)


def is_serving(fact: ServeFact, config: Mapping[str, Any]) -> bool:
    """Say whether everything that is wanted runs."""
    names = {str(app.get("name", "default")) for app in config["applications"]}
    return all((fact.applications.get(name) or {}).get("status") == RUNNING for name in names)


def is_able(fact: ServeFact, capacity: float) -> bool:
    """Say whether a cluster was told this capacity, and has it: all that it was told to run runs, with all replicas."""
    if fact.error or fact.capacity != capacity or not fact.applications:
        return False
    return all(
        state.get("status") == RUNNING
        and all(one.get("status", "") in _STEADY for one in (state.get("deployments") or {}).values())
        for state in fact.applications.values()
    )


def told_config(fact: ServeFact) -> dict[str, Any]:
    """Return what a cluster was told last: to tell it another capacity and nothing else."""
    told = (state.get("deployed_app_config") for state in fact.applications.values())
    return {"applications": [config for config in told if config]}


def statuses(fact: ServeFact) -> dict[str, Any]:
    """Return `applicationStatuses`."""
    return {name: _application(state) for name, state in sorted(fact.applications.items())}


def _application(state: Mapping[str, Any]) -> dict[str, Any]:
    deployments = {
        name: {"status": one.get("status", ""), **({"message": one["message"]} if one.get("message") else {})}
        for name, one in sorted((state.get("deployments") or {}).items())
    }
    told = {"message": state["message"]} if state.get("message") else {}
    return {
        "status": state.get("status", ""),
        **told,
        **({"serveDeploymentStatuses": deployments} if deployments else {}),
    }


def covers(told: Any, wanted: Any) -> bool:
    """Say whether everything that is wanted was told; whoever was told adds defaults of their own."""
    if isinstance(wanted, Mapping):
        return isinstance(told, Mapping) and all(covers(told.get(key), value) for key, value in _set(wanted))
    if isinstance(wanted, list):
        return isinstance(told, list) and len(told) == len(wanted) and all(map(covers, told, wanted))
    return bool(told == wanted)


def _set(wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in wanted.items() if value is not None)
