"""Planning outside of the loop: a scenario file, a recorded tick again, or the cluster as it is now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from rayfleet.config import diff, load, load_report, load_scenario, may_be_manifest, plan_to_json
from rayfleet.launcher.errors import LauncherError
from rayfleet.model import How, Order, OrderKind, Placement, Plan, Policy, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.orders import POLICY_FIELDS, POOL_FIELDS
from rayfleet.planner.packing import THOROUGH
from rayfleet.planner.settings import SECTIONS
from rayfleet.reports.status_text import wanted_text
from rayfleet.wiring import registry

MEASURED_CALLS: Final = 3
_MS: Final = 1000
_WHAT_IF: Final = "what-if:"


@dataclass(frozen=True, slots=True)
class TimedPlan:
    """A plan, and the CPU seconds that one `plan(snapshot)` takes in a warm process."""

    plan: Plan
    planning_s: float

    def as_json(self, *, placements: bool) -> dict[str, Any]:
        """Return it in the public format."""
        return plan_to_json(self.plan, planning_s=self.planning_s, placements=placements)

    def lines(self, *, placements: bool) -> list[str]:
        """Return it for people."""
        lines = list(_lines(self.plan)) or ["nothing to do"]
        if placements:
            lines += [_placed(placement) for placement in self.plan.placements]
        cost = self.plan.cost
        unpriced = f", {cost.unpriced} machines without a price" if cost.unpriced else ""
        return [
            *lines,
            f"cost     {cost.before:.2f} -> {cost.after:.2f} USD/h{unpriced}",
            f"planned in {self.planning_s * _MS:.1f} ms",
        ]


def plan_timed(snapshot: Snapshot, cpu_s: Callable[[], float] = time.process_time) -> TimedPlan:
    """Plan, and measure it: the median of three calls after one to warm up."""
    result = plan(snapshot)
    took = []
    for _ in range(MEASURED_CALLS):
        began = cpu_s()
        plan(snapshot)
        took.append(cpu_s() - began)
    return TimedPlan(result, statistics.median(took))


def scenario_snapshot(text: str, file: str) -> Snapshot:
    """Return what a scenario file describes; of a RayCluster, the moment after it was made.

    Raises:
        ConfigInvalid: with everything that is wrong with it.
    """
    if may_be_manifest(text):
        # Its head is for whoever runs the resource to make: no plan launches it.
        return Snapshot(policy=replace(load(text, registry(), file).policy, head=None))
    return load_scenario(text, file)


def with_effort(snapshot: Snapshot, word: str | None) -> Snapshot:
    """Return the situation with an effort: `fast`, `thorough`, or a number; None: as it is.

    Raises:
        LauncherError: it is none of these.
    """
    if word is None:
        return snapshot
    words = {"fast": 0, "thorough": THOROUGH}
    if word not in words and not word.isdecimal():
        raise LauncherError(f"--effort {word!r} is not fast, thorough or a number", "for example --effort thorough")
    return replace(snapshot, effort=words[word] if word in words else int(word))


def what_if(snapshot: Snapshot, changes: Sequence[str]) -> Snapshot:
    """Return the situation as it would be if somebody had set `changes` (KEY=VALUE, POOL.KEY=VALUE).

    Raises:
        LauncherError: one of them cannot be set; it says what can.
    """
    orders = []
    for number, change in enumerate(changes):
        key, equals, value = change.partition("=")
        if not equals or not key.strip():
            raise LauncherError(f"--what-if {change!r} is not KEY=VALUE", "for example --what-if max_workers=200")
        order = Order(f"{_WHAT_IF}{number}", OrderKind.SET, key.strip(), value.strip(), by="what-if", at=snapshot.now)
        orders.append(order)
    changed = replace(snapshot, orders=(*snapshot.orders, *orders))
    mine = {order.id for order in orders}
    for finding in plan(changed).findings:
        if finding.subject in mine:
            change = changes[int(finding.subject.removeprefix(_WHAT_IF))]
            why = str(finding.reason.details.get("why", finding.reason.text))
            raise LauncherError(
                f"--what-if {change}: {why}", _nearest(changed.policy, change.partition("=")[0].strip())
            )
    return changed


def _nearest(policy: Policy, key: str) -> str:
    """Return what somebody may have meant."""
    of_pools = (f"{pool.name}.{field}" for pool in policy.pools for field in POOL_FIELDS)
    known = (*POLICY_FIELDS, *(name for name, part in SECTIONS.items() if not part.keyed), *of_pools)
    close = [] if key in known else get_close_matches(key, known, n=2)
    return f"did you mean {' or '.join(close)}?" if close else "what `rayfleet set` takes: POOL.KEY=VALUE or KEY=VALUE"


def difference(before: Plan, after: Plan) -> list[str]:
    """Return how one plan differs from another, nothing when it does not."""
    return diff(plan_to_json(before, placements=False), plan_to_json(after, placements=False))


def replayed(text: str, file: str) -> list[str]:
    """Plan a recorded tick again; return how the new plan differs from the recorded one, nothing when it does not.

    Raises:
        ConfigInvalid: it is no tick report.
    """
    report = load_report(text, file)
    before = plan_to_json(report.plan, placements=True)
    return diff(before, plan_to_json(plan(report.snapshot), placements=True))


def live_snapshot(cluster: str | None = None) -> Snapshot:
    """Return what the controller of `cluster` saw last; None: of the only one that is up.

    Raises:
        LauncherError: there is no such cluster, or it has recorded nothing yet.
    """
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.view import latest

    return latest(choose(cluster)).snapshot


def _placed(placement: Placement) -> str:
    bundle = "" if placement.bundle is None else f" bundle {placement.bundle}"
    return f"place    {placement.count} x {placement.kind.value}[{placement.index}]{bundle} on {placement.on}"


def _lines(decided: Plan) -> Iterator[str]:
    for launch in decided.launches:
        offer = launch.offer
        where = " ".join(filter(None, (offer.provider, offer.region, offer.zone, offer.market and offer.market.value)))
        yield f"launch   {launch.count} x {offer.pool}{f' ({where})' if where else ''}: {launch.reason.text}"
    for drain in decided.drains:
        yield f"drain    {', '.join(drain.hosts)}: {drain.reason.text}"
    for release in decided.releases:
        if release.how is not How.END:
            yield f"release  {', '.join(release.hosts)} ({release.how.value}): {release.reason.text}"
    for unmet in decided.unmet:
        yield f"unmet    {unmet.count} x {wanted_text(unmet)} ({unmet.kind.value}[{unmet.index}]): {unmet.reason.text}"
        for verdict in unmet.pools:
            yield f"           {verdict.pool}: {verdict.reason.text}"
