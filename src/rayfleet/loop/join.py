"""What the ledger wants, what the provider lists and what the engine reports, joined into claims. Pure.

    claim --batch--> machine --instance id--> node

Machines bind to claims of their batch in id order, claims that are wanted before those that leave. Places
without tags give machines without a batch: those bind by pool and age, the hosts of a replica together.
What binds to nothing is a stray (a machine of ours without a claim) or foreign (a node that somebody else
started).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from operator import attrgetter

from rayfleet.contracts import EngineView, Machine, MachineState, Node
from rayfleet.model import (
    CAPACITY,
    NOTHING,
    STARTING,
    Claim,
    Host,
    MachineFact,
    NodeFact,
    OfferKey,
    Phase,
    Resources,
    Stray,
)

DO_NOT_DISRUPT_LABEL = "rayfleet.io/do-not-disrupt"
"""A node with this label set to "true" is not drained voluntarily."""

_LIVELINESS = {NodeFact.ALIVE: 0, NodeFact.DRAINING: 1, NodeFact.DEAD: 2}


@dataclass(frozen=True, slots=True)
class Listing:
    """What one provider has said. `machines` None: the last attempt failed. `listed_at`: of the newest good one."""

    machines: tuple[Machine, ...] | None = None
    listed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Claims with the facts of this moment, foreign ones last, and machines without a claim.

    `bound`: the ids of the machines that the claims have.
    """

    claims: tuple[Claim, ...]
    strays: tuple[Stray, ...]
    bound: frozenset[str] = frozenset()


def join(
    claims: tuple[Claim, ...],
    listings: Mapping[str, Listing],
    view: EngineView | None,
    retired: frozenset[str] = frozenset(),
    memory: Memory | None = None,
) -> Joined:
    """Give every host its facts.

    `view` None: the engine does not answer, so nothing is said of nodes. `retired`: ids of machines that
    were ours and may be gone; their nodes are ghosts until the engine notices, not capacity. `memory`: what the last
    call made; it is brought up to date, saves most of the work of a quiet tick, and changes nothing else.
    """
    places = {name: _Place(listing) for name, listing in listings.items()}
    bound = _bind(claims, places)
    nodes = _Nodes(view)
    last = memory.single if memory is not None and memory.nodes_known is nodes.known else {}
    kept: dict[str, Remembered] = {}
    only = next(iter(places.values())) if len(places) == 1 else None
    joined = [_joined(claim, only or _home(claim.offer, places), nodes, last, kept) for claim in bound]
    if memory is not None:
        memory.single, memory.nodes_known = kept, nodes.known
    taken = frozenset([host.machine_id for claim in bound for host in claim.hosts if host.machine_id])
    strays = tuple(_strays(places.values(), taken))
    ours = retired.union(taken, *(place.machines for place in places.values()))
    return Joined((*joined, *nodes.foreign(ours)), strays, taken)


Said = tuple[bool, float | None]
"""Whether a provider has answered, and when it was listed."""
Remembered = tuple[Claim, Machine | None, Node | None, Said, Claim]
"""A claim of one host before it was joined, its machine, its node, what its place said; and what that came to."""


@dataclass(slots=True)
class Memory:
    """What `join` made of claims of one host, by id, when the engine did or did not answer. Belongs to one caller."""

    single: dict[str, Remembered] = field(default_factory=dict)
    nodes_known: bool = False


class _Place:
    """One provider's machines by id."""

    def __init__(self, listing: Listing) -> None:
        self.known = listing.machines is not None
        self.listed_at = listing.listed_at
        self.said: Said = (self.known, self.listed_at)
        self.machines = {machine.id: machine for machine in listing.machines or ()}


def _home(offer: OfferKey, places: Mapping[str, _Place]) -> _Place:
    """Return where an offer comes from: the named provider, else the first (most clusters have one)."""
    return places.get(offer.provider or "") or next(iter(places.values()))


# ---- claim and machine --------------------------------------------------------------------------


