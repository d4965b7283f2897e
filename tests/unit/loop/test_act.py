"""Acting: saved first, never twice, one call per provider for what leaves, and not too much at once."""

import asyncio
from dataclasses import replace

import pytest

from rayfleet.contracts import DrainRefused, LaunchRequest, Record
from rayfleet.loop.act import CALLS_AT_ONCE, Actor, Inbox
from rayfleet.model import (
    Claim,
    Drain,
    DrainNodes,
    Host,
    How,
    Launch,
    OfferKey,
    OutcomeKind,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Release,
    Resources,
    Snapshot,
    Trouble,
    reason,
)
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.fake_provider import FakeProvider
from rayfleet.testing.virtual_time import START, run_virtual
from rayfleet.testing.world import World

CPU4 = Pool("cpu4", Resources.of({"CPU": 4}))
PAIR = Pool("pair", Resources.of({"TPU": 4}), hosts_per_replica=2)
POLICY = Policy(pools=(CPU4, PAIR), head=Pool("cpu4", Resources.of({"memory": 1e9})))
WHY = reason(ReasonCode.BOOTING)


def requested(name: str, batch: str, pool: str = "cpu4", *, hosts: int = 1, head: bool = False) -> Claim:
    names = [name] if hosts == 1 else [f"{name}.{n}" for n in range(hosts)]
    return Claim(name, OfferKey(pool), Phase.REQUESTED, tuple(map(Host, names)), batch=batch, accepted=False, head=head)


def launch(batch: str, *claims: Claim) -> Launch:
    return Launch(claims[0].offer, tuple(c.id for c in claims), batch, sum(c.count for c in claims), WHY)


def release(claim: str, *machines: str) -> Release:
    return Release(claim, (claim,), machines, None, How.NOW, WHY)


class Stage:
    """An actor with its edges."""

    def __init__(self) -> None:
        self.world = World(POLICY)
        self.woken: list[str] = []
        self.inbox = Inbox(self.woken.append)
        self.actor = Actor(self.world.parts, self.inbox)

    async def act(self, plan: Plan, held: Record | None = None) -> None:
        self.acted = await self.actor.act(Snapshot(policy=POLICY), plan, held or Record())

    @property
    def launches(self) -> list[LaunchRequest]:
        return [call.request for call in self.world.provider.calls if call.request]


def test_the_ledger_is_written_before_the_provider_is_called() -> None:
    async def story() -> None:
        stage = Stage()
        seen: list[str] = []

        class Witness(FakeProvider):
            async def launch(self, request: LaunchRequest) -> None:
                seen.extend(claim.id for claim in stage.world.claims)
                await super().launch(request)

        stage.actor = Actor(replace(stage.world.parts, providers={"fake": Witness(stage.world.place)}), stage.inbox)
        claim = requested("c1", "b1")
        await stage.act(Plan(launches=(launch("b1", claim),), claims=(claim,), serial=1))
        await asyncio.sleep(1)
        assert seen == ["c1"]
        assert [(o.kind, o.trouble) for o in stage.inbox.outcomes] == [(OutcomeKind.LAUNCH, None)]
        assert (stage.acted.acted_at, stage.woken) == (START, ["launch ended"])

    run_virtual(story())


def test_nothing_is_saved_when_nothing_has_changed() -> None:
    async def story() -> None:
        stage = Stage()
        claim = requested("c1", "b1")
        await stage.act(Plan(claims=(claim,), serial=1), Record((claim,), serial=1))
        assert stage.world.memory.saves == 0
        assert stage.acted.saved
        await stage.act(Plan(claims=(claim,), serial=1, answered=("o1",)), Record((claim,), serial=1))
        assert stage.world.memory.saves == 1

    run_virtual(story())


def test_a_batch_that_is_on_its_way_is_not_asked_for_again() -> None:
    async def story() -> None:
        stage = Stage()
        held = stage.world.provider.hold("launch")
        claim = requested("c1", "b1")
        plan = Plan(launches=(launch("b1", claim),), claims=(claim,))
        await stage.act(plan)
        await stage.act(plan)
        assert stage.world.provider.count("launch") == 1
        assert stage.inbox.launching == {"b1"}
        held.set()
        await asyncio.sleep(1)
        assert stage.inbox.launching == set()

    run_virtual(story())


def test_the_head_is_launched_from_its_own_pool_even_under_a_workers_name() -> None:
    async def story() -> None:
        stage = Stage()
        head, worker = requested("c1", "b1", head=True), requested("c2", "b2")
        await stage.act(Plan(launches=(launch("b1", head), launch("b2", worker)), claims=(head, worker)))
        assert [(request.head, request.pool) for request in stage.launches] == [(True, POLICY.head), (False, CPU4)]

    run_virtual(story())


def test_a_replica_is_asked_for_with_all_its_hosts() -> None:
    async def story() -> None:
        stage = Stage()
        claims = (requested("c1", "b1", "pair", hosts=2), requested("c2", "b1", "pair", hosts=2))
        await stage.act(Plan(launches=(launch("b1", *claims),), claims=claims))
        assert [(request.claims, request.hosts) for request in stage.launches] == [(("c1", "c2"), 2)]

    run_virtual(story())


