"""Verdicts: which part of a gang is asked about, and which pools could not take it; exact texts."""

from dataclasses import replace

from tests.unit.planner.looking import planned

from rayfleet.model import FrozenMap, Gang, Plan, ReasonCode
from rayfleet.testing.snapshots import claim, gang, pool

SMALL = pool("small", CPU=4)
WEB = pool("web", CPU=8, labels={"tier": "web"})


def verdicts(of: Plan) -> list[tuple[str, str]]:
    (missing,) = of.unmet
    return [(verdict.pool, verdict.reason.text) for verdict in missing.pools]


def placed(of: Gang, **where: str) -> Gang:
    return replace(of, placed=FrozenMap({number.removeprefix("b"): host for number, host in where.items()}))


def test_a_gang_is_judged_by_the_bundle_that_fewest_pools_take() -> None:
    result = planned(SMALL, WEB, gang("PACK", {"CPU": 1}, {"CPU": 6}, {"GPU": 1}))
    assert verdicts(result) == [
        ("small", "has 0 GPU, 1 are needed"),
        ("web", "has 0 GPU, 1 are needed"),
    ]


def test_bundles_that_have_a_place_are_not_asked_about() -> None:
    wanted = placed(gang("PACK", {"GPU": 1}, {"CPU": 6}), b0="m1")
    result = planned(SMALL, claim("m1", "small"), wanted, max_workers=1)
    assert verdicts(result) == [("small", "has 4 CPU, 6 are needed")]


def test_a_strict_pack_is_judged_by_its_sum_and_its_labels() -> None:
    result = planned(SMALL, WEB, gang("STRICT_PACK", {"CPU": 3}, {"CPU": 6}))
    assert [text for _, text in verdicts(result)] == [
        "has 4 CPU, 9 are needed",
        "has 8 CPU, 9 are needed",
    ]
    labelled = planned(WEB, gang("STRICT_PACK", {"CPU": 1}, {"CPU": 1}, labels=({"tier": "batch"},)))
    assert [verdict.reason.code for verdict in labelled.unmet[0].pools] == [ReasonCode.LABELS_DIFFER]
