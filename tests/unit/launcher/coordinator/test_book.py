"""Who has which host of a pool: the pure state machine, and what holds of it whatever is asked in whatever order."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.launcher.coordinator.book import Book
from rayfleet.wire.coordinator.terms import Adopt, Grant, Return, Take, holders, hosts_of, take_of

NAMES = ("h1", "h2", "h3", "h4")


def book(*names: str) -> Book:
    return Book().offering({"address": name} for name in names or NAMES)


def wish(cluster: str = "a", token: str = "t1", count: int = 2, order: tuple[str, ...] = NAMES) -> Take:
    return Take(cluster, token, count, order, f"{cluster}-{token}", "about")


def held(book: Book, cluster: str = "a") -> list[str]:
    return [host.address for host in book.hosts if host.is_of(cluster)]


def test_hosts_are_granted_in_the_order_that_is_wished_for_until_none_is_left() -> None:
    taken = book().take(wish(order=("h3", "h1", "h2")), 5.0)
    assert held(taken) == ["h1", "h3"]
    assert taken.hosts[0].grant == Grant("a", "t1", "a-t1", "about", 5.0)
    both = taken.take(wish("b", count=9), 6.0)
    assert (held(both), held(both, "b")) == (["h1", "h3"], ["h2", "h4"])


def test_the_same_wish_again_changes_nothing_and_a_smaller_one_takes_nothing_away() -> None:
    taken = book().take(wish(), 5.0)
    assert taken.take(wish(), 6.0) == taken == taken.take(wish(count=1), 6.0)
    assert len(held(taken.take(wish(count=3), 6.0))) == 3
    assert len(held(taken.take(wish(token="t2", count=1), 6.0))) == 3


def test_hosts_that_the_pool_does_not_have_are_passed_over() -> None:
    assert held(book("h1").take(wish(order=("x", "h1", "h1")), 0.0)) == ["h1"]


def test_what_is_given_back_is_free_and_its_note_puts_it_last() -> None:
    taken = book().take(wish(), 0.0)
    back = taken.give_back(Return("a", "h1", "a-t1", "its disk is full"))
    assert held(back) == ["h2"]
    assert back.hosts[0].note == "its disk is full"
    again = back.take(wish("b", count=2), 0.0)
    assert held(again, "b") == ["h3", "h4"]
    last = again.take(wish("c", count=1), 0.0)
    assert (held(last, "c"), last.hosts[0].note) == (["h1"], "")


@pytest.mark.parametrize(
    "given_back", [Return("b", "h1", "a-t1"), Return("a", "h1", "another"), Return("a", "h9", "a-t1")]
)
def test_only_its_holder_gives_a_host_back_and_only_by_its_own_grant(given_back: Return) -> None:
    """A call that comes late, when the host was granted anew, does no harm."""
    taken = book().take(wish(), 0.0)
    assert taken.give_back(given_back) == taken


def test_a_lease_that_the_book_does_not_know_is_noted_unless_another_has_the_host() -> None:
    own = Adopt("a", "h1", "t0", "s0", "about", 3.0)
    assert book().adopt(own).hosts[0].grant == Grant("a", "t0", "s0", "about", 3.0)
    others = book().take(wish("b"), 0.0)
    assert others.adopt(own) == others


def test_people_take_a_host_back_from_anybody() -> None:
    taken = book().take(wish(), 0.0).free("h1")
    assert held(taken) == ["h2"]
    assert taken.free("h1") == taken
    with pytest.raises(KeyError):
        taken.free("h9")


def test_a_host_that_is_taken_off_the_list_leaves_when_it_is_given_back() -> None:
    taken = book().take(wish(), 0.0).offering([{"address": "h4", "pool": "gpu"}])
    assert [(host.address, host.listed) for host in taken.hosts] == [("h4", True), ("h1", False), ("h2", False)]
    assert taken.hosts[0].form == {"address": "h4", "pool": "gpu"}
    assert [host.address for host in taken.give_back(Return("a", "h1", "a-t1")).hosts] == ["h4", "h2"]
    assert [host.address for host in taken.free("h2").hosts] == ["h4", "h1"]


def test_who_has_how_many_is_said_in_a_line() -> None:
    taken = book().take(wish("team-b", count=1), 0.0).take(wish("team-a", count=2), 0.0)
    assert holders(taken.hosts) == "4 hosts: team-a holds 2, team-b holds 1, 1 free"
    assert holders(taken.hosts[:1]) == "1 host: team-b holds 1"
    assert holders(()) == "no hosts"


# ---- whatever is asked -----------------------------------------------------------------------------------------------

CLUSTERS = st.sampled_from(["a", "b", "c"])
TOKENS = st.sampled_from(["t1", "t2"])
HOSTS = st.sampled_from(NAMES)
SIGNS = st.sampled_from([f"{cluster}-{token}" for cluster in "abc" for token in ("t1", "t2")])
ASKED = st.one_of(
    st.builds(wish, CLUSTERS, TOKENS, st.integers(0, 5), st.lists(HOSTS, max_size=5).map(tuple)),
    st.builds(Return, CLUSTERS, HOSTS, SIGNS, st.sampled_from(["", "bad"])),
    st.builds(Adopt, CLUSTERS, HOSTS, TOKENS, SIGNS, st.just(""), st.just(1.0)),
)


def changed(before: Book, asked: Take | Return | Adopt) -> Book:
    match asked:
        case Take():
            return before.take(asked, 1.0)
        case Return():
            return before.give_back(asked)
        case Adopt():
            return before.adopt(asked)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(ASKED, max_size=20))
def test_no_call_of_a_cluster_touches_what_another_has(calls: list[Take | Return | Adopt]) -> None:
    """Hosts are never lost or doubled, every call may be repeated, and the file gives back what it was given."""
    now = book()
    for asked in calls:
        then = changed(now, asked)
        assert sorted(host.address for host in then.hosts) == list(NAMES)
        assert changed(then, asked) == then
        for old, new in zip(now.hosts, then.hosts, strict=True):
            assert old.grant == new.grant or old.grant is None or old.is_of(asked.cluster)
            assert new.grant is None or new.grant == old.grant or new.grant.cluster == asked.cluster
        if isinstance(asked, Take):
            got = sum(host.grant is not None and host.grant.token == asked.token and host.is_of(asked.cluster)
                      for host in then.hosts)  # fmt: skip
            had = sum(host.grant is not None and host.grant.token == asked.token and host.is_of(asked.cluster)
                      for host in now.hosts)  # fmt: skip
            assert got <= max(had, asked.count)
        assert hosts_of([host.as_json() for host in then.hosts]) == then.hosts
        now = then


@pytest.mark.parametrize("value", [None, 3, [3], [{}], [{"host": {}, "grant": None}]])
def test_what_is_no_pool(value: Any) -> None:
    with pytest.raises(ValueError, match="no list of a pool's hosts"):
        hosts_of(value)


def test_what_is_no_wish() -> None:
    with pytest.raises(ValueError, match="no wish"):
        take_of({"cluster": "a"})
