"""rayfleet from Python: a cluster for a notebook or a test, and what a running one is told and asked.

    with rayfleet.LocalCluster(pools={"cpu4": {"CPU": 4}}) as cluster:
        ray.init()                                  # finds it
        ...

The functions mean the cluster that this process is in (a driver, a task, a shell of `rayfleet run`), else the only one
that is up on this machine.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rayfleet.engines.ray import this_process
from rayfleet.launcher import command, view, work
from rayfleet.launcher import home as homes
from rayfleet.launcher.down import down
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.known import choose
from rayfleet.launcher.spec import Limits, Wanted, default_text, pools_text, resolve, wanted
from rayfleet.launcher.up import Standing, up
from rayfleet.model import CPU, LabelSelector, RequestedDemand, Resources
from rayfleet.providers.process import procfs
from rayfleet.providers.process.procfs import ProcessKey

__all__ = ["LocalCluster", "request_resources", "set_policy", "status"]


class LocalCluster:
    """A cluster on this machine for as long as a `with` block, a notebook or a test lasts.

    `pools`: name -> resources (`{"CPU": 4}`) or a whole entry as in `available_node_types`
    (`{"resources": {"CPU": 4}, "min_workers": 1, "labels": {...}}`). `config`: a cluster file instead. Neither: pools
    that this computer can carry. `name`: a fresh one by default, so that clusters never meet; one that is up is
    refused. `max_workers`: of all pools together; `idle_timeout_s`: a worker with nothing to do for so long leaves (a
    file says both by itself).
    `timeout_s`: how long to wait for the head and the minimums.

    While it is up the process's environment holds its address and where its token is, so `ray.init()` and programs that
    are started find it. At the end of the block, whatever ended it, everything is gone and the environment is as it
    was before; when this very process dies, its controller ends the cluster.

    Raises (from `start` and on entering):
        ConfigInvalid: with every mistake of the configuration.
        LauncherError: it could not be started; nothing is left of it.
    """

    def __init__(
        self,
        pools: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        config: str | Path | None = None,
        name: str | None = None,
        max_workers: int | None = None,
        idle_timeout_s: float | None = None,
        timeout_s: float = 180.0,
    ) -> None:
        """Describe the cluster; nothing is started yet. ValueError when `config` comes with what it should say."""
        if config is not None and (pools, max_workers, idle_timeout_s) != (None, None, None):
            raise ValueError("config says what the pools and limits are: give either it or them")
        self.name = homes.check_name(name or f"local-{secrets.token_hex(4)}")
        self._pools = pools
        self._config = config
        self._limits = Limits(max_workers, idle_timeout_s)
        self._timeout_s = timeout_s
        self._before: dict[str, str | None] = {}
        self._standing: Standing | None = None
        self._begun = False

    # ---- life -----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Bring it up and set the environment. Also done on entering a `with` block; nothing happens when it is up."""
        if self._standing is not None:
            return self
        plan = self._wanted()
        if not plan.fresh:  # it would take another configuration, and would go at the end of our block
            raise LauncherError(f"cluster {self.name} is up already, and not ours", "leave the name out, or choose one")
        self._begun = True
        try:
            self._standing = _run(lambda: up(plan, timeout_s=self._timeout_s, owner=_me()))
            self._export()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End what `start` has begun, and put the environment back. LauncherError when some of it stays."""
        if not self._begun:
            return
        if self._before:
            this_process.disconnect()
        self._restore()
        self._standing = None
        home = homes.Home(homes.root() / self.name)
        if home.path.exists():
            ended = _run(lambda: down(home))
            if ended.left_behind:
                raise LauncherError(f"still there: {', '.join(ended.left_behind)}", f"rayfleet down {self.name}")
            homes.remove(home)
        self._begun = False

    def __enter__(self) -> Self:
        """Bring it up."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, also after an exception or Ctrl-C."""
        self.stop()

    # ---- what it says -----------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """Return the variables that make any process a client of it. LauncherError when it is not up."""
        return work.variables(self._home())

    @property
    def address(self) -> str:
        """Return host:port of its Ray. LauncherError when it is not up."""
        return self._up().address

    @property
    def dashboard_url(self) -> str:
        """Return the address of Ray's dashboard, jobs included. LauncherError when it is not up."""
        return self._up().dashboard

    @property
    def head_ready_s(self) -> float:
        """Return how long the head took, in seconds. LauncherError when it is not up."""
        return self._up().head_ready_s

    def status(self) -> dict[str, Any]:
        """Return what `rayfleet status --json` prints."""
        return status(cluster=self.name)

    def request_resources(self, **wishes: Any) -> None:
        """Ask for capacity; see `rayfleet.request_resources`."""
        request_resources(cluster=self.name, **wishes)

    def set_policy(self, **settings: Any) -> None:
        """Change settings; see `rayfleet.set_policy`."""
        set_policy(cluster=self.name, **settings)

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60.0) -> dict[str, Any]:
        """Return the first status for which `condition` holds. TookTooLong when there is none in time."""
        return view.await_status(self._home(), condition, timeout_s)

    # ---- inside -----------------------------------------------------------------------------------------

    def _home(self) -> homes.Home:
        return homes.find(self.name)

    def _up(self) -> Standing:
        if self._standing is None:
            raise LauncherError(f"cluster {self.name} is not up", "use it inside of its `with` block")
        return self._standing

    def _wanted(self) -> Wanted:
        if self._config is not None:
            return resolve(str(self._config), self.name)
        if self._pools is None:
            return wanted(default_text(self.name, self._limits), "this machine's pools", self.name)
        sections = {pool: _section(given) for pool, given in self._pools.items()}
        return wanted(pools_text(self.name, sections, limits=self._limits), "pools", self.name)

    def _export(self) -> None:
        for variable, value in self.env.items():
            self._before.setdefault(variable, os.environ.get(variable))
            os.environ[variable] = value
        this_process.read_variables_again()

    def _restore(self) -> None:
        for variable, value in self._before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        if self._before:
            this_process.read_variables_again()
        self._before.clear()


