"""What every provider must do, as tests: the contract of `rayfleet.contracts.provider` in executable form.

Write a `Case` for your place and one class in a test module; pytest does the rest (`pip install "rayfleet[testing]"`
brings it, with pytest-asyncio):

    class TestMyCloud(ProviderConformance):
        @pytest.fixture
        def case(self, tmp_path: Path) -> Case:
            return MyCase(tmp_path)

Every test ends by giving everything back, and fails when something is left at the place. For full messages of failing
asserts, call `pytest.register_assert_rewrite("rayfleet.testing.conformance")` in a conftest before it is imported.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

import pytest

from rayfleet.contracts import LaunchRequest, Machine, MachineState, Provider, ProviderError
from rayfleet.model import CPU, OfferKey, Pool, Resources

CLUSTER: Final = "conformance"
STEPS_MAX: Final = 400
"""So often may a case's time pass before what was to happen must have happened."""

Trouble = Callable[[], AbstractContextManager[None]]
"""While the context is entered, `launch` cannot work; afterwards it can again."""


class Case(ABC):
    """One place under test, with nothing in it at first."""

    @property
    def pool(self) -> Pool:
        """Return a pool that the place has machines for."""
        return Pool("cpu1", Resources.of({CPU: 1}))

    @property
    def offer(self) -> OfferKey:
        """Return the offer that is asked for."""
        return OfferKey(self.pool.name)

    @abstractmethod
    def provider(self, cluster: str = CLUSTER) -> Provider:
        """Return a new provider object on the same place and durable files: what a restarted controller has."""

    @abstractmethod
    def existing(self, cluster: str = CLUSTER) -> int:
        """Return how many machines of the cluster are really there, seen without the provider."""

    @abstractmethod
    async def pass_time(self) -> None:
        """Let a little time pass at the place: move its clock, or wait for some milliseconds."""

    @abstractmethod
    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """Leave the place as when a controller was killed in the middle of `launch(request)`, at the worst moment."""

    @abstractmethod
    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        """Return the ways in which a launch can be made to fail here, by the error it must end in; at least one."""

    def request(self, batch: str, *claims: str, hosts: int = 1, head: bool = False) -> LaunchRequest:
        """Return a request for the case's offer."""
        return LaunchRequest(batch, self.offer, self.pool, claims, hosts, head)


async def until(case: Case, provider: Provider, what: Callable[[tuple[Machine, ...]], bool]) -> tuple[Machine, ...]:
    """List until `what` holds, and return that listing; fail after the case's patience."""
    machines: tuple[Machine, ...] = ()
    for _ in range(STEPS_MAX):
        machines = await provider.list()
        if what(machines):
            return machines
        await case.pass_time()
    raise AssertionError(f"did not happen in {STEPS_MAX} steps; listed at last: {machines}")


def running(count: int) -> Callable[[tuple[Machine, ...]], bool]:
    """Say whether a listing shows exactly so many machines, all of them running."""
    return lambda machines: len(machines) == count and all(m.state is MachineState.RUNNING for m in machines)


def without(*machine_ids: str) -> Callable[[tuple[Machine, ...]], bool]:
    """Say whether a listing shows none of these."""
    return lambda machines: not {machine.id for machine in machines} & set(machine_ids)


def ids(machines: tuple[Machine, ...]) -> tuple[str, ...]:
    """Return the ids of a listing, in its order."""
    return tuple(machine.id for machine in machines)


@asynccontextmanager
async def opened(case: Case, cluster: str = CLUSTER) -> AsyncIterator[Provider]:
    """Give a provider, and close it whatever happens."""
    provider = case.provider(cluster)
    try:
        yield provider
    finally:
        await provider.close()


async def give_everything_back(case: Case, cluster: str = CLUSTER) -> None:
    """Release all that is listed, and fail when anything is still there afterwards."""
    async with opened(case, cluster) as provider:
        await provider.release(ids(await settled(case, provider)))
        await until(case, provider, lambda machines: not machines)
    assert case.existing(cluster) == 0, "something is left at the place that is not listed"


async def settled(case: Case, provider: Provider) -> tuple[Machine, ...]:
    """Return a listing in which nothing is about to appear: three in a row that agree, with time between."""
    same: list[tuple[str, ...]] = []
    for _ in range(STEPS_MAX):
        machines = await provider.list()
        same = [*same[-2:], ids(machines)]
        if len(same) == len(("one", "two", "three")) and len(set(same)) == 1:
            return machines
        await case.pass_time()
    raise AssertionError(f"the listing never settled: {same}")


