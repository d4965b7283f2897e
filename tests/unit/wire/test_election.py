"""Who may work: one at a time, the next soon after it, and nobody who could not say that it still lives."""

import asyncio

import pytest

from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.election import GIVE_UP_S, LEASE_S, RENEW_S, Candidate, LeadershipLost, lead, stand
from rayfleet.wire.kube.errors import KubeError, Unavailable
from rayfleet.wire.kube.objects import LEASE, Key, Kind, Object

LEASE_KEY = Key("system", "operator")


class Work:
    """Notes when it begins and ends."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, float]] = []

    async def __call__(self, word: str) -> None:
        loop = asyncio.get_running_loop()
        self.log.append(("begin", word, loop.time()))
        try:
            await asyncio.sleep(10**6)
        finally:
            self.log.append(("end", word, loop.time()))


def candidate(name: str) -> Candidate:
    return Candidate(LEASE_KEY, name, VirtualClock().now)


def test_one_works_and_the_other_begins_when_it_has_stopped() -> None:
    async def main() -> list[tuple[str, str, float]]:
        kube, work = FakeKube(), Work()
        first = asyncio.create_task(lead(kube, candidate("a"), work))
        await asyncio.sleep(1)
        second = asyncio.create_task(lead(kube, candidate("b"), work))
        await asyncio.sleep(100)
        first.cancel()
        await asyncio.sleep(RENEW_S)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return work.log

    log = run_virtual(main())
    assert [(what, word) for what, word, _ in log] == [
        ("begin", "a-1"),
        ("end", "a-1"),
        ("begin", "b-2"),
        ("end", "b-2"),
    ]
    assert log[2][2] - log[1][2] <= RENEW_S


def test_after_a_holder_that_was_killed_the_next_waits_out_its_time() -> None:
    async def main() -> float:
        kube, work = FakeKube(), Work()
        held = {"holderIdentity": "dead", "leaseDurationSeconds": int(LEASE_S), "leaseTransitions": 4}
        from rayfleet.wire.kube.objects import LEASE

        await kube.create(LEASE, {"metadata": {"namespace": "system", "name": "operator"}, "spec": held})
        task = asyncio.create_task(lead(kube, candidate("b"), work))
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert work.log[0][1] == "b-5"
        return work.log[0][2]

    assert LEASE_S <= run_virtual(main()) <= LEASE_S + RENEW_S


def test_who_cannot_renew_stops_before_anybody_else_may_begin() -> None:
    async def main() -> tuple[float, float]:
        kube, work = FakeKube(), Work()
        gone = False

        def refuse(_verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return Unavailable("no route to host") if gone else None

        kube.refuse = refuse
        task = asyncio.create_task(lead(kube, candidate("a"), work))
        await asyncio.sleep(10 * RENEW_S + 1)  # just after it was renewed
        gone, cut_at = True, asyncio.get_running_loop().time()
        with pytest.raises(LeadershipLost):
            await task
        return cut_at, work.log[-1][2]

    cut_at, ended_at = run_virtual(main())
    assert ended_at - cut_at <= GIVE_UP_S  # the rest of the Lease's time is for letting go
    assert GIVE_UP_S + RENEW_S < LEASE_S


def test_work_that_fails_ends_the_leadership_with_its_own_error() -> None:
    async def fail(_word: str) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_virtual(lead(FakeKube(), Candidate(LEASE_KEY, "a", lambda: 0.0), fail))


def test_a_server_that_does_not_answer_at_the_moment_of_taking_over_is_asked_again() -> None:
    async def main() -> int:
        kube, work = FakeKube(), Work()
        down = True

        def refuse(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return Unavailable("down") if down and verb in ("patch", "create") else None

        kube.refuse = refuse
        waiting = asyncio.create_task(lead(kube, candidate("a"), work))
        await asyncio.sleep(30)
        down = False
        await kube.create(LEASE, {"metadata": {"name": LEASE_KEY.name, "namespace": LEASE_KEY.namespace}, "spec": {}})
        down = True
        await asyncio.sleep(30)
        down = False
        await asyncio.sleep(30)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return len(work.log)

    assert run_virtual(main()) == 2


def test_who_lost_the_lease_stands_again_under_another_word() -> None:
    """An API server that was away for a minute: nobody works meanwhile, and nobody has to restart the program."""
    away = False

    def refuse(_verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
        return Unavailable("gone") if away else None

    async def main() -> list[tuple[str, str, float]]:
        nonlocal away
        kube, work = FakeKube(refuse=refuse), Work()
        task = asyncio.create_task(stand(kube, candidate("a"), work))
        await asyncio.sleep(30)
        away = True
        await asyncio.sleep(60)
        assert [what for what, _, _ in work.log] == ["begin", "end"]
        away = False
        await asyncio.sleep(LEASE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return work.log

    words = [(what, word) for what, word, _ in run_virtual(main())]
    assert words == [("begin", "a-1-1"), ("end", "a-1-1"), ("begin", "a-2-2"), ("end", "a-2-2")]


def test_a_lease_that_is_deleted_gives_no_word_twice() -> None:
    """Names of pods are made from the word: one that comes again would give them to other pods."""

    async def main() -> list[str]:
        kube, work = FakeKube(), Work()
        task = asyncio.create_task(stand(kube, candidate("a"), work))
        for _ in range(3):
            await asyncio.sleep(30)
            await kube.delete(LEASE, LEASE_KEY)
        await asyncio.sleep(30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [word for what, word, _ in work.log if what == "begin"]

    words = run_virtual(main())
    assert len(words) == 4
    assert len(set(words)) == 4
