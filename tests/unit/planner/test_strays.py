"""Machines that carry our tag but have no claim: what is made of them."""

from dataclasses import replace

from tests.unit.planner.looking import claim_of, planned

from rayfleet.model import MachineFact, OfferKey, Phase, ReasonCode, Stray
from rayfleet.testing.snapshots import pool, tasks

CPU1 = pool("cpu1", CPU=1)
TPU = pool("tpu", CPU=1, TPU=1, hosts_per_replica=2)
FOUND = Stray("i-9", OfferKey("cpu1"), "token", 500.0)


def test_a_stray_becomes_a_booting_claim_whose_machine_is_there() -> None:
    result = planned(CPU1, tasks(1, CPU=1), strays=(FOUND,))
    made = claim_of(result, "cpu1-101")
    assert made is not None
    assert (made.phase, made.since, made.created, made.batch, made.head) == (
        Phase.BOOTING, 1000.0, 500.0, "token", False,
    )  # fmt: skip
    assert [(host.id, host.machine_id, host.machine) for host in made.hosts] == [
        ("cpu1-101", "i-9", MachineFact.PRESENT)
    ]
    assert [(f.subject, dict(f.reason.details)) for f in result.findings] == [("cpu1-101", {"machine": "i-9"})]


def test_what_is_not_told_of_a_stray_is_now_and_its_own() -> None:
    made = claim_of(planned(CPU1, tasks(1, CPU=1), strays=(replace(FOUND, batch="", launched_at=0.0),)), "cpu1-101")
    assert made is not None
    assert (made.created, made.batch) == (1000.0, "cpu1-101")


def test_strays_of_one_batch_are_replicas_and_those_of_no_batch_are_not() -> None:
    three = [Stray(f"i-{n}", OfferKey("tpu"), "b", 500.0 + n) for n in (2, 1, 3)]
    result = planned(TPU, tasks(4, TPU=1), strays=tuple(three))
    assert [(c.created, [host.machine_id for host in c.hosts]) for c in result.claims if c.phase is Phase.BOOTING] == [
        (501.0, ["i-1", "i-2"]),
        (503.0, ["i-3"]),
    ]
    assert [f.reason.code for f in result.findings] == [ReasonCode.ADOPTED] * 3
    alone = planned(CPU1, tasks(2, CPU=1), strays=tuple(replace(FOUND, machine_id=i, batch="") for i in ("i-1", "i-2")))
    assert [len(c.hosts) for c in alone.claims] == [1, 1]


def test_strays_of_one_replica_are_one_claim_that_waits_for_the_hosts_not_shown_yet() -> None:
    strays = tuple(
        Stray(f"p{n}", OfferKey("tpu"), launched_at=995.0, replica=r) for n, r in ((1, "a"), (2, "b"), (3, "b"))
    )
    result = planned(TPU, tasks(4, TPU=1), strays=strays)
    assert [[host.machine_id for host in c.hosts] for c in result.claims if c.phase is Phase.BOOTING] == [
        ["p1", None],
        ["p2", "p3"],
    ]


def test_a_stray_head_is_the_head() -> None:
    result = planned(CPU1, head=pool("head", CPU=0), strays=(Stray("i-0", OfferKey("head"), "h", 500.0, head=True),))
    assert [(c.id, c.head) for c in result.claims] == [("head-101", True)]
    assert result.launches == ()
