"""What `rayfleet up` runs on the head of a cluster elsewhere, by hidden commands: idempotent, each answers with JSON.

    head-start NAME   the addresses of the Ray that runs here -> controller, unless one runs by this very configuration
    head-state NAME   what is still waited for
    head-rest NAME    every pool is held at nothing, or at its minimum, until the next head-start
    head-stop NAME    the controller ends; machines stay, for whoever releases them from elsewhere; but workers on hosts
                      of one's own are given back from here: nobody else need be able to reach them

The cluster's folder here was written by `up` (see `deliver`); Ray is started by the head's recipe, often meanwhile.
People wait for the controller to start: what only other commands need is imported by them.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from rayfleet import wiring
from rayfleet.config import ClusterSpec, ConfigInvalid
from rayfleet.contracts import KeepsHosts, Login, Machine, Provider, ProviderError
from rayfleet.engines.ray.commands import token_file
from rayfleet.engines.ray.settings import RaySettings, own_address
from rayfleet.launcher import daemon, lease, logs, view
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import ControllerDied, LauncherError, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote.login import KEY, POOL_TOKEN, PUBLIC
from rayfleet.launcher.remote.site import alone as provider_alone
from rayfleet.launcher.spec import stored
from rayfleet.launcher.up import head_step, minimum_step, stop_controller
from rayfleet.model import OrderKind

FIRST_REPORT_S: Final = 60.0
_POLL_S: Final = 0.1
_LAST_WORDS: Final = 50
RESTING: Final = "down --workers-only"
"""Why the orders of `head-rest` were given, by which they are known again."""
_CONTROLLED: Final = "controlled"
"""The file with the digest of the configuration that the newest controller was started with."""
_MACHINE: Final = "head-machine"
"""The file with the machine whose head the newest controller was started for."""
_LOCK: Final = "head.lock"

Json = dict[str, Any]


async def start(name: str) -> Json:
    """See that Ray's addresses are written down and that a controller works by the configuration here.

    Raises:
        LauncherError: this very machine launches the cluster, or the folder is not there.
        ControllerDied: the message holds its last words.
        TookTooLong: it reports nothing.
    """
    home = homes.create(homes.find(name).name)  # with its folder of logs, closed to others
    if home.is_elsewhere:
        hint = "set XDG_STATE_HOME to another folder for rayfleet up"
        raise LauncherError(f"this machine launches {name}, and cannot be its head from the same folder", hint)
    settings = settings_of(home)
    digest = digest_of(home, settings)
    async with alone(home):
        fresh = lease.controller(home) is None or _controlled(home) != digest
        began = time.time()
        if fresh:
            await stop_controller(home)
        home.forget_alert_secrets(home.config.read_text(encoding="utf-8"))  # which nobody reads any more
        if fresh:
            begin_anew_on(home, os.environ.get("RAYFLEET_MACHINE_ID", ""))
            settings.save()
            home.write(home.path / _CONTROLLED, digest)
            await _begin(home, began)
        await _work_again(home)
    return {"address": settings.gcs_address, "dashboard": settings.dashboard_url, "started": fresh}


def begin_anew_on(home: Home, machine: str) -> None:
    """Forget the ledger of another head, which a host of one's own keeps: its claims would be taken for this one's."""
    noted = home.path / _MACHINE
    if machine and noted.exists() and noted.read_text(encoding="utf-8") != machine:
        home.forget_ledger()
    home.write(noted, machine)


@asynccontextmanager
async def alone(home: Home) -> AsyncIterator[None]:
    """Start or stop the controller while nobody else does: an `up` that was killed may have left its command behind."""
    with (home.path / _LOCK).open("a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
        yield


def settings_of(home: Home) -> RaySettings:
    """Return how the Ray that the head's recipe has started is reached from here."""
    host = os.environ.get("RAYFLEET_ADDRESS") or own_address()
    token = str(Path(token_file(home.name)).expanduser())
    return wiring.remote_settings(stored(home), home.path, host, token_file=token)


def digest_of(home: Home, settings: RaySettings) -> str:
    """Return what tells one configuration from another, as it is noted of the controller that works by it."""
    text = home.config.read_bytes() + repr(settings).encode()
    return hashlib.sha256(text).hexdigest()