def _bind(claims: tuple[Claim, ...], places: Mapping[str, _Place]) -> tuple[Claim, ...]:
    """Give hosts without a machine one of their batch, if there is one left."""
    waiting = {claim.id: claim for claim in claims for host in claim.hosts if host.machine_id is None}
    if not waiting:
        return claims
    free = {id(place): _free(place, claims) for place in places.values()}
    taken = {id(place): _replicas_taken(place, claims) for place in places.values()}
    found: dict[str, Claim] = {}
    for claim in sorted(waiting.values(), key=_binding_order):
        place = _home(claim.offer, places)
        groups = free[id(place)]
        if queue := groups.get((claim.batch, "")) or groups.get(("", claim.pool)):
            mine = _of_one_replica(claim, queue, place, taken[id(place)])
            found[claim.id] = replace(claim, hosts=tuple(_bound(host, mine) for host in claim.hosts))
    return tuple(found.get(claim.id, claim) for claim in claims)


def _free(place: _Place, claims: tuple[Claim, ...]) -> dict[tuple[str, str], deque[Machine]]:
    """Group the machines that no host has: tagged ones by batch in id order, others by pool, oldest first."""
    taken = {host.machine_id for claim in claims for host in claim.hosts}
    free: dict[tuple[str, str], deque[Machine]] = {}
    for machine in sorted(place.machines.values(), key=_age_order):
        # Without a tag nobody knows whose a machine was that stops: it is not what anybody waits for.
        leaving = machine.state is MachineState.STOPPING and not machine.batch
        if machine.id not in taken and not leaving:
            group = (machine.batch, "") if machine.batch else ("", machine.offer.pool)
            free.setdefault(group, deque()).append(machine)
    return free


def _age_order(machine: Machine) -> tuple[float, int, str]:
    """Order as claims are ordered, for places name machines after them (c2-x before c10-y)."""
    return (0.0 if machine.batch else machine.launched_at, len(machine.id), machine.id)


def _binding_order(claim: Claim) -> tuple[bool, int, str]:
    """Wanted claims first, then in id order (c2 before c10)."""
    return (claim.phase not in CAPACITY, len(claim.id), claim.id)


def _of_one_replica(claim: Claim, queue: deque[Machine], place: _Place, taken: set[str]) -> deque[Machine]:
    """Return the machines that a claim may take: where the place makes whole replicas, those of one and no other.

    `taken`: replicas of which a claim has a part already; what this claim begins with is added.
    """
    if not queue[0].replica:
        return queue
    known = [place.machines.get(host.machine_id) for host in claim.hosts if host.machine_id is not None]
    begun = (machine.replica for machine in known if machine)
    replica = next(begun, None) if known else next((m.replica for m in queue if m.replica not in taken), None)
    missing = claim.count - len(known)
    mine = [machine for machine in queue if machine.replica == replica][:missing]
    for machine in mine:
        queue.remove(machine)
    taken.update(machine.replica for machine in mine)
    return deque(mine)


def _replicas_taken(place: _Place, claims: tuple[Claim, ...]) -> set[str]:
    machines = (place.machines.get(host.machine_id or "") for claim in claims for host in claim.hosts)
    return {machine.replica for machine in machines if machine and machine.replica}


def _bound(host: Host, queue: deque[Machine]) -> Host:
    if host.machine_id is not None or not queue:
        return host
    return replace(host, machine_id=queue.popleft().id)


def _strays(places: Iterable[_Place], taken: frozenset[str]) -> Iterable[Stray]:
    """Yield machines without a claim, for adoption; those that are leaving already are left to their provider."""
    for place in places:
        for machine in place.machines.values():
            if machine.id not in taken and machine.state is not MachineState.STOPPING:
                rests = machine.state is MachineState.STANDBY
                tags = (machine.offer, machine.batch, machine.launched_at, machine.head)
                yield Stray(machine.id, *tags, rests, machine.replica)


# ---- facts --------------------------------------------------------------------------------------


