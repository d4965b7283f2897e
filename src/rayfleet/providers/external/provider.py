"""The contract over a user's class: one call at a time, in a thread, and what is asked for is written down first."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from rayfleet.contracts import (
    Denied,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    ProviderContext,
    ProviderError,
    QuotaReached,
    TypeConfig,
)
from rayfleet.model import OfferKey
from rayfleet.providers.external.adapter import Adapter
from rayfleet.providers.external.record import FILE, Launch, Launches

LIST_INTERVAL_S: Final = 5.0
"""As often as Ray's own autoscaler asks such a class."""

KIND_TAG, TYPE_TAG, NAME_TAG = "ray-node-type", "ray-user-node-type", "ray-node-name"
STATUS_TAG, CONFIG_TAG, CLUSTER_TAG = "ray-node-status", "ray-launch-config", "ray-cluster-name"
REQUEST_TAG: Final = "ray-launch-request"
"""Names that such classes know from Ray; the first one says head or worker, whatever it is called."""
OUR_CLUSTER_TAG, BATCH_TAG, OFFER_TAG = "rayfleet-cluster", "rayfleet-batch", "rayfleet-offer"
POOL_TAG, HEAD_TAG = "rayfleet-pool", "rayfleet-head"

LOOKS: Final = 12
"""So many listings is a running node asked for what it has not said of itself; what it lacks then, it lacks for good.
Otherwise a class whose nodes have no public address would be asked about each of them for ever."""

T = TypeVar("T")


