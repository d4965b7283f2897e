"""Step 13, its middle: machines on standby are started before new ones of the same offer are made.

What is launched was decided without looking at them, by price: a machine that waits is a faster way to the same offer,
never a reason for another one. The claim that waited ends, and its machine goes over to one of the launch.
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import Claim, Host, Launch, Phase, Pool, Reason, ReasonCode, reason
from rayfleet.planner.batch import Batch
from rayfleet.planner.draft import Draft
from rayfleet.planner.names import host_ids
from rayfleet.planner.resting import is_at_rest, machines_of


def start_resting(draft: Draft, batch: Batch, why: Reason, rests: list[Claim]) -> Batch | None:
    """Start machines that wait for the first claims of a batch; return what has to be made, None: nothing.

    `rests`: all claims on standby.
    """
    waiting = [c for c in rests if c.offer == batch.key and may_start(c, batch.pool)][: batch.replicas]
    if not waiting:
        return batch
    names = tuple(batch.names)
    started, rest = names[: len(waiting)], names[len(waiting) :]
    for name, old in zip(started, waiting, strict=True):
        draft.drop(old)
        draft.keep(_started(old, name, batch))
    count = sum(old.count for old in waiting)
    why = why.because(reason(ReasonCode.STANDBY_USED, machines=count))
    draft.launches.append(Launch(batch.key, started, batch.batch, count, why, reuse=machines_of(waiting)))
    return replace(batch, names=rest, replicas=len(rest), batch=draft.token(rest[0])) if rest else None


def may_start(claim: Claim, pool: Pool) -> bool:
    """Say whether a claim on standby can do the work of a new one of its pool now."""
    fits = claim.count == pool.hosts_per_replica and not claim.drifted
    return fits and is_at_rest(claim) and all(host.interrupt_at is None for host in claim.hosts)


def _started(old: Claim, name: str, batch: Batch) -> Claim:
    hosts = zip(host_ids(name, old.count), old.hosts, strict=True)
    return Claim(
        id=name,
        offer=batch.key,
        phase=Phase.REQUESTED,
        hosts=tuple(Host(id=host, machine_id=before.machine_id, machine=before.machine) for host, before in hosts),
        since=batch.now,
        created=batch.now,
        batch=batch.batch,
        accepted=False,
        make=batch.pool.make,
        usd_per_hour=batch.price,
        reuse=True,
    )
