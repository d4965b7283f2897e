"""Step 3: machines that carry our tag but have no claim get one, and are judged like any other from then on."""

from __future__ import annotations

from rayfleet.model import Claim, Host, MachineFact, Phase, ReasonCode, Stray, reason
from rayfleet.planner.draft import Draft
from rayfleet.planner.names import host_ids
from rayfleet.planner.resting import price_of


def adopt_strays(draft: Draft) -> None:
    """Make a claim for every stray; hosts of one batch, or of one replica, of a multi-host pool become replicas."""
    batches: dict[tuple[object, str, bool], list[Stray]] = {}
    for stray in sorted(draft.snapshot.strays, key=lambda s: s.machine_id):
        key = (stray.offer, stray.batch or stray.replica or stray.machine_id, stray.head)
        batches.setdefault(key, []).append(stray)
    for strays in batches.values():
        pool = draft.policy.pool(strays[0].offer.pool)
        size = pool.hosts_per_replica if pool else 1
        for start in range(0, len(strays), size):
            _adopt(draft, strays[start : start + size], size)


def _adopt(draft: Draft, strays: list[Stray], size: int) -> None:
    first = strays[0]
    name = draft.next_id(first.offer.pool)
    # A place that makes whole replicas will show the hosts that are missing: they are of this one, not another's.
    missing = size - len(strays) if first.replica else 0
    names = host_ids(name, len(strays) + missing)
    hosts = tuple(
        Host(
            id=host_id,
            machine_id=stray.machine_id,
            machine=MachineFact.STANDBY if stray.standby else MachineFact.PRESENT,
        )
        for host_id, stray in zip(names, strays, strict=False)
    ) + tuple(Host(id=host_id, machine=MachineFact.ABSENT) for host_id in names[len(strays) :])
    rests = all(stray.standby for stray in strays)
    created = min(stray.launched_at for stray in strays) or draft.now
    draft.keep(
        Claim(
            id=name,
            offer=first.offer,
            phase=Phase.STANDBY if rests else Phase.BOOTING,
            hosts=hosts,
            since=draft.now,
            created=created,
            batch=first.batch or name,
            found=not first.batch,
            head=first.head,
            standby=rests,
            usd_per_hour=price_of(draft, first.offer) if rests else None,
        )
    )
    for stray in strays:
        draft.find(name, reason(ReasonCode.ADOPTED, machine=stray.machine_id))
