"""Step 10, its beginning: tasks that wait may be too few and too young to launch machines for.

Off unless the policy has a `scale_up_pending_threshold`. What existing machines take is placed all the same: Ray runs
it there without asking. Gangs, requested resources, minimums and buffers are never held back.
"""

from __future__ import annotations

from rayfleet.model import DemandKind, PendingThreshold, Reason, ReasonCode, TaskDemand, reason
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.quotas import Owners, owned_items, serve_owned
from rayfleet.planner.work import Item, items


def place_tasks(draft: Draft, layout: Layout, owners: Owners | None) -> list[Item]:
    """Place tasks as far as machines, limits, quotas and the threshold allow; return them with what is left.

    Those that need nothing are left: `place_nothing` places them when all else has a place.
    """
    demand = draft.snapshot.demand
    threshold = draft.policy.scale_up_pending_threshold
    held = _held(layout, demand.tasks, threshold) if threshold is not None and demand.tasks else None
    if owners is None:
        tasks = items(layout.terms, DemandKind.TASKS, demand.tasks)
    else:
        tasks = owned_items(owners, layout, demand)
    some = [piece for piece in tasks if piece.need]
    if held is not None:
        settle_all(layout, some)
        for piece in tasks:
            piece.held = held
    elif owners is None:
        layout.serve(some, ReasonCode.TASKS)
    else:
        serve_owned(owners, layout)
    return tasks


def place_nothing(layout: Layout, pieces: list[Item], why: ReasonCode) -> None:
    """Place what needs nothing on whatever there is; the cheapest machine is launched only when there is none."""
    rest = [piece for piece in pieces if not piece.need]
    settle_all(layout, rest)
    layout.serve([piece for piece in rest if piece.held is None], why)


def _held(layout: Layout, demands: tuple[TaskDemand, ...], threshold: PendingThreshold) -> Reason | None:
    """Return why nothing is launched for tasks now; None when enough of them wait, or one for long enough."""
    saved = layout.save()
    trial = items(layout.terms, DemandKind.TASKS, demands)
    settle_all(layout, trial)
    layout.restore(saved)
    # What never fits triggers nothing.
    waiting = [piece for piece in trial if piece.left and can_be_had(layout, piece)]
    pending = sum(piece.left for piece in waiting)
    sources = [source for piece in waiting for source in piece.sources if source.left]
    age_s = max((demands[source.index].age_s for source in sources), default=0.0)
    if threshold.is_reached(pending, age_s):
        return None
    return reason(ReasonCode.PENDING_THRESHOLD, pending=pending, age_s=age_s, threshold=str(threshold))


def settle_all(layout: Layout, tasks: list[Item]) -> None:
    """Put items onto the machines there are, for each of their alternatives in turn."""
    for round_ in range(max((len(piece.selectors) for piece in tasks), default=0)):
        for piece in tasks:
            if round_ < len(piece.selectors):
                layout.settle(piece, piece.selectors[round_])


def can_be_had(layout: Layout, piece: Item) -> bool:
    """Say whether a machine that can be had would take one of an item's pieces."""
    return any(
        all(variant.offers[row] >= units for row, units in piece.need)
        and any(selector.holds(dict(variant.labels)) for selector in piece.selectors)
        for variant in layout.variants
    )