class ProviderConformance:
    """The suite. A subclass gives the fixture `case`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def case(self) -> Case:
        """Return a fresh place."""
        raise NotImplementedError("a subclass of ProviderConformance defines the fixture `case`")

    async def test_it_says_who_it_is(self, case: Case) -> None:
        """A name for configuration and reports, and how often to list."""
        async with opened(case) as provider:
            assert provider.name
            assert provider.list_interval_s > 0

    async def test_a_new_place_is_empty(self, case: Case) -> None:
        """Nothing is listed, and asking for it makes nothing."""
        async with opened(case) as provider:
            assert await provider.list() == ()
        assert case.existing() == 0

    async def test_machines_come_to_run(self, case: Case) -> None:
        """What is asked for is listed, boots, and really exists."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c1", "c2"))
            await until(case, provider, running(2))
            assert case.existing() == 2  # noqa: PLR2004 (as many as were asked for)
        await give_everything_back(case)

    async def test_every_claim_gets_all_its_hosts(self, case: Case) -> None:
        """A replica of several hosts is several machines with ids of their own."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c1", "c2", hosts=2))
            machines = await until(case, provider, running(4))
            assert len(set(ids(machines))) == len(machines)
        await give_everything_back(case)

    async def test_a_listing_carries_what_we_said_of_each_machine(self, case: Case) -> None:
        """Batch, offer and head are tags that come back; ids are one word, for they go into environments."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "head", head=True))
            await provider.launch(case.request("b2", "c1"))
            machines = await until(case, provider, running(2))
            assert {(m.batch, m.head) for m in machines} == {("b1", True), ("b2", False)}
            assert {m.offer for m in machines} == {case.offer}
            assert all(machine.id.split() == [machine.id] for machine in machines)
        await give_everything_back(case)

    async def test_a_listing_is_in_id_order(self, case: Case) -> None:
        """Machines bind to claims in id order, so the order must be the same every time."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c3", "c1", "c2"))
            machines = await until(case, provider, running(3))
            assert list(ids(machines)) == sorted(ids(machines))
            assert ids(await provider.list()) == ids(machines)
        await give_everything_back(case)

    async def test_the_same_batch_again_makes_nothing(self, case: Case) -> None:
        """Launch is repeated when its answer was lost."""
        async with opened(case) as provider:
            request = case.request("b1", "c1", "c2")
            await provider.launch(request)
            machines = await until(case, provider, running(2))
            await provider.launch(request)
            assert ids(await settled(case, provider)) == ids(machines)
        await give_everything_back(case)

    async def test_the_same_batch_many_times_at_once_is_made_once(self, case: Case) -> None:
        """Two calls under way must not overtake each other's check."""
        async with opened(case) as provider:
            request = case.request("b1", "c1", "c2")
            await asyncio.gather(*(provider.launch(request) for _ in range(5)))
            await until(case, provider, running(2))
            await settled(case, provider)
            assert case.existing() == len(request.claims)
        await give_everything_back(case)

    async def test_two_batches_are_two_sets(self, case: Case) -> None:
        """Nothing but the batch makes two calls the same."""
        async with opened(case) as provider:
            await asyncio.gather(*(provider.launch(case.request(f"b{n}", f"c{n}")) for n in range(3)))
            machines = await until(case, provider, running(3))
            assert Counter(machine.batch for machine in machines) == {"b0": 1, "b1": 1, "b2": 1}
        await give_everything_back(case)

    async def test_a_batch_that_was_given_back_is_not_made_again(self, case: Case) -> None:
        """A late repetition of a call must not bring back what was released since."""
        async with opened(case) as provider:
            request = case.request("b1", "c1")
            await provider.launch(request)
            await provider.release(ids(await until(case, provider, running(1))))
            await until(case, provider, lambda machines: not machines)
            await provider.launch(request)
            assert await settled(case, provider) == ()
        assert case.existing() == 0

    async def test_ids_are_never_used_again(self, case: Case) -> None:
        """Ray remembers dead nodes by instance id: a second machine of that id would be taken for dead."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c1"))
            first = ids(await until(case, provider, running(1)))
            await provider.release(first)
            await until(case, provider, lambda machines: not machines)
            await provider.launch(case.request("b2", "c1"))
            assert ids(await until(case, provider, running(1))) != first
        await give_everything_back(case)

    async def test_release_ends_what_was_named_and_nothing_else(self, case: Case) -> None:
        """The others run on."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c1", "c2", "c3"))
            first, second, third = ids(await until(case, provider, running(3)))
            await provider.release((second,))
            left = await until(case, provider, without(second))
            assert ids(left) == (first, third)
            assert {machine.state for machine in left} == {MachineState.RUNNING}
        await give_everything_back(case)

    async def test_release_of_what_is_not_there_is_done(self, case: Case) -> None:
        """Unknown ids, no ids, ids that were released before, and all of it at once."""
        async with opened(case) as provider:
            await provider.release(())
            await provider.release(("never-heard-of",))
            await provider.launch(case.request("b1", "c1"))
            machines = ids(await until(case, provider, running(1)))
            await asyncio.gather(*(provider.release((*machines, "never-heard-of")) for _ in range(3)))
            await until(case, provider, lambda listed: not listed)
            await provider.release(machines)
            assert await settled(case, provider) == ()
        assert case.existing() == 0

    async def test_a_machine_can_be_released_before_it_runs(self, case: Case) -> None:
        """Launches that nobody needs any more are given back at once."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", *(f"c{n}" for n in range(6))))
            await provider.release(ids(await until(case, provider, lambda machines: len(machines) == 6)))  # noqa: PLR2004
            await until(case, provider, lambda machines: not machines)
        assert case.existing() == 0

    async def test_a_restarted_controller_finds_everything(self, case: Case) -> None:
        """Ids, batches, offers and heads; and a repeated launch still makes nothing."""
        request = case.request("b1", "c1", "c2", head=True)
        async with opened(case) as before:
            await before.launch(request)
            known = await until(case, before, running(2))
        async with opened(case) as after:
            found = await until(case, after, running(2))
            assert [(m.id, m.batch, m.offer, m.head) for m in found] == [
                (m.id, m.batch, m.offer, m.head) for m in known
            ]
            await after.launch(request)
            assert ids(await settled(case, after)) == ids(known)
        await give_everything_back(case)

    async def test_a_restart_does_not_forget_a_release(self, case: Case) -> None:
        """What was accepted goes on without being asked for again."""
        async with opened(case) as before:
            await before.launch(case.request("b1", "c1", "c2"))
            first, second = ids(await until(case, before, running(2)))
            await before.release((first,))
        async with opened(case) as after:
            assert ids(await until(case, after, without(first))) == (second,)
        await give_everything_back(case)

    async def test_a_launch_that_was_cut_off_is_completed_by_the_next(self, case: Case) -> None:
        """Killed in the middle: the same batch again ends in exactly what was wanted."""
        request = case.request("b1", "c1", "c2", "c3")
        await case.interrupted_launch(request)
        async with opened(case) as provider:
            await provider.launch(request)
            await until(case, provider, running(3))
            await settled(case, provider)
            assert case.existing() == len(request.claims)
        await give_everything_back(case)

    async def test_closing_leaves_machines_alone(self, case: Case) -> None:
        """Machines outlive the controller; closing twice is fine."""
        async with opened(case) as provider:
            await provider.launch(case.request("b1", "c1"))
            await until(case, provider, running(1))
            await provider.close()
        assert case.existing() == 1
        await give_everything_back(case)

    async def test_clusters_do_not_see_each_other(self, case: Case) -> None:
        """Only what carries the cluster's tag is listed, or could be released."""
        async with opened(case) as mine, opened(case, "another") as theirs:
            await mine.launch(case.request("b1", "c1"))
            machines = await until(case, mine, running(1))
            assert await theirs.list() == ()
            await theirs.launch(case.request("b1", "c1"))
            other = await until(case, theirs, running(1))
            await theirs.release(ids(other))
            await until(case, theirs, lambda listed: not listed)
            assert ids(await mine.list()) == ids(machines)
        await give_everything_back(case)

    async def test_errors_are_the_contracts_and_leave_nothing_behind(self, case: Case) -> None:
        """Each trouble has its type and a message; nothing was made; the same batch works when it is over."""
        troubles = case.troubles()
        assert troubles, "the case must know at least one way in which a launch fails"
        for number, (error, trouble) in enumerate(troubles.items()):
            request = case.request(f"b{number}", f"c{number}")
            async with opened(case) as provider:
                await provider.list()
                with trouble(), pytest.raises(error, match=r"\w") as raised:
                    await provider.launch(request)
                assert type(raised.value) is error
                assert case.existing() == number
                await provider.launch(request)
                await until(case, provider, running(number + 1))
        await give_everything_back(case)
