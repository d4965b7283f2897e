"""Bundles that go onto a machine each: no launch where the machines there are will do, else the fewest and cheapest."""

import pytest
from tests.unit.planner.looking import launched, placed, planned, unmet

from rayfleet.model import Phase, ReasonCode
from rayfleet.testing.snapshots import bundle, claim, gang, pool

CPU2 = pool("cpu2", 1.0, CPU=2)
CPU8 = pool("cpu8", 4.0, CPU=8)
GPU = pool("gpu", 9.0, CPU=8, GPU=1)
ONE = {"CPU": 1}


@pytest.mark.parametrize("strategy", ["STRICT_SPREAD", "SPREAD"])
def test_a_bundle_that_fits_anywhere_leaves_the_big_machine_to_one_that_does_not(strategy: str) -> None:
    """The machine in use is liked best, but the big bundle needs it."""
    there = [claim("m1", "cpu8", used={"CPU": 2}), claim("m2", "cpu2")]
    for bundles in ([ONE, {"CPU": 6}], [{"CPU": 6}, ONE]):
        result = planned(CPU2, CPU8, *there, gang(strategy, *bundles))
        assert (launched(result), placed(result)) == ({}, {"m1": 1, "m2": 1})


def test_bundles_of_different_resources_are_told_apart() -> None:
    """The first bundle needs no GPU and more CPU; only m1 has a GPU, and only m1 and m2 have its CPUs."""
    there = [claim("m1", "gpu", used={"CPU": 1}), claim("m2", "cpu8")]
    result = planned(GPU, CPU8, *there, gang("STRICT_SPREAD", {"CPU": 7}, {"GPU": 0.5}))
    assert (launched(result), placed(result)) == ({}, {"m1": 1, "m2": 1})


def test_a_label_binds_a_bundle_to_a_machine_that_others_leave_to_it() -> None:
    there = [claim("m1", "cpu8", used={"CPU": 1}, labels={"disk": "ssd"}), claim("m2", "cpu8", labels={"disk": "hdd"})]
    bundles = [bundle({"CPU": 4}), bundle({"CPU": 4}, {"disk": "ssd"})]
    for order in (bundles, bundles[::-1]):
        result = planned(CPU8, *there, gang("STRICT_SPREAD", *order))
        assert (launched(result), placed(result)) == ({}, {"m1": 1, "m2": 1})


def test_chains_of_bundles_make_way_for_each_other() -> None:
    """Each of four sizes fits on its machine and on all bigger ones, of which the biggest are liked best (in use)."""
    there = [claim(f"m{n}", "cpu8", used={"CPU": 8 - n}) for n in (4, 3, 2, 1)]
    result = planned(CPU8, *there, gang("STRICT_SPREAD", *[{"CPU": n} for n in (1, 2, 3, 4)]))
    assert (launched(result), placed(result)) == ({}, {f"m{n}": 1 for n in (1, 2, 3, 4)})


GB = 10**9
LEAN, FAT = pool("lean", 1.0, CPU=8, memory=4 * GB), pool("fat", 2.0, CPU=8, memory=64 * GB)
SSD, ANY_DISK = {"disk": "ssd"}, {"disk": "in(hdd,ssd)"}


def test_memory_and_processors_are_told_apart() -> None:
    """The bundle that needs more of a machine in all fits on both, and likes the one in use, which the other needs."""
    there = [claim("m1", "lean"), claim("m2", "fat", used={"CPU": 1})]
    result = planned(LEAN, FAT, *there, gang("STRICT_SPREAD", {"CPU": 7}, {"CPU": 1, "memory": 32 * GB}))
    assert (launched(result), placed(result)) == ({}, {"m1": 1, "m2": 1})


def test_a_label_that_more_machines_have_makes_way_for_one_that_fewer_have() -> None:
    there = [claim("m1", "cpu8", used={"CPU": 1}, labels={"disk": "ssd"}), claim("m2", "cpu8", labels={"disk": "hdd"})]
    wants = gang("STRICT_SPREAD", bundle({"CPU": 4}, ANY_DISK), bundle({"CPU": 2}, SSD))
    result = planned(CPU8, *there, wants)
    assert (launched(result), placed(result), unmet(result)) == ({}, {"m1": 1, "m2": 1}, [])


def test_labels_and_sizes_make_way_along_a_chain() -> None:
    """Three bundles, three machines, one way: every bundle that comes early likes what a later one needs."""
    there = [
        claim("m1", "cpu8", used={"CPU": 5}, labels={"disk": "ssd"}),
        claim("m2", "cpu8", used={"CPU": 4}, labels={"disk": "hdd"}),
        claim("m3", "cpu8", used={"CPU": 1}),
    ]
    wants = [bundle({"CPU": 3}, ANY_DISK), bundle({"CPU": 3}, {"disk": "!hdd"}), bundle({"CPU": 2}, SSD)]
    result = planned(CPU8, *there, gang("STRICT_SPREAD", *wants))
    assert (launched(result), placed(result), unmet(result)) == ({}, {"m1": 1, "m2": 1, "m3": 1}, [])


