"""New prices into a running policy: those that have moved far enough, and nothing else."""

from dataclasses import replace

import pytest

from rayfleet.launcher.repricing import moves, repriced
from rayfleet.model import Market, Offer, Policy, Pool, Resources

CPU4 = Resources.of({"CPU": 4})


def policy(*prices: float | None, head: float | None = 0.5) -> Policy:
    """Return a policy of one pool with an offer in each zone at these prices."""
    offers = tuple(Offer(usd, Market.SPOT, f"z{n}", "r", "aws") for n, usd in enumerate(prices))
    return Policy(pools=(Pool("w", CPU4, offers=offers),), head=Pool("h", CPU4, offers=(Offer(head),)))


def prices(of: Policy) -> list[float | None]:
    return [offer.usd_per_hour for offer in of.pools[0].offers]


@pytest.mark.parametrize(
    ("new", "after"),
    [
        ((1.01, 0.99), (1.0, 1.0)),
        ((1.049, 0.951), (1.0, 1.0)),
        ((1.05, 0.9), (1.05, 0.9)),
        ((None, 2.0), (1.0, 2.0)),
    ],
)
def test_small_moves_and_lost_prices_are_left(new: tuple[float | None, ...], after: tuple[float, ...]) -> None:
    assert prices(repriced(policy(1.0, 1.0), policy(*new))) == list(after)


def test_with_a_price_comes_what_it_is_compared_with() -> None:
    old, new = (
        replace(policy(usd), pools=(replace(of, offers=(replace(of.offers[0], on_demand_usd_per_hour=plain),)),))
        for usd, plain in ((1.0, 3.0), (2.0, 4.0))
        for of in policy(usd).pools
    )
    assert repriced(old, new).pools[0].offers[0].on_demand_usd_per_hour == 4.0


def test_nothing_new_is_the_same_policy() -> None:
    before = policy(1.0, None)
    assert repriced(before, policy(1.02, None, head=0.51)) is before


def test_what_creeps_arrives_in_the_end() -> None:
    now = policy(1.0)
    seen = set()
    for step in range(1, 21):
        now = repriced(now, policy(1.0 + step / 100))
        seen.add(prices(now)[0])
    assert seen == {1.0, 1.05, 1.11, 1.17}


def test_a_first_price_and_the_head_s_count_at_once() -> None:
    after = repriced(policy(None, head=None), policy(0.2, head=0.4))
    assert prices(after) == [0.2]
    assert after.head is not None
    assert [str(each) for each in moves(policy(None, head=None), after)] == [
        "h on_demand: unknown -> 0.4 USD/h",
        "w z0 spot: unknown -> 0.2 USD/h",
    ]


def test_only_prices_are_taken_from_the_file_as_it_is_now() -> None:
    fresh = policy(2.0)
    changed = replace(fresh, max_workers=9, pools=(replace(fresh.pools[0], min_workers=3),))
    after = repriced(policy(1.0), changed)
    assert prices(after) == [2.0]
    assert (after.max_workers, after.pools[0].min_workers) == (None, 0)
    assert prices(repriced(policy(1.0), policy(2.0, 2.0))) == [1.0]
    assert prices(repriced(policy(1.0), replace(fresh, pools=()))) == [1.0]