def _joined(
    claim: Claim, place: _Place, nodes: _Nodes, last: Mapping[str, Remembered], kept: dict[str, Remembered]
) -> Claim:
    """Return a claim with its facts: the same value as last time when nothing about it is new."""
    if len(claim.hosts) != 1:
        return _with_facts(claim, place, nodes)
    host = claim.hosts[0]
    machine, node = place.machines.get(host.machine_id or ""), nodes.of(claim, host)
    before = last.get(claim.id)
    if before is None or before[0] is not claim or before[3][0] is not place.known:
        found = _with_facts(claim, place, nodes)
    elif before[1] is machine and before[2] is node and (before[4].listed_at is None or before[3] == place.said):
        kept[claim.id] = before  # nearly every claim in nearly every tick: what is None here stays so
        return before[4]
    elif before[1] == machine and before[2] == node:
        found, listed_at = before[4], _heard(claim, place.listed_at)
        found = found if found.listed_at == listed_at else _listed(claim, found.hosts, listed_at)
    else:
        found = _with_facts(claim, place, nodes)
    kept[claim.id] = (claim, machine, node, place.said, found)
    return found


def _heard(claim: Claim, listed_at: float | None) -> float | None:
    """Return the time of listing that a claim needs to know.

    Of a READY one only that its provider was listed after it was made, and then nothing has to be waited for (None): so
    it is the same value listing after listing, and nothing that is made of it has to be made again.
    """
    settled = claim.phase is Phase.READY and listed_at is not None and listed_at > claim.created
    return None if settled else listed_at


def _with_facts(claim: Claim, place: _Place, nodes: _Nodes) -> Claim:
    hosts = tuple([_host_with_facts(claim, host, place, nodes) for host in claim.hosts])
    return _listed(claim, hosts, _heard(claim, place.listed_at))


def _listed(claim: Claim, hosts: tuple[Host, ...], listed_at: float | None) -> Claim:
    """Return the claim with other hosts and time of listing; `replace` takes three times as long."""
    values = list(_every_field(claim))
    values[_HOSTS], values[_LISTED_AT] = hosts, listed_at
    return Claim(*values)


_FIELDS = tuple(each.name for each in fields(Claim))
_HOSTS, _LISTED_AT = _FIELDS.index("hosts"), _FIELDS.index("listed_at")
_every_field = attrgetter(*_FIELDS)


def _host_with_facts(claim: Claim, host: Host, place: _Place, nodes: _Nodes) -> Host:
    machine = place.machines.get(host.machine_id or "")
    fact = _machine_fact(machine, claim) if place.known else None
    interrupt_at = machine.interrupt_at if machine else None
    told = machine if machine and (fact is MachineFact.FAILED or _is_waiting(machine)) else None
    message, trouble = (told.message, told.trouble) if told else ("", None)
    node = nodes.of(claim, host)
    if node is not None and not _is_of_earlier(claim, node):
        found = _host(host.id, node, host.machine_id, fact, node.leaves_at if interrupt_at is None else interrupt_at)
        return replace(found, message=message, trouble=trouble) if told else found
    absent = NodeFact.ABSENT if nodes.known else None
    bound = (host.id, host.machine_id, host.node_id)
    return Host(*bound, fact, absent, interrupt_at=interrupt_at, message=message, trouble=trouble)


def _is_waiting(machine: Machine) -> bool:
    """Say whether the place cannot give a machine yet that it has accepted."""
    return machine.state is MachineState.STARTING and machine.trouble is not None


def _host(
    name: str, node: Node, machine_id: str | None, machine: MachineFact | None, interrupt_at: float | None
) -> Host:
    return Host(
        id=name,
        machine_id=machine_id,
        node_id=node.id,
        machine=machine,
        node=node.state,
        total=node.total,
        used=_used(node.total, node.available),
        labels=node.labels,
        idle_s=node.idle_s,
        activity=node.activity,
        interrupt_at=interrupt_at,
        do_not_disrupt=node.labels.get(DO_NOT_DISRUPT_LABEL) == "true",
    )


def _used(total: Resources, available: Resources) -> Resources:
    """Return what is not free; a resource of which more is free than there is counts as unused."""
    if total is available or total == available:
        return NOTHING
    return _difference(total, available)


@lru_cache(maxsize=8192)
def _difference(total: Resources, available: Resources) -> Resources:
    """Return what is taken; machines of a kind that are used alike are many."""
    return Resources({name: max(0, units - available.get(name, 0)) for name, units in total.items()})


