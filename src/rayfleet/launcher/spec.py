"""Which cluster is wanted: a file, one that was up before, or this machine's own pools; and its stored form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rayfleet.config import Checked, ClusterSpec, check, load, may_be_manifest, show
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import DEFAULT_NAME, Home, is_config
from rayfleet.model import Pool
from rayfleet.wiring import registry

if TYPE_CHECKING:
    from rayfleet.wiring import Assembly

HEAD_POOL: Final = "head"
IDLE_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cluster that somebody wants up: its name, its checked configuration and the text that it was read from.

    `fresh`: it was not up when it was asked for. `stale`: it was, under another configuration.
    """

    name: str
    spec: ClusterSpec
    text: str
    fresh: bool
    stale: bool


def resolve(word: str | None, name: str | None = None) -> Wanted:
    """Return what `up` is to bring up. `word`: a configuration file or a known cluster; None: this machine's pools.

    A cluster that is up and asked for without a file keeps the configuration that it has.

    Raises:
        ConfigInvalid: with every problem of the file.
        LauncherError: there is no such file or cluster.
    """
    if word is not None and not is_config(word):
        home = homes.find(word)
        if name not in (None, home.name):
            raise LauncherError(f"cluster {home.name} has its name already", f"rayfleet up {home.config} --name {name}")
        return wanted(_stored_text(home), str(home.config), home.name)
    if word is not None:
        return wanted(_read(Path(word)), word, name)
    home = Home(homes.root() / homes.check_name(name or DEFAULT_NAME))
    text = _stored_text(home) if home.is_up else default_text(home.name)
    return wanted(text, "this machine's pools", home.name)


def wanted(text: str, file: str, name: str | None = None) -> Wanted:
    """Return the cluster that `text` describes, called `name` where that is given.

    Raises:
        ConfigInvalid: with every problem of it.
        LauncherError: its name cannot be one.
    """
    spec = load(text, registry(), file)
    if may_be_manifest(text):
        verbs = "up, down, status, logs, exec, attach and submit take such a file; so do config check and plan"
        raise LauncherError(f"{file} describes a cluster in Kubernetes, which this command does not know", verbs)
    home = Home(homes.root() / homes.check_name(name or spec.name))
    stale = home.is_up and _stored_text(home) != text
    return Wanted(home.name, replace(spec, name=home.name), text, fresh=not home.is_up, stale=stale)


def stored(home: Home) -> ClusterSpec:
    """Return the configuration that the cluster has now.

    Raises:
        ConfigInvalid: its file was damaged, or written by another release.
        LauncherError: its file cannot be read.
    """
    return replace(load(_stored_text(home), registry(), str(home.config)), name=home.name)


def assemble(home: Home) -> Assembly:
    """Return a ready Reconciler of the cluster.

    Raises:
        NotRunning: the cluster is down, so that its Ray has no address.
        ConfigInvalid, LauncherError: see `stored`.
    """
    from rayfleet.launcher.remote.login import PUBLIC
    from rayfleet.wiring import build

    if not home.settings.exists():
        raise NotRunning(f"cluster {home.name} is down", f"rayfleet up {home.name}")
    public = home.path / PUBLIC  # on a head, which launches machines that it may have to log in to
    key = public.read_text(encoding="utf-8").strip() if public.exists() else ""
    return build(stored(home), home.path, RaySettings.load(home.path), public_key=key)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cluster that has no file may be told. None: as this machine, or rayfleet, thinks best."""

    max_workers: int | None = None
    idle_timeout_s: float | None = None

    def section(self) -> dict[str, Any]:
        """Return it as lines of a cluster file."""
        idle_s = IDLE_TIMEOUT_S if self.idle_timeout_s is None else self.idle_timeout_s
        most = _carried() if self.max_workers is None else self.max_workers
        return {"max_workers": most, "idle_timeout_minutes": idle_s / 60, "upscaling_speed": None}


def _carried() -> int:
    """Return how many machines this computer carries: without a number a file would mean Ray's own default of two."""
    from rayfleet.providers.process.catalogue import default_max_workers, this_computer

    return default_max_workers(this_computer())


def default_text(name: str, limits: Limits = Limits()) -> str:
    """Return the configuration of a cluster for which nobody wrote one: pools that this computer can carry."""
    from rayfleet.providers.process.catalogue import default_head, default_pools, this_computer

    computer = this_computer()
    pools = {pool.name: _pool_section(pool) for pool in default_pools(computer)}
    return pools_text(name, pools, _pool_section(default_head(computer)), limits)


def pools_text(
    name: str,
    pools: Mapping[str, Mapping[str, Any]],
    head: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),
) -> str:
    """Return a configuration of these pools (each as in `available_node_types`), as JSON, which is YAML too."""
    types = {HEAD_POOL: dict(head or {"resources": {"CPU": 0}})}
    whole = {
        "cluster_name": name,
        "provider": {"type": "process"},
        **limits.section(),
        "head_node_type": HEAD_POOL,
        "available_node_types": types | {pool: dict(section) for pool, section in pools.items()},
    }
    return json.dumps(whole, indent=2) + "\n"


def checked(text: str, file: str) -> Checked:
    """Return everything that is to be said about a cluster file."""
    return check(text, registry(), file)


def shown(text: str, file: str) -> dict[str, Any]:
    """Return what a cluster file comes to once every default is filled in.

    Raises:
        ConfigInvalid: with every problem of it.
    """
    from rayfleet.launcher.prices import price_rows

    spec = load(text, registry(), file)
    return show(spec) | {"prices": [row.as_json() for row in price_rows(spec)]}


def _pool_section(pool: Pool) -> dict[str, Any]:
    resources: dict[str, Any] = {"CPU": 0, **pool.resources.amounts()}
    return {"resources": resources} | ({"max_workers": pool.max_workers} if pool.max_workers else {})


def _stored_text(home: Home) -> str:
    return _read(home.config)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        looked = f"looked in {Path.cwd()}" if not path.is_absolute() else ""
        raise LauncherError(f"there is no file {path}", looked) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LauncherError(f"{path} cannot be read: {error}") from error
