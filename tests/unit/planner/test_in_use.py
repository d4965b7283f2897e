"""What counts as in use when a share of it is to be kept free: on which machines, of whose work; exact counts."""

from tests.unit.planner.looking import launched, planned

from rayfleet.model import Buffer, Expected, Phase, Plan, Resources
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, tasks

WEB, BATCH = (pool(name, 1.0, CPU=4, labels={"tier": name}) for name in ("web", "batch"))


def wanted(of: Plan) -> list[int]:
    return [ahead.count for ahead in of.ahead]


def test_of_machines_that_were_joined_by_hand_only_their_own_labels_count() -> None:
    of_web = (buffer(0, {"tier": "web"}, percent=100, CPU=1),)
    unlabelled = claim("f1", "web", foreign=True, used={"CPU": 3})
    labelled = claim("f2", "other", foreign=True, used={"CPU": 2}, labels={"tier": "web"})
    assert wanted(planned(WEB, unlabelled, labelled, buffers=of_web)) == [2]


def test_a_node_says_its_labels_better_than_its_pool() -> None:
    of_web = (buffer(0, {"tier": "web"}, percent=100, CPU=1),)
    moved = claim("m1", "batch", used={"CPU": 3}, labels={"tier": "web"})
    assert wanted(planned(WEB, BATCH, moved, claim("m2", "batch", used={"CPU": 1}), buffers=of_web)) == [3]


def test_alternatives_mean_the_machines_of_all_of_them() -> None:
    either = (buffer(0, {"tier": "web"}, {"tier": "batch"}, percent=100, CPU=1),)
    have = [claim("w", "web", used={"CPU": 1}), claim("b", "batch", used={"CPU": 2})]
    free = pool("free", 0.5, CPU=4)
    placed = (tasks(1, {"tier": "web"}, CPU=1), tasks(1, {"tier": "batch"}, CPU=1))
    busy = claim("f", "free", used={"CPU": 4})
    assert wanted(planned(WEB, BATCH, free, *have, busy, *placed, buffers=either)) == [5]


def test_of_work_that_goes_to_several_machines_the_part_on_those_that_are_meant_counts() -> None:
    of_web = (buffer(0, {"tier": "web"}, percent=100, CPU=1),)
    have = [claim("a", "batch", used={"CPU": 1}), claim("b", "web", used={"CPU": 1})]
    assert wanted(planned(WEB, BATCH, *have, tasks(6, CPU=1), buffers=of_web)) == [4]


def test_gangs_count_bundle_by_bundle_and_requests_do_not() -> None:
    share = (buffer(percent=100, CPU=1),)
    group = gang("SPREAD", {"CPU": 1}, {"CPU": 3}, count=2)
    assert wanted(planned(WEB, group, tasks(1, CPU=1), buffers=share)) == [9]
    assert wanted(planned(WEB, requested(2, CPU=4), buffers=share)) == [0]


def test_what_leaves_counts_nothing_and_what_starts_does_when_it_gets_work() -> None:
    share = (buffer(percent=100, CPU=1),)
    away = claim("m1", "web", Phase.RELEASING, used={"CPU": 4})
    assert wanted(planned(WEB, away, claim("m2", "web", Phase.BOOTING), tasks(3, CPU=1), buffers=share)) == [3]


def test_a_share_is_exact_for_many_pieces() -> None:
    have = [claim(f"m{n}", "web", used={"CPU": 4}) for n in range(26)]
    assert wanted(planned(WEB, *have, buffers=(buffer(percent=100, CPU=1),))) == [104]


def test_room_for_nothing_in_particular_is_counted_as_it_is_said() -> None:
    assert wanted(planned(WEB, buffers=(Buffer("empty", Resources(), percent=50.0),))) == [0]
    assert wanted(planned(WEB, expected=(Expected("empty", Resources(), 2),))) == [2]


def test_the_smallest_amount_that_nobody_uses_is_not_there() -> None:
    marked = pool("marked", 1.0, CPU=1, x=1)
    result = planned(marked, expected=(Expected("x", Resources({"x": 1}), 2),))
    assert (wanted(result), launched(result)) == ([2], {"marked": 1})
