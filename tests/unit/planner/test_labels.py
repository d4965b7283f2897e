"""Label selectors: ordered alternatives, on existing, starting and new machines."""

from tests.unit.planner.looking import launched, placed, planned, unmet

from rayfleet.model import MARKET_LABEL, Phase, ReasonCode
from rayfleet.testing.snapshots import claim, gang, offer, pool, tasks

PLAIN = pool("plain", CPU=4)
BATCH = pool("batch", CPU=4, labels={"tier": "batch"})


def test_only_machines_that_a_selector_means_take_its_work() -> None:
    """D1-24."""
    result = planned(PLAIN, claim("m1", "plain"), tasks(1, {"tier": "batch"}, CPU=1))
    assert unmet(result) == [("tasks", 0, 1, ReasonCode.NO_POOL_FITS)]
    assert result.unmet[0].pools[0].reason.code is ReasonCode.LABELS_DIFFER


def test_a_running_node_with_the_label_is_used() -> None:
    """D1-28: also when only the node, not its pool, has it."""
    labelled = claim("m1", "plain", labels={"tier": "batch"})
    assert placed(planned(PLAIN, labelled, tasks(1, {"tier": "batch"}, CPU=1))) == {"m1": 1}


def test_every_node_has_its_pool_as_a_label() -> None:
    """Ray's own label of the node type, known before there is any node."""
    wants = tasks(1, {"ray.io/node-group": "batch"}, CPU=1)
    assert launched(planned(PLAIN, BATCH, wants)) == {"batch": 1}
    assert placed(planned(PLAIN, BATCH, claim("m1", "batch", Phase.BOOTING), wants)) == {"m1": 1}


def test_of_a_node_joined_by_hand_only_its_own_labels_are_known() -> None:
    by_hand = claim("f", "batch", foreign=True, total={"CPU": 4}, labels={"rack": "r1"})
    assert placed(planned(BATCH, by_hand, tasks(1, {"rack": "r1"}, CPU=1))) == {"f": 1}
    for selector in ({"tier": "batch"}, {MARKET_LABEL: "on-demand"}, {"ray.io/node-group": "batch"}):
        assert launched(planned(BATCH, by_hand, tasks(1, selector, CPU=1))) == {"batch": 1}


def test_a_label_of_the_machine_overrides_its_pool() -> None:
    other = claim("m1", "batch", labels={"tier": "web"})
    assert launched(planned(BATCH, other, tasks(1, {"tier": "batch"}, CPU=1))) == {"batch": 1}


def test_the_pool_with_the_label_is_launched() -> None:
    """D1-29."""
    assert launched(planned(PLAIN, BATCH, tasks(1, {"tier": "batch"}, CPU=1))) == {"batch": 1}


def test_negated_selectors_mean_machines_without_the_label_too() -> None:
    assert launched(planned(BATCH, PLAIN, tasks(1, {"tier": "!batch"}, CPU=1))) == {"plain": 1}


def test_the_first_alternative_that_can_be_met_wins() -> None:
    """D1-30: earlier first, also when it has to be launched and a later one exists."""
    web = pool("web", CPU=4, labels={"tier": "web"})
    wants = tasks(1, {"tier": "batch"}, {"tier": "web"}, CPU=1)
    assert launched(planned(web, BATCH, claim("m1", "web"), wants)) == {"batch": 1}


def test_later_alternatives_take_what_earlier_ones_cannot() -> None:
    """D1-30: falls back by count."""
    web = pool("web", CPU=4, labels={"tier": "web"})
    batch = pool("batch", CPU=4, labels={"tier": "batch"}, max_workers=1)
    wants = tasks(6, {"tier": "batch"}, {"tier": "web"}, CPU=1)
    assert launched(planned(web, batch, wants)) == {"batch": 1, "web": 1}


def test_no_alternative_can_be_met() -> None:
    """D1-30: infeasible."""
    result = planned(PLAIN, tasks(2, {"tier": "batch"}, {"tier": "web"}, CPU=1))
    assert unmet(result) == [("tasks", 0, 2, ReasonCode.NO_POOL_FITS)]


def test_a_try_that_was_undone_leaves_no_memory_of_labels() -> None:
    """A gang that finds no place must not make later machines look like those that it was tried on."""
    batch = pool("batch", CPU=2, labels={"tier": "batch"}, max_workers=1)
    web = pool("web", CPU=2, labels={"tier": "web"})
    wide = gang("STRICT_SPREAD", {"CPU": 2}, {"CPU": 2}, labels=[{"tier": "batch"}])
    other = gang("STRICT_SPREAD", {"CPU": 1}, labels=[{"tier": "web"}])
    small = gang("PACK", {"CPU": 1}, labels=[{"tier": "batch"}])
    assert launched(planned(batch, web, wide, other, small)) == {"batch": 1, "web": 1}


def test_bundles_of_a_gang_have_selectors() -> None:
    """D1-31: honoured; a bundle that is too big makes the gang infeasible."""
    fits = gang("PACK", {"CPU": 4}, {"CPU": 4}, labels=[{"tier": "batch"}])
    assert launched(planned(PLAIN, BATCH, fits)) == {"batch": 2}
    too_big = gang("PACK", {"CPU": 4}, {"CPU": 5}, labels=[{"tier": "batch"}])
    result = planned(PLAIN, BATCH, too_big)
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.NO_POOL_FITS)])


def test_a_strict_pack_gang_takes_the_best_alternative_that_holds_it_whole() -> None:
    small = pool("small", CPU=2, labels={"tier": "batch"})
    wants = gang("STRICT_PACK", {"CPU": 2}, {"CPU": 2}, labels=[{"tier": "batch"}, {"tier": "!batch"}])
    assert launched(planned(small, PLAIN, wants)) == {"plain": 1}


def test_an_offer_adds_zone_and_market() -> None:
    both = pool("both", CPU=1, offers=(offer(0.1, "a", spot=True), offer(1.0, "b")))
    on_demand = planned(both, tasks(1, {MARKET_LABEL: "on-demand"}, CPU=1))
    assert [launch.offer.zone for launch in on_demand.launches] == ["b"]
    in_zone = planned(both, tasks(1, {"ray.io/availability-zone": "in(b,c)"}, CPU=1))
    assert [launch.offer.zone for launch in in_zone.launches] == ["b"]


def test_a_label_of_the_pool_overrides_its_offer() -> None:
    spot = pool("spot", CPU=1, labels={MARKET_LABEL: "spot"})
    assert launched(planned(spot, tasks(1, {MARKET_LABEL: "spot"}, CPU=1))) == {"spot": 1}


def test_a_starting_machine_with_the_label_is_waited_for() -> None:
    starting = claim("m1", "batch", Phase.REQUESTED)
    assert placed(planned(BATCH, starting, tasks(1, {"tier": "batch"}, CPU=1))) == {"m1": 1}


def test_free_work_leaves_labelled_machines_to_work_that_needs_them() -> None:
    """D1-34: the order of the list does not matter."""
    batch = pool("batch", CPU=4, labels={"tier": "batch"}, max_workers=1)
    plain = pool("plain", CPU=4, max_workers=1)
    result = planned(batch, plain, tasks(4, CPU=1), tasks(4, {"tier": "batch"}, CPU=1))
    assert (launched(result), unmet(result)) == ({"batch": 1, "plain": 1}, [])
