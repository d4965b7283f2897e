"""The GCS's answer as one value that is compared and nothing else: for clusters in which nothing goes on. Pure.

A look translates everything that Ray says; of a cluster that sleeps only the difference to the last answer matters.
Left out is what changes by itself: how long a node has been idle, its free amounts, the version of the answer, and
whether the head is busy.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.engines.ray.view import HEAD_RESOURCE


def pulse(state: Any) -> Hashable:
    """Return what a ClusterResourceState says that a plan can depend on: what waits, and which nodes are how."""
    return (
        state.cluster_session_name,
        _as_bytes(state.pending_resource_requests),
        _as_bytes(state.pending_gang_resource_requests),
        _as_bytes(state.cluster_resource_constraints),
        frozenset((node.node_id, _status(node)) for node in state.node_states),
    )


def living_heads(state: Any) -> Iterator[str]:
    """Yield the machines of heads that are alive, "" for one that does not say."""
    for node in state.node_states:
        if HEAD_RESOURCE in node.total_resources and node.status != autoscaler.DEAD:
            yield node.instance_id


def _as_bytes(entries: Any) -> tuple[bytes, ...]:
    return tuple(sorted(entry.SerializeToString(deterministic=True) for entry in entries))


def _status(node: Any) -> int:
    """Return how a node is. A head that has become busy or idle is no news: it is never given back."""
    if HEAD_RESOURCE in node.total_resources and node.status != autoscaler.DEAD:
        return int(autoscaler.RUNNING)
    return int(node.status)
