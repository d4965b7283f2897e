"""Bringing a cluster up: check, write down, start the controller, and wait until the loop has made it so.

Nothing is launched from here: the controller's loop launches the head like any other machine. So a cluster whose
controller was killed is taken up by starting a new one; what runs is in the ledger and in the provider's records.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from rayfleet.contracts import LedgerUnavailable
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import daemon, lease, logs, suspension, view
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import AlreadyControlled, ControllerDied, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.ports import settle
from rayfleet.launcher.progress import Progress, Step, unseen
from rayfleet.launcher.spec import Wanted
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import OrderKind, Phase, TickReport
from rayfleet.providers.process.procfs import ProcessKey

UP_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.1
_LAST_WORDS: Final = 15


@dataclass(frozen=True, slots=True)
class Standing:
    """A cluster that is up. `head_ready_s`, `took_s`: how long the caller waited for the head, and for all of it.

    `workers`: machines that are ready, the head not counted. `overrides`: standing orders that go before the
    configuration, for people.
    """

    cluster: str
    address: str
    client: str
    dashboard: str
    head_ready_s: float
    took_s: float
    workers: int
    overrides: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "overrides": list(self.overrides)}


async def up(
    wanted: Wanted,
    progress: Progress = unseen,
    timeout_s: float = UP_TIMEOUT_S,
    owner: ProcessKey | None = None,
) -> Standing:
    """Bring the cluster up, or take it up again; return when its head and its minimums are ready.

    `owner`: a process that the cluster is to end with, however that ends.

    Raises:
        AlreadyControlled: somebody else is at it, such as a `down`.
        ControllerDied: the message holds its last words.
        TookTooLong: it is still not there; it may still come.
        ConfigInvalid, LauncherError: nothing was started.
    """
    began = time.monotonic()
    home, held = prepare(wanted)
    progress(Step("starting the controller"))
    limit = Limit(began + timeout_s, time.time())
    with held:
        child = await _ensure_controller(home, wanted, owner)

        async def until(text: Callable[[TickReport | None], Step | None]) -> float:
            try:
                await _watch(home, child, text, progress, limit)
            except asyncio.CancelledError:
                await _settle(home, child)
                raise
            return time.monotonic() - began

        head_ready_s = await until(head_step)
        took_s = await until(minimum_step)
    return _standing(home, head_ready_s, took_s)


async def up_and_serving(wanted: Wanted, progress: Progress = unseen, timeout_s: float = UP_TIMEOUT_S) -> Standing:
    """Bring the cluster up and wait for its head's servers too: ray:// and jobs come seconds after its node.

    Raises:
        As `up`; TookTooLong names the server that does not answer.
    """
    began = time.monotonic()
    standing = await up(wanted, progress, timeout_s)
    servers = {"Ray's client server": standing.client, "Ray's job server": standing.dashboard}
    for name, url in servers.items():
        progress(Step(name))
        where = urlsplit(url)
        while not await _answers(where.hostname or "", where.port or 0):
            if time.monotonic() > began + timeout_s:
                raise TookTooLong(f"{name} does not answer at {url}", f"rayfleet logs {standing.cluster}")
            await asyncio.sleep(_POLL_S)
    return replace(standing, took_s=round(time.monotonic() - began, 3))


async def _answers(host: str, port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def prepare(wanted: Wanted) -> tuple[Home, ExitStack]:
    """Make the cluster's folder and, the first time, write down its configuration, addresses and token.

    The second value holds its ports, until it is closed; its head should have them by then.

    Raises:
        LauncherError: its name or folder cannot be.
    """
    home = homes.create(wanted.name)
    held = settle(home)
    if not home.config.exists():
        home.write(home.config, wanted.text)
    return home, held


async def take_up(home: Home, wanted: Wanted) -> None:
    """Write the configuration down and take back the order of a `down` that nobody finished.

    For whoever starts a controller next, and only while there is none: what is written is what one works by.

    Raises:
        AlreadyControlled: there is one; nothing was changed.
    """
    with lease.lease(home, lease.UP):
        home.write(home.config, wanted.text)
        await _withdraw_shutdown(home)
        suspension.clear(home)


@dataclass(frozen=True, slots=True)
class Limit:
    """How long to wait (`deadline`, monotonic), and for reports of after when (`since`, seconds since the epoch)."""

    deadline: float
    since: float


async def _ensure_controller(home: Home, wanted: Wanted, owner: ProcessKey | None) -> subprocess.Popen[bytes] | None:
    """Start a controller when there is none, or when the one there is works by an older configuration."""
    while (running := lease.controller(home)) is not None:
        if running.role == lease.CONTROLLER:
            if await _is_ending(home):
                raise _ending(home, running)
            if not wanted.stale:
                return None
            await stop_controller(home)
            break
        if running.role != lease.UP:
            raise _ending(home, running)
        await asyncio.sleep(_POLL_S)  # another `up` writes things down, which takes a moment
    await take_up(home, wanted)
    return daemon.spawn(home, owner)


def _ending(home: Home, by: lease.Holder) -> AlreadyControlled:
    return AlreadyControlled(f"cluster {home.name} is being ended: {by}", "wait until it is down")


async def _settle(home: Home, child: subprocess.Popen[bytes] | None) -> None:
    """Wait until a controller that was just started has the lease, or is gone: a `down` that comes sooner misses it."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while child is not None and child.poll() is None and time.monotonic() < deadline:
        running = lease.controller(home)
        if running is not None and running.process.pid == child.pid:
            return
        await asyncio.sleep(_POLL_S)


