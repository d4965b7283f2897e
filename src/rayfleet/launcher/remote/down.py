"""`rayfleet down` of a cluster elsewhere: its controller stops, the loop here gives all back, a listing proves it.

What the place lists under the cluster's name goes, whoever launched it; the head goes last. If the head cannot be
asked, it goes first: nobody may launch again what is being given back.

On hosts of one's own only they themselves know what runs there. One that does not answer, and had something of the
cluster when it did, is told of by name, and the cluster stays known until `down` has reached it, or gives it up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from rayfleet.contracts import KeepsHosts, Machine, MachineState, Provider, ProviderError, SilentHost, Tidies
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, logs, suspension
from rayfleet.launcher.down import Ended
from rayfleet.launcher.errors import LauncherError, OutOfReach
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.controlling import log_in
from rayfleet.launcher.remote.deliver import OnHead, recipe_of
from rayfleet.launcher.remote.parts import InReach, Nobody, parts
from rayfleet.launcher.remote.reconcile import LATE_S, listed, pick_head, release_all
from rayfleet.launcher.remote.site import Site, bare, prepare
from rayfleet.launcher.remote.up import at_hand
from rayfleet.launcher.remote.where import Where
from rayfleet.launcher.spec import Wanted, stored, wanted
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.loop import close_parts
from rayfleet.reports.history import History
from rayfleet.reports.log import Log
from rayfleet.wire.ssh.session import Ssh, SshError
from rayfleet.wiring import KNOWN_HOSTS_FILE, registry

Json = dict[str, Any]

STOP_S: Final = 90.0
"""The controller on the head is given so long, and then what it gives back itself, the login included."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one `down` goes. `give_up`: hosts out of reach do not keep the cluster from being down."""

    progress: Progress
    timeout_s: float
    give_up: bool = False


async def down(
    cluster: Wanted,
    doing: Ending,
    make: Callable[[Site], Provider] = bare,
    ssh: Ssh | None = None,
) -> Ended:
    """End the cluster; of one that is down already, whatever the place still lists.

    Raises:
        AlreadyControlled: an `up` or another `down` is at it.
        TookTooLong: machines are still there; `down` again goes on.
        OutOfReach: nothing can be listed; `down` again goes on.
        LauncherError, ProviderError: as their names say.
    """
    ended = await end(cluster, doing, make, ssh)
    home = homes.Home(homes.root() / cluster.name)
    if not home.is_up:
        suspension.clear(home)
    return ended


async def end(cluster: Wanted, doing: Ending, make: Callable[[Site], Provider], ssh: Ssh | None) -> Ended:
    """End it as `down` does; a note that it is suspended stays."""
    began = time.monotonic()
    home = homes.create(cluster.name)
    with lease.lease(home, lease.DOWN):
        logs.configure(home, also_here=False)
        async with at_hand(ssh) as open_:
            site = prepare(cluster, open_)
            view = InReach(make(site), give_up=doing.give_up)
            edges = (view, Nobody(), SqliteLedger(home.ledger))
            made = parts(home.name, site.spec.policy, edges, (History(home.history), Log()))
            try:
                asked = await _stop(site, view, doing.progress)
                left = await release_all(made, doing.progress, doing.timeout_s)
                if not left.left and registry()[site.spec.provider].tidies:
                    await _tidy(cast("Tidies", view.inner), doing.progress)
                away = _away(site, view, asked)
            except ProviderError as error:
                raise _out_of_reach(site, error) from error
            finally:
                await close_parts(made)
        _forget(site, asked, away=bool(left.left or (away and not doing.give_up)))
    gone = set(left.there) - {host.machine_id for host in away}
    released = len(gone) + int((asked or {}).get("released", 0))
    return Ended(home.name, released, round(time.monotonic() - began, 3), left.left, away)


def _out_of_reach(site: Site, error: ProviderError) -> OutOfReach:
    name = site.home.name
    hint = f"when that answers again: rayfleet down {name}"
    if registry()[site.spec.provider].keeps_hosts:
        hint += f"; if it never will: rayfleet down {name} --give-up"
    return OutOfReach(f"cluster {name} is not down yet: {error}", hint)


def _away(site: Site, view: InReach, asked: Json | None) -> tuple[SilentHost, ...]:
    """Return the hosts out of reach that something of the cluster may be on.

    That is where it was when they answered last. If its head could not be asked, nobody knows where that was.
    """
    unknown = asked is None and bool(site.where().machine)
    return tuple(host for host in view.silent() if host.machine_id or unknown)