def _controlled(home: Home) -> str:
    try:
        return (home.path / _CONTROLLED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


async def _begin(home: Home, began: float) -> None:
    """Start a controller and wait for its first report."""
    child = daemon.spawn(home, marked=True)  # a head that is given back although it could not be asked takes it along
    deadline = time.monotonic() + FIRST_REPORT_S
    while view.newest(home, since=began) is None:
        if child.poll() is not None:
            words = logs.last_lines(home.logs / logs.OUTPUT_LOG, _LAST_WORDS) or logs.tail(home, _LAST_WORDS)
            raise ControllerDied("\n".join(["the controller on the head ended; its last words:", *words]))
        if time.monotonic() > deadline:
            raise TookTooLong(
                f"the controller reports nothing for {FIRST_REPORT_S:.0f} s", f"rayfleet logs {home.name}"
            )
        await asyncio.sleep(_POLL_S)


def state(name: str) -> Json:
    """Return what is waited for: `step` (text, done, total) or None, and what there is.

    Raises:
        UnknownCluster: there is no such cluster here.
    """
    from rayfleet.launcher import orders

    home = homes.find(name)
    report = view.newest(home)
    step = head_step(report) or minimum_step(report)
    pools = report.snapshot.policy.pools if report else ()
    return {
        "controlled": lease.controller(home) is not None,
        "step": None if step is None else [step.text, step.done, step.total],
        "workers": sum(view.ready(report, pool.name) for pool in pools) if report else 0,
        "overrides": list(orders.overrides(report.plan.orders)) if report else [],
        "said": _said(home, report),
        "passed_over": _passed_over(home),
    }


def _passed_over(home: Home) -> Json:
    """Return the hosts of one's own that could not be taken when they were wanted last, and why."""
    try:
        read = wiring.registry()[stored(home).provider].passed_over
    except (ConfigInvalid, LauncherError):
        return {}
    return dict(read(home.path)) if read is not None else {}


def _said(home: Home, report: Any) -> list[str]:
    """Return why something is not as wanted: back-offs' words, troubles, and a controller that is not well."""
    if report is None:
        return []
    words = [backoff.message for backoff in report.plan.backoffs if backoff.message]
    return [*words, *report.troubles, *([view.warning(home)] if view.warning(home) else [])]


async def rest(name: str, *, keep_min_workers: bool) -> Json:
    """Hold every pool at no machine, or at its minimum, until `start` is asked for again.

    Raises:
        NotRunning: there is no controller to see to it.
    """
    from rayfleet.launcher import command

    home = homes.find(name)
    pools = stored(home).policy.pools
    for pool in pools:
        await command.scale(home, pool.name, pool.min_workers if keep_min_workers else 0, RESTING)
    return {"pools": [pool.name for pool in pools]}


async def _work_again(home: Home) -> None:
    """Take back what `rest` has ordered."""
    report = view.newest(home)
    for order in report.plan.orders if report else ():
        if order.kind is OrderKind.SCALE and order.why == RESTING:
            from rayfleet.launcher import command

            await command.unscale(home, order.target)


Maker = Callable[[ClusterSpec, Home, Login], Provider]


async def stop(name: str, make: Maker = provider_alone) -> Json:
    """End the controller, if there is one; machines stay, but for workers on hosts of one's own.

    Raises:
        TookTooLong: it does not end.
        UnknownCluster: there is no such cluster here.
    """
    home = homes.find(name)
    async with alone(home):
        running = lease.controller(home) is not None
        await stop_controller(home)
        given_back = await give_back(home, make)
        # The key of its machines is not left behind; `up` brings it again.
        for each in (_CONTROLLED, KEY, PUBLIC, POOL_TOKEN):
            (home.path / each).unlink(missing_ok=True)
        home.forget_ray()
    return {"stopped": running, **given_back}


async def give_back(home: Home, make: Maker) -> Json:
    """Give workers on hosts of one's own back; return how many, and how each host was when it answered last."""
    try:
        spec = stored(home)
    except (ConfigInvalid, LauncherError):  # nobody can know the hosts then
        return {}
    if not wiring.registry()[spec.provider].keeps_hosts:
        return {}
    provider = make(spec, home, wiring.login(spec))
    workers: tuple[str, ...] = ()
    left: tuple[Machine, ...] = ()
    try:
        left = await provider.list()
        workers = tuple(machine.id for machine in left if not machine.head)
        await provider.release(workers)
        left = await provider.list()
    except ProviderError:  # what is left is seen by whoever asked us, and in what is remembered
        pass
    finally:
        await provider.close()
    if not isinstance(provider, KeepsHosts):
        return {}
    there = {host.machine_id for host in provider.silent()} | {machine.id for machine in left}
    return {"released": len(set(workers) - there), "hosts": dict(provider.remembered())}
