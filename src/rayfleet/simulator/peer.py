"""Other autoscalers on the same loop: their rules decide, what happens to machines is told by the same life cycle.

A peer chooses what to launch and what to end. Everything else - claims, lost and late machines, adoption, orders, the
head - goes its production way, so that peers and policies are compared on the same footing.
"""

from __future__ import annotations

from collections.abc import Callable

from rayfleet.model import Plan, Policy, Snapshot


def peers_known() -> tuple[str, ...]:
    """Return the names of the peers."""
    return ()


def peer_planner(name: str, policy: Policy) -> Callable[[], Callable[[Snapshot], Plan]]:
    """Return what makes a fresh decision function of a peer under the limits and pools of `policy`."""
    raise NotImplementedError(name)