class ExternalProvider:
    """Machines that a user's class says there are."""

    def __init__(self, context: ProviderContext, adapter: Adapter, *, now: Callable[[], float] = time.time) -> None:
        """Take what the cluster is, and the class. Neither is used yet."""
        self._context = context
        self._adapter = adapter
        self._now = now
        self._launches: Launches | None = None
        self._tags: dict[str, dict[str, str]] = {}
        self._running: set[str] = set()
        self._addresses: dict[str, tuple[str, str]] = {}
        self._looks: Counter[tuple[str, str]] = Counter()
        self._ending: set[str] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="external-provider")

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "external"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return LIST_INTERVAL_S

    async def list(self) -> tuple[Machine, ...]:
        """Ask for all nodes, and for what is not known yet of each."""
        return await self._alone(self._list)

    async def launch(self, request: LaunchRequest) -> None:
        """Have the class make what this batch has not got yet."""
        await self._alone(lambda: self._launch(request))

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Have the class end those that exist."""
        await self._alone(lambda: self._release(machine_ids))

    async def close(self) -> None:
        """Let go of the thread, once the class has answered."""
        self._thread.shutdown(wait=False)

    async def _alone(self, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)

    def _known(self) -> Launches:
        if self._launches is None:
            launches = Launches(self._context.state_dir / FILE)
            launches.read()
            self._launches = launches
        return self._launches

    def _list(self) -> tuple[Machine, ...]:
        launches, existing = self._known(), sorted(self._adapter.ids())
        self._forget_all_but(existing)
        return tuple(self._machine(node_id, launches) for node_id in existing)

    def _machine(self, node_id: str, launches: Launches) -> Machine:
        tags = self._tags_of(node_id)
        asked = launches.of_node(node_id)
        batch = tags.get(BATCH_TAG) or (asked[0] if asked else "")
        launch = launches.by_batch.get(batch)
        running = self._is_running(node_id)
        internal, external = self._addresses_of(node_id) if running else ("", "")
        if self._context.settings.use_internal_ips:
            external = ""
        state = MachineState.RUNNING if running else MachineState.STARTING
        return Machine(
            id=node_id,
            offer=launch.offer if launch else _offer(tags),
            batch=batch,
            state=MachineState.STOPPING if node_id in self._ending else state,
            head=launch.head if launch else tags.get(KIND_TAG) == "head",
            launched_at=launch.at if launch else 0.0,
            address=internal or external,
            public_address=external,
        )

    def _launch(self, request: LaunchRequest) -> None:
        launches, existing = self._known(), set(self._adapter.ids())
        count = len(request.claims) * request.hosts
        launch = launches.by_batch.get(request.batch)
        if launch is None:
            launches.forget(existing)
            launch = Launch(request.offer, request.head, count, self._now(), before=frozenset(existing))
            launches.put(request.batch, launch)
        if launch.done:
            return
        launch = replace(launch, made=self._found(request, launch, existing))
        if len(launch.made) < count:
            launch = self._create(request, launch, count - len(launch.made))
        launches.put(request.batch, replace(launch, done=True))

    def _found(self, request: LaunchRequest, launch: Launch, existing: set[str]) -> frozenset[str]:
        """Return the nodes that an earlier attempt at this launch has made.

        By their tags; where the class has lost those, by being new, of the pool and nobody else's.
        """
        known = self._known().claimed() - launch.made
        found = set(launch.made & existing)
        for node_id in sorted(existing - launch.before - known):
            tags = self._tags_of(node_id)
            batch = tags.get(BATCH_TAG)
            if batch == request.batch or (batch is None and tags.get(TYPE_TAG, "") in ("", request.pool.name)):
                found.add(node_id)
        return frozenset(found)

    def _create(self, request: LaunchRequest, launch: Launch, count: int) -> Launch:
        """Have nodes made. A part is a success; what was made without being told is found by looking."""
        config = self._context.types.get(request.pool.name, TypeConfig()).node_config
        more = {"resources": request.pool.resources.amounts(), "labels": dict(request.pool.labels)}
        try:
            told = frozenset(self._adapter.create(config, self._new_tags(request, config), count, more))
        except ProviderError as error:
            error.scope = error.scope or request.offer
            made = self._found(request, launch, set(self._adapter.ids()))
            if not made or not isinstance(error, (OutOfStock, QuotaReached, Denied)):
                raise
            return replace(launch, made=made)
        if len(told) >= count:
            return replace(launch, made=launch.made | told)
        return replace(launch, made=self._found(request, launch, set(self._adapter.ids())) | told)

    def _new_tags(self, request: LaunchRequest, config: Any) -> dict[str, str]:
        """Return Ray's tags, by which such a class finds its nodes again, and ours."""
        kind = "head" if request.head else "worker"
        cluster = self._context.cluster
        launched = hashlib.sha1(  # noqa: S324 - tells configurations apart, and keeps nobody out
            json.dumps(config, sort_keys=True, default=str).encode()
        ).hexdigest()
        offer = request.offer
        parts = (offer.provider, offer.region, offer.zone, offer.market.value if offer.market else None)
        return {
            KIND_TAG: kind,
            TYPE_TAG: request.pool.name,
            NAME_TAG: f"ray-{cluster}-{kind}",
            STATUS_TAG: "uninitialized",
            CONFIG_TAG: launched,
            REQUEST_TAG: request.batch,
            CLUSTER_TAG: cluster,
            OUR_CLUSTER_TAG: cluster,
            BATCH_TAG: request.batch,
            POOL_TAG: request.pool.name,
            OFFER_TAG: "/".join(part or "" for part in parts),
            HEAD_TAG: "yes" if request.head else "",
        }

    def _release(self, machine_ids: tuple[str, ...]) -> None:
        there = set(self._adapter.ids())
        ending = [node_id for node_id in dict.fromkeys(machine_ids) if node_id in there]
        if ending:
            self._adapter.end(ending)
            self._ending |= set(ending)

    def _tags_of(self, node_id: str) -> dict[str, str]:
        """Return a node's tags, which nobody changes once they are there."""
        if not self._tags.get(node_id) and self._may_ask("tags", node_id):
            self._tags[node_id] = self._adapter.tags(node_id)
        return self._tags[node_id]

    def _is_running(self, node_id: str) -> bool:
        """Say whether a node runs. One that did is not asked about again: what ends is not listed any more."""
        if node_id not in self._running and self._adapter.is_running(node_id):
            self._running.add(node_id)
        return node_id in self._running

    def _addresses_of(self, node_id: str) -> tuple[str, str]:
        """Return a node's addresses, which it keeps: asked for until all are known, or the node has none."""
        internal, external = self._addresses.get(node_id, ("", ""))
        known = internal and (external or self._context.settings.use_internal_ips)
        if not known and (not internal or self._may_ask("addresses", node_id)):
            self._addresses[node_id] = self._adapter.addresses(node_id)
        return self._addresses[node_id]

    def _may_ask(self, what: str, node_id: str) -> bool:
        """Say whether a node may be asked once more, and count that it is."""
        self._looks[what, node_id] += 1
        return self._looks[what, node_id] <= LOOKS

    def _forget_all_but(self, existing: Iterable[str]) -> None:
        alive = set(existing)
        self._running &= alive
        self._ending &= alive
        for cache in (self._tags, self._addresses):
            for node_id in [known for known in cache if known not in alive]:
                del cache[node_id]
        for key in [known for known in self._looks if known[1] not in alive]:
            del self._looks[key]


def _offer(tags: dict[str, str]) -> OfferKey:
    """Return where a node is from that no record knows: its pool at least."""
    from rayfleet.model import Market

    provider, region, zone, market = (*tags.get(OFFER_TAG, "").split("/"), "", "", "", "")[:4]
    pool = tags.get(POOL_TAG) or tags.get(TYPE_TAG, "")
    known = Market(market) if market in set(Market) else None
    return OfferKey(pool, provider or None, region or None, zone or None, known)
