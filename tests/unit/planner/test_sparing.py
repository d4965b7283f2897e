"""A provider that gives no clear answer for a moment does not make anybody pay for an accelerator."""

from typing import Any

import pytest
from tests.unit.planner.looking import launched, planned, unmet

from rayfleet.model import Backoff, OfferKey, Phase, Pool, ReasonCode, Trouble
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, tasks

GPU = pool("gpu", 5.0, CPU=8, GPU=1)
CPU = pool("cpu", 0.2, CPU=8)
OTHER = pool("other", 0.9, CPU=8)


def silent(*names: str, left_s: float = 2.0, failures: int = 1) -> tuple[Backoff, ...]:
    return tuple(Backoff(OfferKey(name), 1000.0 + left_s, Trouble.FLAKY, failures) for name in names)


WORK: list[Any] = [
    tasks(3, CPU=1),
    requested(3, CPU=1),
    gang("PACK", {"CPU": 1}, {"CPU": 1}),
    gang("STRICT_PACK", {"CPU": 1}, {"CPU": 1}),
    gang("SPREAD", {"CPU": 1}, {"CPU": 1}),
    gang("STRICT_SPREAD", {"CPU": 1}, {"CPU": 1}),
]


@pytest.mark.parametrize("work", WORK)
def test_work_waits_for_the_plain_offer_that_is_asked_again_in_a_moment(work: Any) -> None:
    result = planned(GPU, CPU, work, backoffs=silent("cpu"))
    assert launched(result) == {}
    (missing,) = result.unmet
    assert missing.reason.code is ReasonCode.BACKED_OFF
    verdicts = {verdict.pool: verdict.reason for verdict in missing.pools}
    assert verdicts["gpu"].text == (
        "is kept for work that needs its accelerator: cpu (on-demand) is asked again in 2 s"
    )


@pytest.mark.parametrize("work", WORK)
def test_it_takes_another_plain_offer_rather(work: Any) -> None:
    assert set(launched(planned(GPU, CPU, OTHER, work, backoffs=silent("cpu")))) == {"other"}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("trouble", [Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED, Trouble.DENIED])
def test_it_takes_an_accelerator_when_nothing_else_can_be_had(work: Any, trouble: Trouble) -> None:
    back = (Backoff(OfferKey("cpu"), 1002.0, trouble),)
    assert set(launched(planned(GPU, CPU, work, backoffs=back))) == {"gpu"}


@pytest.mark.parametrize(
    ("cpu", "backoffs"),
    [
        (CPU, silent("cpu", left_s=512.0, failures=9)),  # no answer for minutes
        (CPU, silent("cpu", left_s=300.0)),  # a boot that took too long
        (pool("cpu", 0.2, CPU=8, max_workers=0), silent("cpu")),
        (pool("cpu", 0.2, CPU=0.5), silent("cpu")),
        (CPU, (*silent("cpu"), Backoff(OfferKey("cpu"), 1100.0, Trouble.OUT_OF_STOCK))),
    ],
    ids=["silent for minutes", "boots too long", "at its maximum", "too small", "out of stock, too"],
)
def test_what_will_not_be_had_in_a_moment_is_not_waited_for(cpu: Pool, backoffs: tuple[Backoff, ...]) -> None:
    assert set(launched(planned(GPU, cpu, tasks(3, CPU=1), backoffs=backoffs))) == {"gpu"}


def test_labels_that_only_the_accelerated_have_are_not_waited_for_elsewhere() -> None:
    web = pool("gpu", 5.0, CPU=8, GPU=1, labels={"tier": "web"})
    assert launched(planned(web, CPU, tasks(1, {"tier": "web"}, CPU=1), backoffs=silent("cpu"))) == {"gpu": 1}


def test_work_that_needs_one_is_launched_for_and_the_rest_fills_it_up() -> None:
    result = planned(GPU, CPU, tasks(1, CPU=1, GPU=1), tasks(9, CPU=1), backoffs=silent("cpu"))
    assert launched(result) == {"gpu": 1}
    assert unmet(result) == [("tasks", 1, 2, ReasonCode.BACKED_OFF)]


def test_machines_that_are_there_are_used_and_minimums_hold() -> None:
    there = claim("m1", "gpu")
    assert unmet(planned(GPU, CPU, there, tasks(8, CPU=1), backoffs=silent("cpu"))) == []
    least = pool("gpu", 5.0, CPU=8, GPU=1, min_workers=1)
    assert launched(planned(least, CPU, backoffs=silent("cpu"))) == {"gpu": 1}


def test_a_buffer_waits_too() -> None:
    assert launched(planned(GPU, CPU, buffers=(buffer(2, CPU=1),), backoffs=silent("cpu"))) == {}
    assert launched(planned(GPU, CPU, buffers=(buffer(2, CPU=1),))) == {"cpu": 1}


def test_machines_on_their_way_are_not_filled_twice_while_an_offer_is_silent() -> None:
    """What is on its way is packed like new machines; what waits for the silent offer must leave that room alone."""
    plain = pool("cpu", 0.6, CPU=8)
    spot = pool("spot", 0.2, CPU=8)
    starting = [claim(f"c{n}", "cpu", Phase.REQUESTED) for n in range(2)]
    work = (tasks(8, CPU=4), tasks(53, CPU=1))
    result = planned(GPU, plain, spot, *starting, *work, backoffs=silent("spot"))
    on_their_way = [one for one in result.placements if one.on in {"c0", "c1"}]
    sizes = (4, 1)
    for name in ("c0", "c1"):
        assert sum(sizes[one.index] * one.count for one in on_their_way if one.on == name) <= 8