async def _is_ending(home: Home) -> bool:
    """Say whether its controller ends the cluster: the order stands, or was carried out and is being tidied up after.

    Only what this very controller has recorded counts: the last words of the one before may be of its end.
    """
    if await _shutdowns(home):
        return True
    try:
        began = home.controller.stat().st_mtime
    except FileNotFoundError:
        return True
    report = view.newest(home, since=began)
    return report is not None and any(order.kind is OrderKind.SHUTDOWN for order in report.plan.orders)


async def _shutdowns(home: Home) -> tuple[str, ...]:
    """Return the ids of standing orders to end the cluster; none when the ledger cannot be read, as its loop says."""
    ledger = SqliteLedger(home.ledger)
    try:
        with suppress(LedgerUnavailable):
            return tuple(order.id for order in (await ledger.load()).orders if order.kind is OrderKind.SHUTDOWN)
        return ()
    finally:
        await ledger.close()


async def _withdraw_shutdown(home: Home) -> None:
    """Take back the order of a `down` that nobody finished: who asks for `up` now wants the cluster."""
    ledger = SqliteLedger(home.ledger)
    try:
        record = await ledger.load()
        standing = tuple(order.id for order in record.orders if order.kind is OrderKind.SHUTDOWN)
        if standing:
            await ledger.save(record, answered=standing)
    finally:
        await ledger.close()


async def stop_controller(home: Home) -> None:
    """End the controller, if there is one; machines stay.

    Raises:
        TookTooLong: it does not end.
    """
    running = lease.controller(home)
    if running is None:
        return
    running.send(signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while not lease.is_free(home):
        if time.monotonic() > deadline:
            raise TookTooLong(
                f"the controller does not end: {running}", f"kill -9 {running.process.pid}, then try again"
            )
        await asyncio.sleep(_POLL_S)


async def _watch(
    home: Home,
    child: subprocess.Popen[bytes] | None,
    text: Callable[[TickReport | None], Step | None],
    progress: Progress,
    limit: Limit,
) -> None:
    """Wait until `text` has no step to tell any more."""
    while True:
        report = view.newest(home, since=limit.since)
        step = text(report)
        if step is None:
            return
        progress(step)
        if _is_alone(home, child):
            raise _died(home, child)
        if time.monotonic() > limit.deadline:
            raise TookTooLong(f"cluster {home.name} is not up yet: {step.text}", _advice(report, home))
        await asyncio.sleep(_POLL_S)


def _is_alone(home: Home, child: subprocess.Popen[bytes] | None) -> bool:
    """Say whether nobody controls the cluster. Of two `up` at once one meets the other's controller, which will do."""
    ours = child is not None and child.poll() is None
    return not ours and lease.controller(home) is None


def head_step(report: TickReport | None) -> Step | None:
    """Return what keeps the head; None when it is ready."""
    if report is None:
        return Step("the controller takes over")
    heads = [claim for claim in report.plan.claims if claim.head]
    if any(claim.phase is Phase.READY for claim in heads) or report.snapshot.policy.head is None:
        return None
    return Step(f"the head is {heads[0].phase.value.lower()}" if heads else "the head is asked for")


def minimum_step(report: TickReport | None) -> Step | None:
    """Return what keeps the minimums; None when every pool has its own."""
    if report is None:
        return Step("the controller takes over")
    pools = report.snapshot.policy.pools
    ready = {pool.name: view.ready(report, pool.name) for pool in pools}
    wanted = {pool.name: view.least(report, pool) for pool in pools}
    missing = [name for name in wanted if ready[name] < wanted[name]]
    if not missing:
        return None
    done = sum(min(ready[name], wanted[name]) for name in wanted)
    return Step(f"workers of {', '.join(missing)}", done, sum(wanted.values()))


def _standing(home: Home, head_ready_s: float, took_s: float) -> Standing:
    from rayfleet.launcher import orders

    settings = RaySettings.load(home.path)
    report = view.newest(home)
    workers = sum(view.ready(report, pool.name) for pool in report.snapshot.policy.pools) if report else 0
    return Standing(
        cluster=home.name,
        address=settings.gcs_address,
        client=settings.client_address,
        dashboard=settings.dashboard_url,
        head_ready_s=round(head_ready_s, 3),
        took_s=round(took_s, 3),
        workers=workers,
        overrides=orders.overrides(report.plan.orders) if report else (),
    )


def _died(home: Home, child: subprocess.Popen[bytes] | None) -> Exception:
    """Return the controller's last words."""
    code = child.poll() if child else None
    words = logs.last_lines(home.logs / logs.OUTPUT_LOG, _LAST_WORDS) or logs.tail(home, _LAST_WORDS)
    how = f" with code {code}" if code is not None else ""
    return ControllerDied(
        "\n".join([f"the controller of {home.name} ended{how}; its last words:", *words]), f"rayfleet logs {home.name}"
    )


def _advice(report: TickReport | None, home: Home) -> str:
    """Return the newest reason why something failed, else where to look."""
    if report is not None and report.error:
        return report.error.strip().splitlines()[-1]
    backoffs = report.plan.backoffs if report else ()
    reasons = [backoff.message for backoff in backoffs if backoff.message]
    return (
        reasons[-1] if reasons else f"rayfleet status {home.name}, rayfleet why {home.name}, rayfleet logs {home.name}"
    )
