"""Suspending a cluster of this machine: its nodes end as by `down`; its configuration, history and name stay.

There is no machine to keep. What `resume` brings up again is what `up` would: new nodes by the stored configuration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rayfleet.contracts import SilentHost
from rayfleet.launcher import suspension
from rayfleet.launcher.down import DOWN_TIMEOUT_S, Ended, end
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Progress, unseen
from rayfleet.launcher.suspension import Stage


@dataclass(frozen=True, slots=True)
class Rests:
    """How a `suspend` ended. `released`: machines that were given back; `head`: the one that is stopped, "" : none is.

    `since`: seconds since the epoch. `left_behind`: what could not be ended, for people; `unreachable`: hosts of one's
    own that did not answer, and on which something of the cluster may run on.
    """

    cluster: str
    since: float
    released: int
    head: str
    took_s: float
    left_behind: tuple[str, ...] = ()
    unreachable: tuple[SilentHost, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        unreachable = [host.as_json() for host in self.unreachable]
        told = {"left_behind": list(self.left_behind), "unreachable": unreachable}
        return {**asdict(self), **told, "ok": not (self.left_behind or unreachable)}


async def suspend(home: Home, progress: Progress = unseen, timeout_s: float = DOWN_TIMEOUT_S) -> Rests:
    """Suspend a cluster of this machine; of one that is half suspended, the rest.

    Raises:
        NotRunning: it is down.
        TookTooLong, AlreadyControlled, LedgerUnavailable: as `down`; asking again goes on.
    """
    if not home.is_up and suspension.load(home) is None:
        raise NotRunning(f"cluster {home.name} is down, there is nothing to suspend", f"rayfleet up {home.name}")
    with suspension.begun(home) as noted:
        return rested(home, await end(home, progress, timeout_s), noted.since)


def rested(home: Home, ended: Ended, since: float) -> Rests:
    """Note that a cluster is suspended of which no machine is kept, if nothing of it is left."""
    if not (ended.left_behind or ended.unreachable):
        suspension.note(home, Stage.SUSPENDED)
    return Rests(home.name, since, ended.released, "", ended.took_s, ended.left_behind, ended.unreachable)