def status(*, cluster: str | None = None) -> dict[str, Any]:
    """Return what `rayfleet status --json` prints.

    Raises:
        LauncherError: no such cluster, or none is up.
    """
    return view.status_json(choose(cluster))


def set_policy(
    *,
    cluster: str | None = None,
    pools: Mapping[str, Mapping[str, Any]] | None = None,
    clear: str | Sequence[str] = (),
    **settings: Any,
) -> None:
    """Change limits and preferences of a running cluster; they stand until changed again, or cleared.

    `settings`: max_workers, idle_timeout_s, upscaling_speed, downscaling_speed, max_usd_per_hour; `pools`: name ->
    min_workers, max_workers, priority, idle_timeout_s. None means: no limit. `clear`: names of settings that are to
    have the values of the cluster's configuration again; those of a pool are written `POOL.setting`.

        rayfleet.set_policy(max_workers=10, pools={"cpu4": {"max_workers": 4}})
        rayfleet.set_policy(clear=["max_workers", "cpu4.max_workers"])

    Raises:
        LauncherError: no such setting, pool or value (nothing is changed then), or nobody controls the cluster.
        ValueError: a setting is both changed and cleared.
    """
    changes = [(key, _text(value)) for key, value in settings.items()]
    for pool, given in (pools or {}).items():
        changes += [(f"{pool}.{key}", _text(value)) for key, value in given.items()]
    cleared = (clear,) if isinstance(clear, str) else tuple(clear)
    both = sorted({key for key, _ in changes}.intersection(cleared))
    if both:
        raise ValueError(f"changed and cleared at the same time: {', '.join(both)}")
    home = choose(cluster)
    _run(lambda: command.change(home, changes, "rayfleet.set_policy", cleared=cleared))


def request_resources(
    *,
    num_cpus: float | None = None,
    bundles: Sequence[Mapping[str, float]] | None = None,
    selectors: Sequence[Mapping[str, str]] | None = None,
    cluster: str | None = None,
) -> None:
    """Ask for total capacity, whatever waits: `num_cpus` bundles of one CPU, and `bundles`.

    `selectors`: for each of `bundles`, the labels that its machine must have. Every call replaces the one before;
    without arguments nothing is asked for any more. Works inside and outside of a driver.

    Raises:
        LauncherError: no such cluster, or none is up.
        EngineDown: its Ray does not answer.
        ValueError: the amounts are none, or `selectors` are not as many as `bundles`.
    """
    from rayfleet.engines.ray.requests import request_resources as ask
    from rayfleet.launcher.job import ray_settings

    settings, wishes = ray_settings(choose(cluster)), _wishes(num_cpus, bundles or (), selectors)
    _run(lambda: ask(settings, wishes))


def _wishes(
    num_cpus: float | None, bundles: Sequence[Mapping[str, float]], selectors: Sequence[Mapping[str, str]] | None
) -> tuple[RequestedDemand, ...]:
    if num_cpus is not None and num_cpus < 0:
        raise ValueError(f"nobody can have {num_cpus} CPUs")
    where = selectors if selectors is not None else [{}] * len(bundles)
    wishes = [_wish(bundle, labels) for bundle, labels in zip(bundles, where, strict=True)]
    if num_cpus:
        wishes.insert(0, RequestedDemand(Resources.of({CPU: 1}), math.ceil(num_cpus)))
    return tuple(wishes)


def _wish(bundle: Mapping[str, float], labels: Mapping[str, str]) -> RequestedDemand:
    if any(amount < 0 for amount in bundle.values()):
        raise ValueError(f"no machine has less than nothing: {dict(bundle)}")
    return RequestedDemand(Resources.of(bundle), 1, (LabelSelector.parse(labels),) if labels else ())


def _me() -> ProcessKey:
    found = procfs.stat(os.getpid())
    if found is None:
        raise LauncherError("/proc does not list this very process", "rayfleet needs Linux's /proc")
    return found.key


def _section(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a pool as in `available_node_types`: bare resources become one."""
    return given if isinstance(given.get("resources"), Mapping) else {"resources": given}


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _run(work_of: Callable[[], Any]) -> Any:
    """Run a coroutine to its end from plain code, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work_of())
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rayfleet") as thread:
        return thread.submit(asyncio.run, work_of()).result()
