"""Claims meet machines by batch and nodes by instance id; what meets nothing is a stray, foreign, or a ghost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.contracts import EngineView, Machine, MachineState, Node
from rayfleet.loop.join import Joined, Listing, Memory, join, lasting
from rayfleet.model import (
    NO_LABELS,
    Claim,
    Demand,
    FrozenMap,
    Host,
    MachineFact,
    NodeFact,
    OfferKey,
    Phase,
    Resources,
)

CPU4 = Resources.of({"CPU": 4})
POOL = OfferKey("cpu4")


def machine(name: str, batch: str = "b1", state: MachineState = MachineState.RUNNING, age: float = 0.0) -> Machine:
    return Machine(name, POOL, batch, state, launched_at=age)


def node(
    instance: str, state: NodeFact = NodeFact.ALIVE, *, name: str = "", used: float = 0, head: bool = False
) -> Node:
    free = CPU4 - Resources.of({"CPU": used})
    return Node(name or f"ray-{instance}", instance, "cpu4", state, CPU4, free, NO_LABELS, 7.0, head=head)


def claim(name: str, phase: Phase = Phase.REQUESTED, *, batch: str = "b1", machine_id: str | None = None) -> Claim:
    return Claim(name, POOL, phase, (Host(name, machine_id),), batch=batch)


def joined(
    claims: list[Claim],
    machines: list[Machine] | None,
    nodes: list[Node] | None = None,
    retired: frozenset[str] = frozenset(),
) -> Joined:
    view = None if nodes is None else EngineView(Demand(), tuple(nodes), 50.0)
    listing = Listing(None if machines is None else tuple(machines), listed_at=40.0)
    return join(tuple(claims), {"fake": listing}, view, retired)


def machines_of(result: Joined) -> dict[str, str | None]:
    return {host.id: host.machine_id for claim in result.claims for host in claim.hosts}


# ---- claim and machine ----------------------------------------------------------------------------


def test_machines_bind_to_claims_of_their_batch_in_id_order() -> None:
    claims = [claim("c10"), claim("c2"), claim("c3", batch="b2")]
    result = joined(claims, [machine("m9"), machine("m1"), machine("m2", "b2")])
    assert machines_of(result) == {"c2": "m1", "c10": "m9", "c3": "m2"}
    assert result.strays == ()


def test_machines_that_are_named_after_their_claims_meet_them() -> None:
    claims = [claim("c2"), claim("c10")]
    assert machines_of(joined(claims, [machine("c10-ab"), machine("c2-cd")])) == {"c2": "c2-cd", "c10": "c10-ab"}


def test_a_binding_that_the_ledger_knows_stays() -> None:
    claims = [claim("c1"), claim("c2", machine_id="m1")]
    assert machines_of(joined(claims, [machine("m1"), machine("m2")])) == {"c1": "m2", "c2": "m1"}


def test_a_wanted_claim_comes_before_a_cancelled_one() -> None:
    claims = [claim("c1", Phase.RELEASING), claim("c2")]
    assert machines_of(joined(claims, [machine("m1")])) == {"c1": None, "c2": "m1"}


def test_hosts_of_a_replica_take_as_many_machines() -> None:
    replica = Claim("c1", POOL, Phase.REQUESTED, (Host("c1.0"), Host("c1.1")), batch="b1")
    assert machines_of(joined([replica], [machine("m2"), machine("m1")])) == {"c1.0": "m1", "c1.1": "m2"}


def test_without_tags_machines_bind_by_pool_and_age() -> None:
    claims = [claim("c1"), claim("c2")]
    result = joined(claims, [machine("a", "", age=9.0), machine("z", "", age=5.0)])
    assert machines_of(result) == {"c1": "z", "c2": "a"}


def host_of(replica: str, number: int) -> Machine:
    return replace(machine(f"{replica}-h{number}", ""), replica=replica)


def test_the_hosts_of_a_claim_are_those_of_one_replica_also_when_they_are_shown_one_after_the_other() -> None:
    claims = [
        Claim(name, POOL, Phase.REQUESTED, (Host(f"{name}.0"), Host(f"{name}.1")), batch="b") for name in ("c1", "c2")
    ]
    half = joined(claims, [host_of("r1", 0), host_of("r2", 1)])
    assert machines_of(half) == {"c1.0": "r1-h0", "c1.1": None, "c2.0": "r2-h1", "c2.1": None}
    third = Claim("c0", POOL, Phase.REQUESTED, (Host("c0.0"), Host("c0.1")), batch="b")
    whole = joined([third, *half.claims], [host_of(name, n) for n in (0, 1) for name in ("r2", "r1")])
    assert machines_of(whole) == {
        "c0.0": None, "c0.1": None, "c1.0": "r1-h0", "c1.1": "r1-h1", "c2.0": "r2-h1", "c2.1": "r2-h0",
    }  # fmt: skip


def test_a_claim_whose_replica_is_gone_takes_none_of_another() -> None:
    broken = Claim("c1", POOL, Phase.BOOTING, (Host("c1.0", "r1-h0"), Host("c1.1")), batch="b")
    result = joined([broken], [host_of("r2", 0), host_of("r2", 1)])
    assert machines_of(result) == {"c1.0": "r1-h0", "c1.1": None}
    assert [stray.replica for stray in result.strays] == ["r2", "r2"]


def test_a_machine_of_ours_without_a_claim_is_a_stray_unless_it_is_leaving() -> None:
    result = joined([], [machine("m1", "b7"), machine("m2", state=MachineState.STOPPING)])
    assert [(stray.machine_id, stray.batch, stray.offer) for stray in result.strays] == [("m1", "b7", POOL)]


@given(st.permutations(["m1", "m2", "m3", "m4"]), st.permutations(["c1", "c2", "c3"]))
def test_the_order_of_listing_and_ledger_does_not_matter(machines: list[str], claims: list[str]) -> None:
    result = joined([claim(name) for name in claims], [machine(name) for name in machines])
    assert machines_of(result) == {"c1": "m1", "c2": "m2", "c3": "m3"}
    assert [stray.machine_id for stray in result.strays] == ["m4"]


# ---- facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "state", "fact"),
    [
        (Phase.BOOTING, MachineState.STARTING, MachineFact.PRESENT),
        (Phase.READY, MachineState.RUNNING, MachineFact.PRESENT),
        (Phase.READY, MachineState.FAILED, MachineFact.FAILED),
        (Phase.READY, MachineState.STOPPING, MachineFact.ABSENT),
        (Phase.RELEASING, MachineState.STOPPING, MachineFact.PRESENT),
        (Phase.DRAINING, MachineState.STOPPING, MachineFact.PRESENT),
        (Phase.READY, None, MachineFact.ABSENT),
    ],
)
def test_what_a_listing_says_of_a_machine(phase: Phase, state: MachineState | None, fact: MachineFact) -> None:
    listed = [machine("m1", state=state)] if state else []
    result = joined([claim("c1", phase, machine_id="m1")], listed)
    assert result.claims[0].hosts[0].machine is fact


def test_last_words_of_a_failed_machine_are_kept_and_other_messages_are_not() -> None:
    for state, words in ((MachineState.FAILED, "no disk"), (MachineState.STARTING, "")):
        listed = replace(machine("m1", state=state), message="no disk")
        for nodes in ([], [node("m1")]):
            result = joined([claim("c1", Phase.BOOTING, machine_id="m1")], [listed], nodes)
            assert result.claims[0].hosts[0].message == words


def test_a_failed_listing_says_nothing_and_keeps_its_time() -> None:
    result = joined([claim("c1", Phase.BOOTING, machine_id="m1")], None, [node("m1")])
    assert result.claims[0].hosts[0].machine is None
    assert result.claims[0].listed_at == 40.0


def test_a_ready_claim_is_the_same_listing_after_listing_once_it_was_listed() -> None:
    ready = replace(claim("c1", Phase.READY, machine_id="m1"), created=45.0)
    listings = [{"fake": Listing((machine("m1"),), listed_at)} for listed_at in (40.0, 46.0, 47.0)]
    before, first, second = (join((ready,), listing, None).claims[0] for listing in listings)
    assert before.listed_at == 40.0  # no listing is believed about a claim that is younger
    assert first == second


def test_a_node_brings_its_facts() -> None:
    host = joined([claim("c1", Phase.READY, machine_id="m1")], [machine("m1")], [node("m1", used=1)]).claims[0].hosts[0]
    assert (host.node, host.node_id, host.total, host.used, host.idle_s) == (
        NodeFact.ALIVE, "ray-m1", CPU4, Resources.of({"CPU": 1}), 7.0,
    )  # fmt: skip


def test_who_hears_first_that_a_machine_will_be_taken_away() -> None:
    """The machine itself may, and has its node drained; what its place lists counts more."""
    have, leaving = [claim("c1", machine_id="m1")], replace(node("m1", NodeFact.DRAINING), leaves_at=90.0)
    listed = replace(machine("m1"), interrupt_at=80.0)
    moments = [joined(have, [m], [leaving]).claims[0].hosts[0].interrupt_at for m in (machine("m1"), listed)]
    assert moments == [90.0, 80.0]


def test_an_engine_that_is_silent_says_nothing_of_nodes() -> None:
    bound = Claim("c1", POOL, Phase.READY, (Host("c1", "m1", "ray-m1"),), batch="b1")
    host = joined([bound], [machine("m1")], None).claims[0].hosts[0]
    assert (host.node, host.node_id) == (None, "ray-m1")


def test_a_node_that_the_engine_does_not_know_is_absent() -> None:
    assert joined([claim("c1", machine_id="m1")], [machine("m1")], []).claims[0].hosts[0].node is NodeFact.ABSENT


def test_of_two_nodes_with_one_instance_id_the_living_one_counts() -> None:
    nodes = [node("m1", name="ray-a"), node("m1", NodeFact.DEAD, name="ray-b"), node("m1", NodeFact.DEAD, name="ray-0")]
    assert joined([claim("c1", machine_id="m1")], [machine("m1")], nodes).claims[0].hosts[0].node_id == "ray-a"


def test_the_head_is_met_by_being_the_head() -> None:
    head = Claim("c1", OfferKey("head"), Phase.BOOTING, (Host("c1", "m1"),), batch="b1", head=True)
    result = joined([head], [machine("m1")], [node("", head=True, name="ray-head")])
    assert result.claims[0].hosts[0].node_id == "ray-head"
    assert len(result.claims) == 1


def test_a_label_protects_from_disruption() -> None:
    kept = Node("n", "m1", "cpu4", NodeFact.ALIVE, CPU4, CPU4, FrozenMap({"rayfleet.io/do-not-disrupt": "true"}))
    assert joined([claim("c1", machine_id="m1")], [machine("m1")], [kept]).claims[0].hosts[0].do_not_disrupt


# ---- nodes of nobody ------------------------------------------------------------------------------


def test_a_node_joined_by_hand_is_foreign_capacity() -> None:
    (foreign,) = joined([], [], [node("", name="abcdef0123456789")]).claims
    assert (foreign.id, foreign.foreign, foreign.phase, foreign.hosts[0].total) == (
        "node-abcdef012345", True, Phase.READY, CPU4,
    )  # fmt: skip


@pytest.mark.parametrize("state", [NodeFact.DEAD, NodeFact.DRAINING])
def test_a_foreign_node_that_leaves_is_no_capacity(state: NodeFact) -> None:
    assert joined([], [], [node("", state)]).claims == ()


def test_the_node_of_a_stray_waits_for_its_adoption() -> None:
    result = joined([], [machine("m1", "b7")], [node("m1")])
    assert result.claims == ()
    assert len(result.strays) == 1


def test_the_node_of_a_machine_that_is_gone_is_a_ghost_and_no_capacity() -> None:
    """A raylet that was killed looks alive to the GCS for some seconds; its machine is away already."""
    assert joined([], [], [node("m1")], frozenset({"m1"})).claims == ()


# ---- what lasts -----------------------------------------------------------------------------------


def test_the_ledger_keeps_bindings_and_no_facts_of_the_moment() -> None:
    bound = claim("c1", Phase.READY, machine_id="m1")
    one = joined([bound], [machine("m1")], [node("m1", used=1)])
    two = joined([bound], [machine("m1")], [node("m1", used=3), node("", name="by-hand")])
    assert lasting(one.claims) == lasting(two.claims)
    assert lasting(one.claims)[0].hosts == (Host("c1", "m1", "ray-m1"),)


def test_joining_what_was_kept_gives_the_same_again() -> None:
    once = joined([claim("c2"), claim("c1")], [machine("m1"), machine("m2")], [node("m1")])
    again = joined(list(lasting(once.claims)), [machine("m1"), machine("m2")], [node("m1")])
    assert again == once


# ---- memory ---------------------------------------------------------------------------------------


_MOMENTS = st.tuples(
    st.sampled_from([None, MachineState.RUNNING, MachineState.FAILED, MachineState.STOPPING]),
    st.sampled_from([None, NodeFact.ALIVE, NodeFact.DRAINING, NodeFact.DEAD]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from([Phase.READY, Phase.DRAINING]),
)


@given(st.lists(_MOMENTS, min_size=2, max_size=6))
def test_what_was_joined_before_changes_nothing(moments: list[tuple[object, ...]]) -> None:
    """Whatever comes after what: with the memory of all moments before, a join says what it says without one."""
    memory, last = Memory(), dict[str, tuple[Claim, Claim]]()
    claims = {phase: claim("c1", phase, machine_id="m1") for phase in (Phase.READY, Phase.DRAINING)}
    for state, fact, used, listed, up, at, phase in moments:
        found = () if state is None else (machine("m1", state=state),)  # type: ignore[arg-type]  # of the strategy's kinds
        nodes = () if fact is None else (node("m1", fact, used=used),)  # type: ignore[arg-type]  # as above
        listings = {"fake": Listing(found if listed else None, listed_at=40.0 + float(str(at)))}
        view = EngineView(Demand(), nodes, 50.0) if up else None
        mine = (claims[phase],)  # type: ignore[index]  # as above
        again = join(mine, listings, view, memory=memory)
        assert again == join(mine, listings, view)
        assert lasting(again.claims, mine, last) == lasting(again.claims, mine)