def test_a_gang_is_not_refused_because_one_bundle_took_what_another_needs() -> None:
    """Nothing with an `x` can be launched, so that the bigger bundle gets the new machine."""
    marked = claim("m1", "cpu2", used={"CPU": 0}, total={"CPU": 2, "x": 1})
    result = planned(CPU2, marked, gang("STRICT_SPREAD", {"CPU": 2}, {"x": 1}))
    assert (launched(result), placed(result), unmet(result)) == ({"cpu2": 1}, {"m1": 1, "new:0": 1}, [])


def test_what_has_to_be_launched_is_the_cheapest() -> None:
    """One machine for two bundles: it goes to the one for which a new machine would be dearer."""
    result = planned(CPU2, CPU8, claim("m1", "cpu8"), gang("STRICT_SPREAD", ONE, {"CPU": 8}))
    assert (launched(result), placed(result)) == ({"cpu2": 1}, {"m1": 1, "new:0": 1})


def test_a_bundle_for_which_nothing_can_be_launched_goes_first() -> None:
    """Only the machine that is there has the label: the bundle that could go there too gets a new one."""
    labelled = claim("m1", "cpu2", labels={"disk": "ssd"})
    wants = gang("STRICT_SPREAD", bundle({"CPU": 2}), bundle(ONE, {"disk": "ssd"}))
    assert launched(planned(CPU2, labelled, wants)) == {"cpu2": 1}


def test_machines_on_their_way_count() -> None:
    there = [claim("m1", "cpu8", Phase.BOOTING), claim("m2", "cpu2", Phase.BOOTING)]
    result = planned(CPU2, CPU8, *there, gang("STRICT_SPREAD", ONE, {"CPU": 6}))
    assert (launched(result), placed(result)) == ({}, {"m1": 1, "m2": 1})


def test_alternatives_are_asked_for_in_order() -> None:
    """A new machine for the first one goes before one that is there for the second; without any, that is used."""
    ssd = pool("ssd", 1.0, labels={"disk": "ssd"}, CPU=2)
    hdd = claim("m1", "cpu2", labels={"disk": "hdd"})
    wants = gang("STRICT_SPREAD", bundle(ONE, {"disk": "ssd"}, {"disk": "hdd"}))
    assert launched(planned(CPU2, ssd, hdd, wants)) == {"ssd": 1}
    assert placed(planned(CPU2, hdd, wants)) == {"m1": 1}
    full = pool("ssd", 1.0, labels={"disk": "ssd"}, max_workers=0, CPU=2)
    assert placed(planned(CPU2, full, hdd, wants)) == {"m1": 1}


def test_the_hosts_of_one_replica_serve_different_bundles() -> None:
    slices = pool("slice", 4.0, hosts_per_replica=2, CPU=8)
    result = planned(slices, gang("STRICT_SPREAD", ONE, {"CPU": 6}))
    assert (launched(result), unmet(result)) == ({"slice": 2}, [])


def test_too_few_machines_within_the_maximum() -> None:
    wants = gang("STRICT_SPREAD", ONE, ONE, {"CPU": 2})
    result = planned(pool("cpu2", CPU=2, max_workers=2), claim("m1", "cpu2"), wants)
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)])


def test_spread_prefers_machines_of_their_own_also_for_different_bundles() -> None:
    there = [claim(f"m{n}", "cpu8", used={"CPU": 1}) for n in (1, 2, 3)]
    result = planned(CPU8, *there, gang("SPREAD", ONE, {"CPU": 2}, {"CPU": 3}))
    assert placed(result) == {"m1": 1, "m2": 1, "m3": 1}
    assert launched(planned(CPU8, *there, gang("SPREAD", *[ONE] * 4))) == {}


@pytest.mark.parametrize("bundles", [[ONE, ONE], [ONE, {"CPU": 2}]], ids=["alike", "different"])
def test_no_machine_with_an_accelerator_is_launched_for_bundles_that_need_none_however_cheap(
    bundles: list[dict[str, float]],
) -> None:
    cheap = pool("gpu", 0.1, CPU=8, GPU=1)
    assert launched(planned(CPU2, cheap, gang("STRICT_SPREAD", *bundles))) == {"cpu2": 2}
    assert launched(planned(CPU2, cheap, gang("STRICT_SPREAD", ONE, {"GPU": 1}))) == {"cpu2": 1, "gpu": 1}
