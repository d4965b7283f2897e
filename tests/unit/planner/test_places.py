"""On which of the machines that are there something is placed; exact places."""

from dataclasses import replace

from tests.unit.planner.looking import launched, placed, planned

from rayfleet.model import FrozenMap
from rayfleet.testing.snapshots import claim, gang, pool, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)


def test_the_machine_that_takes_fewest_of_them_is_filled_first() -> None:
    have = [claim("a", "cpu4", used={"CPU": 1}), claim("b", "cpu4", used={"CPU": 3})]
    assert placed(planned(CPU4, *have, tasks(2, CPU=1))) == {"a": 1, "b": 1}
    assert placed(planned(CPU4, *have, tasks(1, CPU=2))) == {"a": 1}


def test_a_head_has_what_its_own_pool_says() -> None:
    head = pool("head", CPU=2)
    have = claim("h", "head", head=True)
    result = planned(CPU4, have, tasks(3, CPU=1), head=head)
    assert (placed(result), launched(result)) == ({"h": 2, "new:0": 1}, {"cpu4": 1})


def test_a_node_that_somebody_else_started_has_no_labels_but_its_own() -> None:
    web = pool("web", 1.0, CPU=4, labels={"tier": "web"})
    wants = tasks(1, {"tier": "web"}, CPU=1)
    assert placed(planned(web, claim("m", "web", labels={"own": "x"}), wants)) == {"m": 1}
    assert placed(planned(web, claim("f", "web", foreign=True), wants)) == {"new:0": 1}
    assert placed(planned(web, claim("f", "x", foreign=True, total={"CPU": 4}, labels={"tier": "web"}), wants)) == {
        "f": 1
    }


def test_of_unequal_gangs_any_may_have_bundles_with_a_place() -> None:
    """They are served in a fixed order, and two that are halfway are no exception."""
    have = [claim("a", "cpu4", used={"CPU": 1}), claim("b", "cpu4", used={"CPU": 1})]
    halves = [replace(gang("PACK", {"CPU": 1}, {"CPU": 3}), placed=FrozenMap({"0": on})) for on in ("a", "b")]
    result = planned(CPU4, *have, *halves, gang("PACK", {"CPU": 4}))
    assert (placed(result), launched(result)) == ({"a": 1, "b": 1, "new:0": 1}, {"cpu4": 1})


def test_the_largest_bundle_of_a_gang_has_the_first_choice() -> None:
    have = [claim("a", "cpu4", used={"CPU": 1}), claim("b", "cpu4", used={"CPU": 2})]
    result = planned(CPU4, *have, gang("PACK", {"CPU": 1}, {"CPU": 3}))
    assert (placed(result), launched(result)) == ({"a": 1, "b": 1}, {})
