"""The three ways in which a claim starts to leave. Every other step ends here when it wants one gone."""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import (
    STARTING,
    Claim,
    Drain,
    DrainNodes,
    How,
    Launch,
    NodeFact,
    Phase,
    Reason,
    Release,
    ReleaseMode,
)
from rayfleet.planner.draft import Draft, moved
from rayfleet.planner.resting import mode_of


def release(draft: Draft, claim: Claim, reason: Reason, how: How) -> None:
    """Give a claim's machines back now.

    A machine that is not known yet (its launch is still on the way) is released when it appears:
    `retry_at` is then already due. Whatever was to be launched for it in this plan is not.
    """
    known = all(host.machine_id is not None for host in claim.hosts)
    retry_at = draft.now + draft.timeouts.release_retry_s if known else draft.now
    draft.keep(moved(claim, Phase.RELEASING, draft.now, drain=None, ending=reason, retry_at=retry_at))
    draft.launches = [rest for launch in draft.launches if (rest := _without(launch, claim)).claims]
    if claim.standby:  # it was to be stopped in this very plan, or waits
        draft.releases = [release for release in draft.releases if release.claim != claim.id]
    ask_release(draft, claim, reason, how)


def _without(launch: Launch, claim: Claim) -> Launch:
    if claim.id not in launch.claims:
        return launch
    others = tuple(name for name in launch.claims if name != claim.id)
    machines = {host.machine_id for host in claim.hosts}
    reuse = tuple(machine for machine in launch.reuse if machine not in machines)
    return replace(launch, claims=others, count=launch.count - claim.count, reuse=reuse)


def ask_release(draft: Draft, claim: Claim, reason: Reason, how: How) -> None:
    """Add the action that releases every known machine of a claim."""
    draft.releases.append(
        Release(
            claim=claim.id,
            hosts=tuple(host.id for host in claim.hosts),
            machine_ids=tuple(host.machine_id for host in claim.hosts if host.machine_id is not None),
            provider=claim.offer.provider,
            how=how,
            reason=reason,
        )
    )


def ask_stop(draft: Draft, claim: Claim, reason: Reason) -> None:
    """Add the action that has every known machine of a claim wait on standby."""
    draft.releases.append(
        Release(
            claim=claim.id,
            hosts=tuple(host.id for host in claim.hosts),
            machine_ids=tuple(host.machine_id for host in claim.hosts if host.machine_id is not None),
            provider=claim.offer.provider,
            how=How.END,
            reason=reason,
            mode=ReleaseMode.STOP,
            wait=mode_of(draft, claim.pool),
        )
    )


def drain(draft: Draft, claim: Claim, reason: Reason, *, deadline: float, voluntary: bool) -> None:
    """Ask the engine to leave a claim's nodes by `deadline`; the release follows when they have left."""
    draft.keep(moved(claim, Phase.DRAINING, draft.now, drain=Drain(reason, draft.now, deadline), retry_at=None))
    ask_drain(draft, claim, reason, deadline=deadline, voluntary=voluntary)


def ask_drain(draft: Draft, claim: Claim, reason: Reason, *, deadline: float, voluntary: bool) -> None:
    """Add the action that drains every known node of a claim: voluntarily the last used first, which may refuse."""
    hosts = sorted(claim.hosts, key=lambda host: host.idle_s) if voluntary else claim.hosts
    draft.drains.append(
        DrainNodes(
            claim=claim.id,
            hosts=tuple(host.id for host in claim.hosts),
            node_ids=tuple(host.node_id for host in hosts if host.node_id is not None),
            deadline=deadline,
            reason=reason,
            voluntary=voluntary,
        )
    )


def dismiss(draft: Draft, claim: Claim, reason: Reason) -> None:
    """Make a claim leave that has to, whether or not it is in use.

    What has not joined is cancelled; what has joined gets `drain_timeout_s` to finish, unless the
    engine does not know it any more.
    """
    if claim.phase in STARTING:
        release(draft, claim, reason, How.CANCEL)
    elif claim.phase is Phase.STANDBY or any(host.node in {NodeFact.ABSENT, NodeFact.DEAD} for host in claim.hosts):
        release(draft, claim, reason, How.NOW)
    else:
        drain(draft, claim, reason, deadline=draft.now + draft.timeouts.drain_timeout_s, voluntary=False)