def _forget(site: Site, asked: Json | None, *, away: bool) -> None:
    """Forget what only a cluster that is up needs; one of which something may be left stays known."""
    home = site.home
    if away:
        if asked is not None:  # it has told what it knew, and is not waited for again
            notes.save(home, replace(site.where(), machine="", address="", internal=""))
        return
    home.forget_ray()
    if not registry()[site.spec.provider].keeps_hosts:  # their addresses will be those of other machines
        (home.path / KNOWN_HOSTS_FILE).unlink(missing_ok=True)


async def _stop(site: Site, view: InReach, progress: Progress) -> Json | None:
    """Stop the controller on the head, and return its answer; None: it was not asked.

    A head that cannot be asked is given back at once, unless it is stopped. ProviderError: whether there is a head, and
    a controller that goes on launching, is not known.
    """
    known, provider = site.where().machine, view.inner
    head = pick_head(await listed(view), known)
    rests = head is not None and head.state is MachineState.STANDBY
    told = None
    if head is not None and not rests and notes.reach(head, site.login):
        told = await stop_controller(site, head, progress, "it goes first")
        if told is None:
            await provider.release((head.id,))
    if isinstance(provider, KeepsHosts):  # a lease is there as soon as it is taken, and nothing appears later
        provider.learn((told or {}).get("hosts", {}))
    elif told is None and known and (not rests or _is_unasked(site.home)):
        await wait_late(progress)
    return told


def _is_unasked(home: Home) -> bool:
    noted = suspension.load(home)
    return noted is not None and noted.unasked


async def wait_late(progress: Progress) -> None:
    """Wait until nothing can appear any more of what a controller launched that nobody could ask to stop."""
    progress(Told(f"its last launch may be on its way: {LATE_S:.0f} s more"))
    await asyncio.sleep(LATE_S)


async def stop_controller(site: Site, head: Machine, progress: Progress, instead: str) -> Json | None:
    """Stop the controller on the head and return its answer; None: there is none, and `instead` is told."""
    where = site.at(head)
    try:
        async with asyncio.timeout(STOP_S):
            told = await ask(site, where, "head-stop", progress)
    except (SshError, LauncherError, TimeoutError) as error:
        first = (str(error) or f"no answer for {STOP_S:.0f} s").splitlines()[0]
        progress(Told(f"the head cannot be asked, so {instead}: {first}"))
        return None
    return told


async def _tidy(provider: Tidies, progress: Progress) -> None:
    """Remove what was made for launches. The cluster is down also where that is not allowed: nothing of it costs."""
    try:
        names = await provider.tidy()
    except ProviderError as error:
        progress(Told(f"not removed, what was made for launches: {error}"))
        return
    if names:
        progress(Told(f"removed: {', '.join(names)}"))


async def ask(site: Site, where: Where, verb: str, progress: Progress) -> Json:
    """Log in to the head once and run one of our hidden commands there.

    Raises:
        SshError, LauncherError: it is out of reach, or the command failed.
    """
    session = await log_in(site.ssh, where, tries=1)
    try:
        return await OnHead(session, recipe_of(site.spec, site.ray), where, progress).ask(verb)
    finally:
        await session.close()


async def rest(cluster: Wanted, progress: Progress, *, keep_min_workers: bool, ssh: Ssh | None = None) -> int:
    """Hold every pool at 0 machines, or at its minimum, until `up` is asked for again; return how many pools those are.

    Raises:
        NotRunning: there is no head that could be asked.
        SshError, LauncherError: it is out of reach, or has no controller.
    """
    home = homes.find(cluster.name)
    notes.head_of(home)
    async with at_hand(ssh) as open_:
        site = prepare(cluster, open_)
        told = await ask(
            site, site.where(), "head-rest --keep-min-workers" if keep_min_workers else "head-rest", progress
        )
    return len(told["pools"]) if isinstance(told["pools"], list) else 0


def as_stored(home: Home) -> Wanted:
    """Return the cluster as its folder has it.

    Raises:
        ConfigInvalid, LauncherError: its configuration is damaged.
    """
    stored(home)
    return wanted(home.config.read_text(encoding="utf-8"), str(home.config), home.name)