def _is_of_earlier(claim: Claim, node: Node) -> bool:
    """Say whether a dead node tells of the time before its machine was on standby: it is started under the same id."""
    waits = claim.standby or (claim.reuse and claim.phase in STARTING)
    return waits and node.state is NodeFact.DEAD


def _machine_fact(machine: Machine | None, claim: Claim) -> MachineFact:
    """Say what a listing means: a machine that stops by itself is as good as gone, one that we gave back is not yet."""
    if machine is None:
        return MachineFact.ABSENT
    if machine.state is MachineState.STOPPING and claim.phase in CAPACITY:
        return MachineFact.ABSENT
    if machine.state is MachineState.STANDBY:
        if claim.phase in {Phase.STANDBY, Phase.REQUESTED}:
            return MachineFact.STANDBY
        return MachineFact.ABSENT if claim.phase in CAPACITY else MachineFact.PRESENT
    return MachineFact.FAILED if machine.state is MachineState.FAILED else MachineFact.PRESENT


def _liveliest_first(node: Node) -> tuple[int, str]:
    return (_LIVELINESS[node.state], node.id)


class _Nodes:
    """The engine's nodes by instance id, and which of them belong to a claim."""

    def __init__(self, view: EngineView | None) -> None:
        self.known = view is not None
        self._all = view.nodes if view else ()
        self._head_met = False
        named = [node for node in self._all if node.instance_id]
        self._by_instance = {node.instance_id: node for node in named}
        if len(self._by_instance) < len(named):
            self._by_instance = {node.instance_id: node for node in sorted(named, key=_liveliest_first, reverse=True)}
        self._head = min((node for node in self._all if node.head), key=_liveliest_first, default=None)

    def of(self, claim: Claim, host: Host) -> Node | None:
        """Return the node of a host: by instance id, and the head also because it is the head."""
        node = self._by_instance.get(host.machine_id or "")
        if node is None and claim.head:
            node = self._head
            self._head_met = True
        return node

    def foreign(self, ours: frozenset[str]) -> list[Claim]:
        """Return claims for living nodes that somebody else started. They are capacity and are left alone."""
        found = [
            node
            for node in self._all
            if node.instance_id not in ours
            and node.state is NodeFact.ALIVE
            and not (self._head_met and node is self._head)
        ]
        return [_foreign(node) for node in sorted(found, key=attrgetter("id"))]


def _foreign(node: Node) -> Claim:
    name = f"node-{node.id[:12]}"
    return Claim(name, OfferKey(node.pool), hosts=(_host(name, node, None, None, None),), head=node.head, foreign=True)


# ---- what lasts ---------------------------------------------------------------------------------


Kept = dict[str, tuple[Claim, Claim]]
"""What `lasting` made of claims, by id: the claim, and what the ledger keeps of it."""


def lasting(claims: Iterable[Claim], held: tuple[Claim, ...] = (), last: Kept | None = None) -> tuple[Claim, ...]:
    """Return what the ledger keeps of claims: no facts of the moment, so that a quiet tick changes nothing.

    Foreign claims are facts altogether. `held`: what it keeps now; claims that have not changed are those very values.
    `last`: what the last call made; it is brought up to date and changes nothing.
    """
    before = {claim.id: claim for claim in held}
    last = {} if last is None else last
    made: Kept = {}
    for claim in claims:
        if claim.foreign:
            continue
        mine, pair = before.get(claim.id), last.get(claim.id)
        if pair is None or pair[0] is not claim or pair[1] is not mine:
            pair = (claim, _lasting(claim, mine))
        made[claim.id] = pair
    last.clear()
    last.update(made)
    return tuple([kept for _, kept in made.values()])


def _lasting(claim: Claim, held: Claim | None) -> Claim:
    if held is claim:
        return held
    if held is not None and _kept(held) == _kept(claim) and _bindings(held) == _bindings(claim):
        return held
    return replace(claim, hosts=tuple(Host(*binding) for binding in _bindings(claim)), listed_at=None)


def _bindings(claim: Claim) -> list[tuple[str, str | None, str | None]]:
    return [(host.id, host.machine_id, host.node_id) for host in claim.hosts]


_kept = attrgetter(*(each.name for each in fields(Claim) if each.name not in {"hosts", "listed_at"}))
