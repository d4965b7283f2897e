"""The engine contract over a real Ray cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rayfleet.contracts import DrainRefused, EngineDown, EngineView, Node, StartScript
from rayfleet.engines.ray import boot, commands
from rayfleet.engines.ray.commands import Remote
from rayfleet.engines.ray.events import Told, news
from rayfleet.engines.ray.gcs import Gcs
from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.engines.ray.pulse import living_heads, pulse
from rayfleet.engines.ray.report_state import Attempts, attempts, autoscaling_state, next_version
from rayfleet.engines.ray.session_logs import append_events, append_status
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.engines.ray.status_block import status_block
from rayfleet.engines.ray.tls import credentials
from rayfleet.engines.ray.view import FirstSeen, engine_view, task_key, with_ages
from rayfleet.model import NodeFact, Pool, Resources, Selectors, TickReport

METRICS_KEY: Final = "AutoscalerMetricsAddress"
"""Under which Ray's service discovery looks for the metrics of an autoscaler."""
SETTLE_S: Final = 2.0
"""After a GCS restart its picture is incomplete for about a second: nothing is to be concluded from it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The last answer of the GCS, and what must outlive the next."""

    state: Any
    view: EngineView
    first_seen: FirstSeen


class RayEngine:
    """Ray as the loop sees it. One per cluster; its calls belong to one event loop."""

    def __init__(
        self,
        settings: RaySettings,
        clock: Callable[[], float] = time.time,
        *,
        token: Callable[[], str] | None = None,
        head: str = "",
        remote: Remote | None = None,
    ) -> None:
        """Take where the cluster is. Nothing is connected yet. `clock`: seconds since the epoch.

        `token`: where it comes from (None: the cluster's folder). `head`: the machine that the head must be on, where
        its address may have become another cluster's ("": anyone). `remote`: how nodes start on machines that have
        nothing of rayfleet's (None: this one has).
        """
        self._settings = settings
        self._clock = clock
        self._head = head
        self._remote = remote
        self._gcs = Gcs(settings.gcs_address, token or settings.token, tls=partial(credentials, settings))
        self._answer: _Answer | None = None
        self._draining: frozenset[str] = frozenset()
        self._settled_at = 0.0
        self._reported_version: int | None = None
        self._told = Told()
        self._failed_at: Attempts = {}
        self._status = ""
        self._pulse_version = 0
        self._restarts = 0  # of the GCS, which forgets what it was told about us
        self._metrics_at = ""
        self._announced_in = ""  # the session in which Ray knows where our metrics are

    @property
    def session(self) -> str:
        """Return the name of Ray's session, "" while it is not known."""
        return self._answer.view.session if self._answer else ""

    def announce_metrics(self, address: str) -> None:
        """Have Ray's service discovery list `address` (host:port) among its targets, with the next report that is told.

        It is told again to each new GCS, which may not know what the old one did.
        """
        self._metrics_at = address
        self._announced_in = ""

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        """Return how a machine of `pool` starts. Pure."""
        if self._remote is not None:
            return commands.start_script(self._settings, pool, self._remote, head=head)
        return boot.start_script(self._settings, pool, head=head)

    async def look(self) -> EngineView:
        """Return demand and nodes now.

        Raises:
            EngineDown: no answer in time, no head yet, or the GCS has just restarted.
        """
        state = await self._gcs.state()
        now = self._clock()
        await self._survive_restart(state, now)
        seen = engine_view(state, now)
        self._expect_head(node.instance_id for node in seen.nodes if node.head and node.state is not NodeFact.DEAD)
        first_seen = self._answer.first_seen if self._answer else {}
        waiting, first_seen = with_ages(seen.demand, first_seen, now)
        seen = replace(seen, demand=waiting, nodes=await self._told_to_leave(self._mark_draining(seen.nodes)))
        self._answer = _Answer(state, seen, first_seen)
        return seen

    async def pulse(self) -> Hashable:
        """Return what differs as soon as there is anything new, for a fraction of what a look costs.

        Raises:
            EngineDown: no answer in time, or no head yet.
        """
        state = await self._gcs.state()
        self._expect_head(living_heads(state))
        version = state.cluster_resource_state_version
        self._restarts += version < self._pulse_version
        self._pulse_version = version
        return self._restarts, pulse(state)

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        """Ask a node to leave by `deadline` (seconds since the epoch). `voluntary`: only when it is idle.

        Raises:
            DrainRefused: `voluntary` and the node is in use, or it is the head or unknown.
            EngineDown: no answer.
        """
        node = await self._find(node_id)
        if node.state is NodeFact.DEAD:
            return
        if node.head:
            raise DrainRefused("the head is never drained: every driver would die with it")
        # Ray itself does not enforce a deadline; for an idle node, which leaves at once, it wants none.
        deadline_ms = 0 if voluntary else int(deadline * 1000)
        accepted, why_not = await self._gcs.drain(node_id, reason, deadline_ms, voluntary=voluntary)
        if not accepted:
            raise DrainRefused(why_not)
        # For up to a second Ray still calls the node RUNNING, though it takes no more work.
        self._draining |= {node_id}

    async def publish(self, report: TickReport) -> None:
        """Show the report in Ray's own status, as events to drivers, and in the log files that users follow.

        Raises:
            EngineDown: no answer. The files are written all the same.
        """
        now = self._clock()
        try:
            await asyncio.to_thread(self._write_files, report, now)
        finally:  # also with a full disk, whose error goes on
            await self._report(report, now)

    async def resize(self, node_id: str, size: Resources) -> None:
        """Have a node offer as much from now on; its machine must have it already.

        Raises:
            EngineError: the node is unknown, does not answer, or Ray is too old for it.
        """
        await self._gcs.resize(node_id, size.amounts())

    async def close(self) -> None:
        """Let go of connections."""
        await self._gcs.close()

    # ---- look ----------------------------------------------------------------------------------------------------

    def _expect_head(self, machines: Iterable[str]) -> None:
        """Check that the head lives, and is ours. `machines`: those that living heads are on. Raises EngineDown."""
        heads = list(machines)
        if not heads:
            raise EngineDown("Ray's GCS answers, but the head's node has not joined yet")
        if self._head and not {self._head, ""}.intersection(heads):
            raise EngineDown(f"at {self._settings.gcs_address} answers the head {heads[0]}, not {self._head}")

    async def _survive_restart(self, state: Any, now: float) -> None:
        """Notice a GCS that has started again, give it back what it forgets, and wait until its nodes have reported."""
        if self._answer is not None:
            before = self._answer.state
            if state.cluster_session_name != before.cluster_session_name:
                self._answer = None  # another cluster: nothing of the old one is true
                self._draining = frozenset()
            elif state.cluster_resource_state_version < before.cluster_resource_state_version:
                await self._give_back(state, before)
                self._answer = replace(self._answer, state=state)
                self._settled_at = now + SETTLE_S
        if now < self._settled_at:
            raise EngineDown("Ray's GCS has restarted; its nodes are reporting back")

    async def _give_back(self, state: Any, before: Any) -> None:
        """Ask again for what `request_resources` had asked: the GCS keeps it in memory only."""
        if before.cluster_resource_constraints and not state.cluster_resource_constraints:
            await self._gcs.request_resources(before.cluster_resource_constraints[0])
        self._reported_version = None
        self._announced_in = ""

    def _mark_draining(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        alive = {node.id for node in nodes if node.state is not NodeFact.DEAD}
        self._draining &= alive
        return tuple(
            replace(node, state=NodeFact.DRAINING)
            if node.id in self._draining and node.state is NodeFact.ALIVE
            else node
            for node in nodes
        )

    async def _told_to_leave(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """Add by when those leave that somebody else drains, such as a machine that its cloud takes back."""
        others = [n.id for n in nodes if n.state is NodeFact.DRAINING and n.id not in self._draining]
        deadlines = await self._gcs.draining() if others else {}
        if not deadlines.keys() & others:
            return nodes
        return tuple(replace(n, leaves_at=deadlines.get(n.id)) if n.id in others else n for n in nodes)

    async def _find(self, node_id: str) -> Node:
        """Return the node; Ray itself would say yes to draining one that does not exist."""
        seen = self._answer.view if self._answer else await self.look()
        for node in seen.nodes:
            if node.id == node_id:
                return node
        raise DrainRefused(f"Ray knows no node {node_id!r}")

    # ---- publish -------------------------------------------------------------------------------------------------

    async def _report(self, report: TickReport, now: float) -> None:
        if self._reported_version is None:
            self._reported_version = await self._gcs.reported_version()
        version = next_version(self._reported_version, now)
        seen_version = self._answer.state.cluster_resource_state_version if self._answer else 0
        self._failed_at = attempts(report, self._failed_at)
        await self._gcs.report(autoscaling_state(report, version, seen_version, self._original, self._failed_at))
        self._reported_version = version
        session = self.session
        if self._metrics_at and session and session != self._announced_in:
            await self._gcs.put(METRICS_KEY, self._metrics_at)
            self._announced_in = session

    def _original(self, shape: Resources, where: Selectors) -> Any | None:
        """Return Ray's own message of a demand that waits."""
        entries = self._answer.state.pending_resource_requests if self._answer else ()
        matching = (entry.request for entry in entries if task_key(entry.request) == (shape, where))
        return next(matching, None)

    def _write_files(self, report: TickReport, now: float) -> None:
        events, told = news(report, self._told)
        logs_dir = head_logs_dir(self._settings)
        if logs_dir is None:
            return  # the head is elsewhere or not up yet; events are told when it is
        append_events(logs_dir, events, now)
        self._told = told
        status = status_block(report)
        if status != self._status:
            timings = report.timings
            append_status(logs_dir, status, timings.observe_s + timings.plan_s + timings.act_s, now)
            self._status = status


def head_logs_dir(settings: RaySettings) -> Path | None:
    """Return the log folder of the head's session, None when there is none on this machine."""
    with contextlib.suppress(OSError, ValueError):
        folder = Path(json.loads(settings.head_path.read_text(encoding="utf-8"))["logs_dir"])
        return folder if folder.is_dir() else None
    return None


def no_constraint() -> Any:
    """Return the message that clears `request_resources`."""
    return autoscaler.ClusterResourceConstraint()
