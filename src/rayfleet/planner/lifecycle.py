"""Step 2: what is known of machines and nodes moves claims through their life.

    REQUESTED --machine seen--> BOOTING --node alive--> READY --asked to leave--> DRAINING --left, deadline--.
        |  '----------------------node alive--------------^ ^ |                       |                      |
        |                          |                        | |  <--idle drain lost---'                      v
        '--never came, failed------'--failed, too late------|-'--node died, unseen, replica broken------> RELEASING
                                   |                          |                                           |    ^ |
                                   '--machine lost--> gone <--'--machine lost          gone <--given back-'    '-'
                                                                                                        still listed

    DRAINING --left, to be stopped--> STANDBY --failed, never came, replica broken--> RELEASING
    (made without Ray) ---------------^ | ^ '--machine lost--> gone
                         still running '-'  its machine is started for another claim, which is REQUESTED (the planner)

`TABLE` is that drawing, row by row; the first row of a phase that holds is taken. A fact that is missing
(None) never moves anything: the phase is believed. No listing is believed about a claim younger than
`visibility_timeout_s`. What cannot be becomes a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.model import (
    STARTING,
    Claim,
    Detail,
    Drain,
    Finding,
    MachineFact,
    NodeFact,
    Phase,
    Reason,
    ReasonCode,
    ReleaseMode,
    Timeouts,
    Trouble,
    reason,
)
from rayfleet.model.word import Word
from rayfleet.planner.draft import may_refuse, moved
from rayfleet.planner.provisioning import patience_s, waits_for


class Effect(Word):
    """What else a step asks for, beyond the claim's new phase."""

    NONE = "none"
    RELEASE = "release"
    RELEASE_AGAIN = "release_again"
    DRAIN_AGAIN = "drain_again"
    STOP = "stop"
    STOP_AGAIN = "stop_again"
    RELAUNCH = "relaunch"
    JOINED = "joined"


@dataclass(frozen=True, slots=True)
class Sight:
    """A claim with the moment and the circumstances in which it is looked at."""

    claim: Claim
    now: float
    timeouts: Timeouts
    engine_up: bool = True
    in_flight: bool = False

    def machines(self, *facts: MachineFact) -> int:
        """Count hosts whose machine is in one of these states."""
        return sum(host.machine in facts for host in self.claim.hosts)

    def nodes(self, *facts: NodeFact) -> int:
        """Count hosts whose node is in one of these states; none while the engine is down."""
        return sum(host.node in facts for host in self.claim.hosts) if self.engine_up else 0

    def all_machines(self, *facts: MachineFact) -> bool:
        """Say whether every host's machine is in one of these states."""
        return 0 < self.machines(*facts) == self.claim.count

    def all_nodes(self, *facts: NodeFact) -> bool:
        """Say whether every host's node is in one of these states."""
        return 0 < self.nodes(*facts) == self.claim.count

    def proven(self) -> int:
        """Count hosts that are not listed, but whose node works: listings lag behind, and some flip."""
        return sum(
            self.engine_up and host.machine is MachineFact.ABSENT and host.node is NodeFact.ALIVE
            for host in self.claim.hosts
        )

    @property
    def age_s(self) -> float:
        """Return how long the claim has been in its phase."""
        return self.now - self.claim.since

    def absence_counts(self) -> bool:
        """Say whether a listing may be believed when it does not show a machine."""
        claim = self.claim
        listed = claim.listed_at is None or claim.listed_at > claim.created
        return listed and not self.in_flight and self.now - claim.created >= self.timeouts.visibility_timeout_s


