"""Which processes of this computer belong to a cluster: read from /proc, not from our own list."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rayfleet.providers.process import procfs
from rayfleet.providers.process.identity import CLUSTER_TAG, MACHINE_ID, cluster_tag
from rayfleet.providers.process.procfs import ProcessKey, ProcessStat

UNNAMED = "?"
"""Machine id of a process that carries the cluster's tag, but neither it nor an ancestor says which machine."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One living process of a cluster. `leader`: it leads its session, as a machine's first process does."""

    key: ProcessKey
    machine_id: str
    leader: bool

    @property
    def command(self) -> str:
        """Return its command line for people; empty when it has just ended."""
        try:
            line = (procfs.PROC / str(self.key.pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return line.replace(b"\0", b" ").decode(errors="replace").strip()


def find(tag: str) -> tuple[Leftover, ...]:
    """Return all living processes of the cluster with this tag, in pid order.

    Those are the ones whose environment carries the tag, and every descendant of theirs that has none of its own (a
    task may start a program with an empty environment). This process and its ancestors are never among
    them, even when somebody types `rayfleet down` in a shell on the cluster's own head.
    """
    stats = {pid: found for pid, found in procfs.all_stats().items() if found.alive}
    tagged = dict(_tagged(tag, stats))
    owners = {pid: owner for pid, owner in tagged.items() if owner != UNNAMED}
    # Ray's workers and agents write their titles over the front of their environment. Where that took the machine's id
    # and left the tag, it is their ancestors' that counts: they are no machine of their own.
    for pid in tagged.keys() - owners.keys():
        _inherit(pid, stats, owners)
        owners[pid] = owners.get(pid) or UNNAMED
    for pid in stats:
        _inherit(pid, stats, owners)
    mine = set(_lineage(os.getpid(), stats))
    return tuple(
        Leftover(stats[pid].key, owner, stats[pid].session == pid)
        for pid, owner in sorted(owners.items())
        if owner and pid not in mine
    )


def left_behind(cluster: str, state_dir: Path) -> tuple[Leftover, ...]:
    """Return the living processes of the cluster whose state is (or was) in `state_dir`."""
    return find(cluster_tag(cluster, state_dir))


def _tagged(tag: str, stats: dict[int, ProcessStat]) -> Iterator[tuple[int, str]]:
    """Yield pid and machine id of processes with the tag, and pid and "" of those with another cluster's."""
    for pid in stats:
        block = procfs.environment(pid)
        if CLUSTER_TAG.encode() not in block:
            continue
        variables = dict(entry.partition(b"=")[::2] for entry in block.split(b"\0"))
        same = variables.get(CLUSTER_TAG.encode()) == tag.encode()
        yield pid, variables.get(MACHINE_ID.encode(), UNNAMED.encode()).decode(errors="replace") if same else ""


def _inherit(pid: int, stats: dict[int, ProcessStat], owners: dict[int, str]) -> None:
    """Give `pid` and its ancestors on the way the owner of the nearest ancestor that has one."""
    way: list[int] = []
    at = pid
    while at not in owners and at in stats and at not in way:
        way.append(at)
        at = stats[at].parent
    if at in owners:
        owners.update(dict.fromkeys(way, owners[at]))


def _lineage(pid: int, stats: dict[int, ProcessStat]) -> Iterator[int]:
    """Yield the process and its ancestors."""
    while pid in stats:
        yield pid
        pid = stats[pid].parent