def test_what_leaves_goes_in_one_call_per_provider_and_only_once() -> None:
    async def story() -> None:
        stage = Stage()
        held = stage.world.provider.hold("release")
        claims = tuple(requested(name, "b1") for name in ("c1", "c2", "c3"))
        releases = (release("c1", "m1"), release("c2", "m2"), release("c3"))
        await stage.act(Plan(releases=releases, claims=claims))
        await stage.act(Plan(releases=releases, claims=claims))
        assert [call.machine_ids for call in stage.world.provider.calls] == [("m1", "m2")]
        held.set()
        await asyncio.sleep(1)
        assert [(o.kind, o.claims) for o in stage.inbox.outcomes] == [(OutcomeKind.RELEASE, ("c1", "c2"))]
        await stage.act(Plan(releases=releases[:1], claims=claims))
        assert stage.world.provider.count("release") == 2

    run_virtual(story())


@pytest.mark.parametrize(("voluntary", "asked"), [(True, ["busy"]), (False, ["busy", "idle"])])
def test_nobody_else_of_a_replica_is_asked_to_leave_when_one_host_refuses(voluntary: bool, asked: list[str]) -> None:
    """Those that have to leave are all asked, whatever one of them answers."""

    async def story() -> None:
        stage = Stage()
        heard: list[str] = []

        class Refusing(FakeEngine):
            async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
                heard.append(node_id)
                if node_id == "busy":
                    raise DrainRefused("in use")

        engine = Refusing(stage.world.clock, {}, machines=stage.world.place.listed)
        parts = replace(stage.world.parts, engine=engine)
        claim = replace(
            requested("c1", "b1", "pair", hosts=2), phase=Phase.DRAINING, drain=Drain(WHY, START, START + 9)
        )
        drain = DrainNodes("c1", ("c1.0", "c1.1"), ("busy", "idle"), START + 9, WHY, voluntary=voluntary)
        stage.actor = Actor(parts, stage.inbox)
        await stage.act(Plan(drains=(drain,), claims=(claim,)))
        await asyncio.sleep(1)
        assert heard == asked
        assert [outcome.trouble for outcome in stage.inbox.outcomes] == [Trouble.REFUSED]

    run_virtual(story())


@pytest.mark.parametrize(("down", "trouble"), [(False, Trouble.REFUSED), (True, Trouble.FLAKY)])
def test_a_drain_that_fails_is_an_outcome(down: bool, trouble: Trouble) -> None:
    async def story() -> None:
        stage = Stage()
        stage.world.engine.needs_head = False
        stage.world.engine.down = down
        claim = replace(requested("c1", "b1"), phase=Phase.DRAINING, drain=Drain(WHY, START, START + 9))
        drain = DrainNodes("c1", ("c1",), ("unknown-node",), START + 9, WHY, voluntary=True)
        await stage.act(Plan(drains=(drain,), claims=(claim,)))
        await asyncio.sleep(1)
        assert [(o.kind, o.claims, o.trouble) for o in stage.inbox.outcomes] == [(OutcomeKind.DRAIN, ("c1",), trouble)]

    run_virtual(story())


def test_only_so_many_launches_at_once() -> None:
    async def story() -> None:
        stage = Stage()
        held = stage.world.provider.hold("launch")
        claims = tuple(requested(f"c{n}", f"b{n}") for n in range(20))
        await stage.act(Plan(launches=tuple(launch(c.batch, c) for c in claims), claims=claims))
        await asyncio.sleep(1)
        assert stage.world.provider.count("launch") == CALLS_AT_ONCE
        assert len(stage.inbox.launching) == 20
        held.set()
        await asyncio.sleep(1)
        assert stage.world.provider.count("launch") == 20

    run_virtual(story())


def test_with_a_full_disk_only_what_the_ledger_knows_may_leave() -> None:
    async def story() -> None:
        stage = Stage()
        stage.world.ledger.write_error = "ledger: full"
        known, new = requested("c1", "b1"), requested("c2", "b2")
        plan = Plan(
            launches=(launch("b2", new),), releases=(release("c1", "m1"), release("c9", "m9")), claims=(known, new)
        )
        await stage.act(plan, Record((known,)))
        await asyncio.sleep(1)
        assert [(call.verb, call.machine_ids) for call in stage.world.provider.calls] == [("release", ("m1",))]
        assert stage.acted.troubles == ("ledger: full; 1 launches are held",)

    run_virtual(story())


def test_closing_waits_for_calls_a_moment_and_no_longer() -> None:
    async def story() -> None:
        stage = Stage()
        stage.world.provider.hold("launch")
        claim = requested("c1", "b1")
        await stage.act(Plan(launches=(launch("b1", claim),), claims=(claim,)))
        await stage.actor.close(patience_s=5.0)
        assert stage.world.clock.now() == START + 5
        assert not stage.actor.busy
        assert stage.inbox.outcomes == []

    run_virtual(story())