@dataclass(frozen=True, slots=True)
class Row:
    """One arrow of the drawing. `to` None: gone. `backs_off`: its offer has failed us."""

    when: Callable[[Sight], bool]
    to: Phase | None
    why: ReasonCode | None = None
    effect: Effect = Effect.NONE
    backs_off: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Where a claim is after one look: None = gone."""

    claim: Claim | None
    finding: Finding | None = None
    effect: Effect = Effect.NONE
    cause: Reason | None = None
    backs_off: bool = False


def _failed(s: Sight) -> bool:
    return s.machines(MachineFact.FAILED) > 0


def _all_absent(s: Sight) -> bool:
    return s.all_machines(MachineFact.ABSENT) and s.absence_counts()


def _lost(s: Sight) -> bool:
    return _all_absent(s) and s.proven() == 0


def _broken(s: Sight) -> bool:
    return _some_absent(s) and s.machines(MachineFact.ABSENT) > s.proven()


def _some_absent(s: Sight) -> bool:
    return s.machines(MachineFact.ABSENT) > 0 and s.absence_counts()


def _present(s: Sight) -> bool:
    return s.all_machines(MachineFact.PRESENT) and waits_for(s.claim) is None


def _waits_too_long(s: Sight) -> bool:
    trouble = waits_for(s.claim)
    return trouble is not None and s.age_s >= patience_s(s.timeouts, trouble)


def _alive(s: Sight) -> bool:
    return s.all_nodes(NodeFact.ALIVE, NodeFact.DRAINING)


def _dead(s: Sight) -> bool:
    # A head whose node has died may still serve the cluster's state: ending it would end everything.
    return s.nodes(NodeFact.DEAD) > 0 and not s.claim.head


def _never_came(s: Sight) -> bool:
    listed = s.claim.listed_at is None or s.claim.listed_at > s.claim.since + s.timeouts.visibility_timeout_s
    return (_some_absent(s) or _not_started(s)) and listed and s.age_s >= s.timeouts.request_timeout_s


def _not_started(s: Sight) -> bool:
    """A machine that was on standby, and is to be started for this claim, still waits."""
    return s.claim.reuse and s.machines(MachineFact.STANDBY) > 0


def _known(s: Sight) -> bool:
    return all(host.machine_id is not None for host in s.claim.hosts)


def _known_is_lost(s: Sight) -> bool:
    """A machine that was on standby, which every listing has shown so far, is not there any more."""
    return (s.claim.reuse or s.claim.phase is Phase.STANDBY) and _known(s) and _all_absent(s)


def _known_is_broken(s: Sight) -> bool:
    return (s.claim.reuse or s.claim.phase is Phase.STANDBY) and _known(s) and _some_absent(s)


def _still_running(s: Sight) -> bool:
    claim = s.claim
    due = claim.since + s.timeouts.boot_timeout_s if claim.retry_at is None else claim.retry_at
    return _known(s) and s.machines(MachineFact.PRESENT) > 0 and s.now >= due


def _nobody_knows(s: Sight) -> bool:
    claim = s.claim
    due = claim.retry_at is None or s.now >= claim.retry_at
    fresh = claim.listed_at is not None and claim.listed_at > claim.created
    unseen = s.machines(MachineFact.PRESENT) == 0
    return not claim.accepted and not s.in_flight and due and fresh and unseen


def _boots_too_long(s: Sight) -> bool:
    # While the engine is down nobody can join, which is no fault of the machine. The head is the engine.
    return (s.engine_up or s.claim.head) and s.age_s >= s.timeouts.boot_timeout_s


def _absent(s: Sight) -> bool:
    return s.nodes(NodeFact.ABSENT) > 0


def _unseen_too_long(s: Sight) -> bool:
    since = s.claim.unseen_since
    return not s.claim.head and _absent(s) and since is not None and s.now - since >= s.timeouts.node_timeout_s


def _drained_elsewhere(s: Sight) -> bool:
    return s.nodes(NodeFact.DRAINING) > 0 and not s.claim.head


def comes_apart(claim: Claim) -> bool:
    """Say whether some hosts of a replica leave or have left while others still work."""
    working = sum(host.node is NodeFact.ALIVE for host in claim.hosts)
    gone = sum(host.node in {NodeFact.DRAINING, NodeFact.DEAD, NodeFact.ABSENT} for host in claim.hosts)
    return working > 0 and gone > 0


def _half_drained_elsewhere(s: Sight) -> bool:
    return _drained_elsewhere(s) and s.nodes(NodeFact.ALIVE) > 0


def _half_drained(s: Sight) -> bool:
    """One host of a replica let go of Ray, another did not: as it cannot be kept, the others leave by a deadline."""
    return s.engine_up and _asked_voluntarily(s) and _not_heard(s) and comes_apart(s.claim)


def _left(s: Sight) -> bool:
    return s.all_nodes(NodeFact.DEAD, NodeFact.ABSENT)


def _left_to_rest(s: Sight) -> bool:
    drain = s.claim.drain
    return drain is not None and drain.mode is ReleaseMode.STOP and _left(s)


def _asked_voluntarily(s: Sight) -> bool:
    return s.claim.drain is not None and may_refuse(s.claim.drain.reason)


def _not_heard(s: Sight) -> bool:
    """Ray was asked to drain some time ago and the node knows nothing of it: the call was lost."""
    return s.nodes(NodeFact.ALIVE) > 0 and s.age_s >= s.timeouts.drain_retry_s


def _idle_drain_lost(s: Sight) -> bool:
    return _asked_voluntarily(s) and _not_heard(s)


def _forced_drain_lost(s: Sight) -> bool:
    return not _asked_voluntarily(s) and _not_heard(s) and not _deadline(s)


def _deadline(s: Sight) -> bool:
    drain = s.claim.drain
    # With the engine down nothing voluntary happens: whether Ray had agreed is not known.
    return drain is not None and s.now >= drain.deadline and (s.engine_up or not _asked_voluntarily(s))


def _given_back(s: Sight) -> bool:
    claim = s.claim
    listed_at = claim.listed_at
    never_seen = any(host.machine_id is None for host in claim.hosts)
    # A launch that was cancelled on its way may still bring a machine: wait as long as for any other.
    wait_s = s.timeouts.visibility_timeout_s if never_seen else 0.0
    listed = listed_at is None or listed_at > claim.since + wait_s
    return s.all_machines(MachineFact.ABSENT) and listed and not s.in_flight


def _still_listed(s: Sight) -> bool:
    due = s.claim.retry_at if s.claim.retry_at is not None else s.claim.since + s.timeouts.release_retry_s
    return s.machines(MachineFact.PRESENT, MachineFact.FAILED) > 0 and s.now >= due


TABLE: Final[dict[Phase, tuple[Row, ...]]] = {
    Phase.REQUESTED: (
        Row(_failed, Phase.RELEASING, ReasonCode.LAUNCH_FAILED, Effect.RELEASE, backs_off=True),
        Row(_dead, Phase.RELEASING, ReasonCode.NODE_DIED, Effect.RELEASE, backs_off=True),
        Row(_alive, Phase.READY, effect=Effect.JOINED),
        Row(_present, Phase.BOOTING),
        Row(_known_is_lost, None, ReasonCode.MACHINE_LOST),
        Row(_known_is_broken, Phase.RELEASING, ReasonCode.REPLICA_BROKEN, Effect.RELEASE),
        Row(_waits_too_long, Phase.RELEASING, ReasonCode.PROVISION_TIMEOUT, Effect.RELEASE, backs_off=True),
        Row(_never_came, Phase.RELEASING, ReasonCode.REQUEST_TIMEOUT, Effect.RELEASE, backs_off=True),
        Row(_nobody_knows, Phase.REQUESTED, ReasonCode.RELAUNCH, Effect.RELAUNCH),
    ),
    Phase.BOOTING: (
        Row(_failed, Phase.RELEASING, ReasonCode.LAUNCH_FAILED, Effect.RELEASE, backs_off=True),
        Row(_lost, None, ReasonCode.MACHINE_LOST, backs_off=True),
        Row(_broken, Phase.RELEASING, ReasonCode.REPLICA_BROKEN, Effect.RELEASE, backs_off=True),
        Row(_dead, Phase.RELEASING, ReasonCode.NODE_DIED, Effect.RELEASE, backs_off=True),
        Row(_alive, Phase.READY, effect=Effect.JOINED),
        Row(_boots_too_long, Phase.RELEASING, ReasonCode.BOOT_TIMEOUT, Effect.RELEASE, backs_off=True),
    ),
    Phase.READY: (
        Row(_lost, None, ReasonCode.MACHINE_LOST),
        Row(_broken, Phase.RELEASING, ReasonCode.REPLICA_BROKEN, Effect.RELEASE),
        Row(_failed, Phase.RELEASING, ReasonCode.MACHINE_FAILED, Effect.RELEASE),
        Row(_dead, Phase.RELEASING, ReasonCode.NODE_DIED, Effect.RELEASE),
        Row(_unseen_too_long, Phase.RELEASING, ReasonCode.NODE_DIED, Effect.RELEASE),
        Row(_half_drained_elsewhere, Phase.DRAINING, ReasonCode.ORDERED, Effect.DRAIN_AGAIN),
        Row(_drained_elsewhere, Phase.DRAINING, ReasonCode.ORDERED),
    ),
    Phase.DRAINING: (
        Row(_all_absent, None, ReasonCode.DRAINED),
        Row(_left_to_rest, Phase.STANDBY, ReasonCode.DRAINED, Effect.STOP),
        Row(_left, Phase.RELEASING, ReasonCode.DRAINED, Effect.RELEASE),
        Row(_half_drained, Phase.DRAINING, ReasonCode.REPLICA_BROKEN, Effect.DRAIN_AGAIN),
        Row(_idle_drain_lost, Phase.READY),
        Row(_deadline, Phase.RELEASING, ReasonCode.DRAIN_DEADLINE, Effect.RELEASE),
        Row(_forced_drain_lost, Phase.DRAINING, None, Effect.DRAIN_AGAIN),
    ),
    Phase.RELEASING: (
        Row(_given_back, None),
        Row(_still_listed, Phase.RELEASING, ReasonCode.STILL_LISTED, Effect.RELEASE_AGAIN),
    ),
    Phase.FAILED: (Row(lambda _: True, None),),
    Phase.STANDBY: (
        Row(_failed, Phase.RELEASING, ReasonCode.MACHINE_FAILED, Effect.RELEASE, backs_off=True),
        Row(_known_is_lost, None, ReasonCode.MACHINE_LOST),
        Row(_known_is_broken, Phase.RELEASING, ReasonCode.REPLICA_BROKEN, Effect.RELEASE),
        Row(_never_came, Phase.RELEASING, ReasonCode.REQUEST_TIMEOUT, Effect.RELEASE, backs_off=True),
        Row(_nobody_knows, Phase.STANDBY, ReasonCode.RELAUNCH, Effect.RELAUNCH),
        Row(_still_running, Phase.STANDBY, ReasonCode.STILL_RUNNING, Effect.STOP_AGAIN),
    ),
}


def advance(sight: Sight) -> Step:
    """Return what the facts make of a claim. Pure, total: every claim and every fact has an answer."""
    claim = sight.claim
    if is_undisturbed(claim):
        return Step(claim)
    finding = _impossible(sight)
    for row in TABLE[claim.phase]:
        if row.when(sight):
            return _taken(sight, row, finding)
    return Step(_seen_or_not(sight), finding)


def is_undisturbed(claim: Claim) -> bool:
    """Say whether nothing can have happened: the case of nearly every claim in nearly every plan."""
    if claim.phase is not Phase.READY or claim.unseen_since is not None or len(claim.hosts) != 1:
        return False
    host = claim.hosts[0]
    machine, node = host.machine, host.node
    return (machine is None or machine is MachineFact.PRESENT) and (node is None or node is NodeFact.ALIVE)


def _taken(sight: Sight, row: Row, finding: Finding | None) -> Step:
    cause = _cause(sight, row.why) if row.why else None
    if row.to is None:
        lost = Finding(sight.claim.id, cause) if cause and row.why is ReasonCode.MACHINE_LOST else None
        return Step(None, finding or lost, row.effect, cause, row.backs_off)
    return Step(_entered(sight, row.to, cause), finding, row.effect, cause, row.backs_off)


def _entered(sight: Sight, phase: Phase, cause: Reason | None) -> Claim:
    claim, now, timeouts = sight.claim, sight.now, sight.timeouts
    if phase is claim.phase is Phase.STANDBY:
        again = cause is not None and cause.code is ReasonCode.STILL_RUNNING
        return replace(claim, retry_at=now + timeouts.release_retry_s) if again else claim
    if phase is claim.phase and phase is not Phase.RELEASING and cause is None:
        return replace(claim, since=now) if phase is Phase.DRAINING else claim
    changes: dict[str, object] = {}
    match phase:
        case Phase.BOOTING:
            changes = {"accepted": True}
        case Phase.READY:
            changes = {
                "accepted": True,
                "drain": None,
                "retry_at": now + timeouts.drain_retry_s if claim.drain else None,
                "reuse": False,
            }
        case Phase.RELEASING:
            known = all(host.machine_id for host in claim.hosts)
            changes = {"retry_at": now + timeouts.release_retry_s if known else now}
            if claim.phase is Phase.RELEASING:
                return replace(claim, **changes)  # type: ignore[arg-type]  # one field, of its own type
            changes |= {"drain": None, "ending": cause}
        case Phase.STANDBY:
            changes = {"drain": None, "retry_at": now + timeouts.release_retry_s, "standby": True, "unseen_since": None}
        case Phase.DRAINING if cause is not None:
            taken_at = _taken_at(claim) if cause.code is ReasonCode.INTERRUPTED else None
            changes = {"drain": Drain(cause, now, now + timeouts.drain_timeout_s if taken_at is None else taken_at)}
        case _:
            pass
    return moved(claim, phase, now, **changes)


def _seen_or_not(sight: Sight) -> Claim:
    """Return the claim with the time since when a reachable engine does not know its node.

    While the engine is away that time does not run: nodes come back to it one after the other.
    """
    claim = sight.claim
    if claim.phase is not Phase.READY:
        return claim
    if not sight.nodes(NodeFact.ABSENT):
        return replace(claim, unseen_since=None) if claim.unseen_since is not None else claim
    return claim if claim.unseen_since is not None else replace(claim, unseen_since=sight.now)


def _cause(sight: Sight, code: ReasonCode) -> Reason:
    claim, timeouts = sight.claim, sight.timeouts
    if code is ReasonCode.NODE_DIED and 0 < sight.nodes(NodeFact.DEAD) < claim.count:
        code = ReasonCode.REPLICA_BROKEN
    taken_at = _taken_at(claim) if code is ReasonCode.ORDERED else None
    if taken_at is not None:  # the machine itself was told first, and has had Ray drain its node
        return reason(ReasonCode.INTERRUPTED, left_s=max(0.0, taken_at - sight.now))
    waiting = waits_for(claim) or Trouble.FLAKY
    details: dict[ReasonCode, dict[str, Detail]] = {
        ReasonCode.BOOT_TIMEOUT: {"boot_timeout_s": timeouts.boot_timeout_s},
        ReasonCode.REQUEST_TIMEOUT: {"request_timeout_s": timeouts.request_timeout_s},
        ReasonCode.PROVISION_TIMEOUT: {
            "timeout_s": patience_s(timeouts, waiting),
            "error": f"{waiting.value}: {_last_words(claim)}",
        },
        ReasonCode.LAUNCH_FAILED: {"error": _last_words(claim)},
        ReasonCode.MACHINE_FAILED: {"error": _last_words(claim)},
        ReasonCode.RELAUNCH: {"batch": claim.batch},
        ReasonCode.STILL_LISTED: {"since_s": sight.age_s},
        ReasonCode.STILL_RUNNING: {"since_s": sight.age_s},
        ReasonCode.ORDERED: {"by": "Ray", "why": "its node is being drained"},
    }
    cause = reason(code, **details.get(code, {}))
    return cause.because(claim.drain.reason) if claim.drain else cause


def _taken_at(claim: Claim) -> float | None:
    """Return when the first of its hosts is taken away, if that was announced."""
    return min((host.interrupt_at for host in claim.hosts if host.interrupt_at is not None), default=None)


def _last_words(claim: Claim) -> str:
    return next((host.message for host in claim.hosts if host.message), "the provider says no more")


def _impossible(sight: Sight) -> Finding | None:
    """Return a finding when what is seen cannot be: the claim is judged by the table all the same."""
    claim = sight.claim
    fact: str | None = None
    if claim.phase is Phase.FAILED and sight.machines(MachineFact.PRESENT):
        fact = "a machine that was never made"
    elif sight.nodes(NodeFact.ALIVE) and _all_absent(sight) and claim.phase in STARTING:
        fact = "a live node without a machine"
    if fact is None:
        return None
    return Finding(claim.id, reason(ReasonCode.IMPOSSIBLE, claim=claim.id, phase=claim.phase.value, fact=fact))
