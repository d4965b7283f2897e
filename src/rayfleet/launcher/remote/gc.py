"""Orphans: machines that a place lists for a cluster of mine although that is down.

A cluster that is down here may be up all the same, launched from another computer: where a head is listed, nothing is
given back, for its controller may be at work. `rayfleet up` takes such a cluster up, `rayfleet down` ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from rayfleet import wiring
from rayfleet.config import ConfigInvalid
from rayfleet.contracts import Denied, Machine, Provider, ProviderError, Tidies
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.remote.down import Ending, as_stored, down
from rayfleet.launcher.remote.site import Site, bare, glimpse


@dataclass(frozen=True, slots=True)
class Orphans:
    """What a place lists for one cluster that is down.

    `head`: the head among `machines`, "" without one. `leftovers`: what was made for launches and is of no use now.
    `trouble`: why it could not be asked, or was not ended; "": none.
    """

    cluster: str
    kind: str
    machines: tuple[str, ...] = ()
    head: str = ""
    trouble: str = ""
    leftovers: tuple[str, ...] = ()

    @property
    def is_nobodys(self) -> bool:
        """Say whether there is anything, and nobody can be at work with it."""
        return bool(self.machines or self.leftovers) and not self.head

    @property
    def advice(self) -> str:
        """Return what to do about it, "" when giving it back is all."""
        return f"its head is {self.head}: rayfleet up or down {self.cluster}" if self.head else ""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "machines": list(self.machines), "leftovers": list(self.leftovers)}


async def find(make: Callable[[Site], Provider] = bare) -> tuple[Orphans, ...]:
    """Ask the place of every cluster elsewhere that is down; those without anything are left out."""
    found = [await _of(home, make) for home in homes.known() if not home.is_up]
    return tuple(each for each in found if each is not None)


async def _of(home: Home, make: Callable[[Site], Provider]) -> Orphans | None:
    try:
        cluster = as_stored(home)
    except (ConfigInvalid, LauncherError) as error:
        return Orphans(home.name, "", trouble=str(error).splitlines()[0])
    if not wiring.registry()[cluster.spec.provider].remote:
        return None
    try:
        tidies = wiring.registry()[cluster.spec.provider].tidies
        machines, leftovers = await _listed(make(glimpse(cluster)), tidies=tidies)
    except (ProviderError, LauncherError) as error:
        return Orphans(home.name, cluster.spec.provider, trouble=str(error))
    head = next((machine.id for machine in machines if machine.head), "")
    if not machines and not leftovers:
        return None
    return Orphans(home.name, cluster.spec.provider, tuple(m.id for m in machines), head, leftovers=leftovers)


async def _listed(provider: Provider, *, tidies: bool) -> tuple[tuple[Machine, ...], tuple[str, ...]]:
    """Return the machines, and what was made for launches as far as that may be seen."""
    try:
        machines = await provider.list()
        try:
            return machines, await cast("Tidies", provider).leftovers() if tidies else ()
        except Denied:
            return machines, ()  # whoever may not see it has not made it
    finally:
        await provider.close()


async def remove(
    found: tuple[Orphans, ...], progress: Progress, timeout_s: float, make: Callable[[Site], Provider] = bare
) -> tuple[Orphans, ...]:
    """Give back what is nobody's; return what is left of everything, and why. One cluster's trouble is its own."""
    left = []
    for each in found:
        if not each.is_nobodys:
            left.append(each)
            continue
        try:
            ended = await down(as_stored(homes.find(each.cluster)), Ending(progress, timeout_s), make)
        except (LauncherError, ProviderError) as error:
            left.append(replace(each, trouble=str(error)))
            continue
        if ended.unreachable:
            away = ", ".join(host.address for host in ended.unreachable)
            left.append(replace(each, trouble=f"out of reach: {away}; when they answer: rayfleet down {each.cluster}"))
    return tuple(left)
