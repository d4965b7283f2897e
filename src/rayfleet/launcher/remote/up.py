"""`rayfleet up` of a cluster elsewhere: its head from here, by the loop; all else by the controller on the head.

    folder, key, token, note -> head (reconcile) -> rayfleet and the controller on it (controlling) -> minimums (ask it)

Each step may be killed and begun again: the ledger here holds the head's claim, the place its tags and client tokens,
the head itself what was done on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet.bootstrap.again import Again
from rayfleet.contracts import Machine
from rayfleet.engines.ray.users_commands import starts_ray
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, logs, suspension
from rayfleet.launcher.errors import LauncherError, TookTooLong
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.controlling import LOGIN_S, Controlling
from rayfleet.launcher.remote.deliver import OnHead
from rayfleet.launcher.remote.parts import Booted, HeadOnly, head_policy, parts
from rayfleet.launcher.remote.reconcile import bring_head, known_heads
from rayfleet.launcher.remote.resume import awaken
from rayfleet.launcher.remote.site import Maker, Site, bootstrapped, prepare
from rayfleet.launcher.remote.where import Where
from rayfleet.launcher.spec import Wanted
from rayfleet.launcher.up import Standing
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.loop import close_parts
from rayfleet.reports.history import History
from rayfleet.reports.log import Log
from rayfleet.wire.ssh.opening import open_ssh
from rayfleet.wire.ssh.session import Ssh

_ASK_AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Doing:
    """How one `up` goes. `again`: what is done once more on a head that runs; `timeout_s`: for all of it."""

    progress: Progress
    timeout_s: float
    again: Again | None = None


async def up(wanted: Wanted, doing: Doing, make: Maker = bootstrapped, ssh: Ssh | None = None) -> Standing:
    """Bring the cluster up, or up to date; return when its minimums are ready.

    Raises:
        AlreadyControlled: another `up` or `down` is at it.
        HeadFailed, StepFailed, TookTooLong: the message says what went wrong where; `up` again goes on there.
        LauncherError, SshError, ProviderError: as their names say.
    """
    began = time.monotonic()
    home = homes.create(wanted.name)
    with lease.lease(home, lease.UP):
        logs.configure(home, also_here=False)
        async with at_hand(ssh) as open_:
            site = prepare(wanted, open_, make)
            _tell_what_is_unread(wanted, doing.progress)
            if home.is_suspended:
                suspension.note(home, suspension.Stage.RESUMING)
            controlling = Controlling(site, doing.progress, no_restart=doing.again is Again.SETUP)
            try:
                machine = await _head(site, doing, controlling)
                where = site.at(machine)
                notes.save(home, where)
                head_ready_s = round(time.monotonic() - began, 3)
                standing = await _control(controlling, where, doing.timeout_s - head_ready_s)
            finally:
                await controlling.close()
    return replace(standing, head_ready_s=head_ready_s, took_s=round(time.monotonic() - began, 3))


def _tell_what_is_unread(wanted: Wanted, progress: Progress) -> None:
    """Tell of start commands in which no `ray start` can be read, such as a script's: nothing was put into them."""
    lines = wanted.spec.bootstrap.head_start
    if lines and not starts_ray(lines):
        text = "no `ray start` can be read in it: have it started with --no-monitor, or Ray's own autoscaler runs too"
        progress(Told(f"head_start_ray_commands: {text}"))


@asynccontextmanager
async def at_hand(ssh: Ssh | None) -> AsyncIterator[Ssh]:
    """Give SSH that is there already, or the real one, which is closed afterwards. SshError: it is not installed."""
    if ssh is not None:
        yield ssh
        return
    own = open_ssh()
    try:
        yield own
    finally:
        await own.close()


async def _head(site: Site, doing: Doing, controlling: Controlling) -> Machine:
    """Run the loop here until the head is set up; its controller is begun meanwhile."""
    home = site.home
    ledger = SqliteLedger(home.ledger)
    provider = replace(site, before_start=controlling.begin).provider(doing.progress, doing.again)
    view = HeadOnly(provider, await known_heads(ledger), controlling.leave)
    made = parts(
        home.name,
        head_policy(site.spec.policy),
        (view, Booted(view), ledger),
        (History(home.history), Log()),
    )
    loop = asyncio.get_running_loop()
    until = loop.time() + doing.timeout_s
    try:
        await awaken(site, provider, doing.progress, doing.timeout_s)
        return await bring_head(made, view, doing.progress, max(0.0, until - loop.time()))
    finally:
        await close_parts(made)


async def _control(controlling: Controlling, where: Where, timeout_s: float) -> Standing:
    """Give the head its controller, and wait until that has brought up the minimums."""
    site, deadline = controlling.site, time.monotonic() + timeout_s
    hint = f"rayfleet up {site.home.name} goes on where this stopped; --timeout gives it longer"
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            session, head = await controlling.done(where)
    except TimeoutError:
        raise TookTooLong(f"cluster {site.home.name} is not up yet: {controlling.last}", hint) from None
    suspension.clear(site.home)  # its controller works: whoever waits for the minimums may look and ask
    try:
        left_s = max(0.0, deadline - time.monotonic())
        async with asyncio.timeout(left_s + LOGIN_S):  # it says itself what is waited for, unless it gets no answer
            told_there = await _minimums(head, site.home.name, left_s)
    except TimeoutError:
        raise TookTooLong(f"cluster {site.home.name} is not up yet: the head does not answer", hint) from None
    finally:
        await session.close()
    ports = site.ray.ports
    return Standing(
        cluster=site.home.name,
        address=f"{where.internal or where.address}:{ports.gcs_port}",
        client=f"ray://{where.address}:{ports.client_port}",
        dashboard=f"http://localhost:{ports.dashboard_port}",
        head_ready_s=0.0,
        took_s=0.0,
        workers=int(told_there["workers"]),
        overrides=tuple(told_there["overrides"]),
    )


async def _minimums(head: OnHead, name: str, timeout_s: float) -> dict[str, Any]:
    """Ask the controller until it waits for nothing more.

    Raises:
        TookTooLong: it still does; the message has its newest reason.
        LauncherError: there is no controller any more.
    """
    deadline = time.monotonic() + timeout_s
    quiet = replace(head, progress=lambda _: None)
    while True:
        told = await quiet.ask("head-state")
        if not told["controlled"]:
            raise LauncherError(f"the controller of {name}, on its head, is gone", f"rayfleet logs {name}")
        for address, why in told.get("passed_over", {}).items():
            head.progress(Told(f"host {address}: passed over: {why}"))
        if told["step"] is None:
            return told
        text, done, total = told["step"]
        head.progress(Told(f"{text}: {done} of {total}" if total else text, done, total))
        if time.monotonic() > deadline:
            said = (told["said"] or [f"rayfleet status {name}, rayfleet why {name}, rayfleet logs {name}"])[-1]
            raise TookTooLong(f"cluster {name} is not up yet: {text}", str(said))
        await asyncio.sleep(_ASK_AGAIN_S)
