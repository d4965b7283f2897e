"""What a provider must do that says its machines can wait on standby: more tests, beside those of every provider.

    class TestMyCloud(StandbyConformance):
        @pytest.fixture
        def case(self, tmp_path: Path) -> Case:
            return MyCase(tmp_path)

A place with several ways of waiting gives the fixture `mode` in turn.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from rayfleet.contracts import Gone, LaunchRequest, Machine, MachineState, Provider, StandbyProvider
from rayfleet.model import StandbyMode
from rayfleet.testing.conformance import (
    Case,
    ProviderConformance,
    give_everything_back,
    ids,
    opened,
    running,
    settled,
    until,
)


def resting(*machine_ids: str) -> Callable[[tuple[Machine, ...]], bool]:
    """Say whether a listing shows exactly these machines at rest, whatever else it shows."""
    return lambda machines: {m.id for m in machines if m.state is MachineState.STANDBY} == set(machine_ids)


def keeper(provider: Provider) -> StandbyProvider:
    """Return the provider with the ability that its kind declares."""
    return cast("StandbyProvider", provider)


def again(case: Case, batch: str, claim: str, *machine_ids: str) -> LaunchRequest:
    """Return a request that reuses machines for one claim."""
    return LaunchRequest(batch, case.offer, case.pool, (claim,), len(machine_ids), reuse=machine_ids)


async def _stopped(case: Case, provider: StandbyProvider, mode: StandbyMode, count: int = 1) -> tuple[str, ...]:
    """Launch machines, stop them, and return their ids once they rest."""
    await provider.launch(case.request("b1", *(f"c{n}" for n in range(1, count + 1))))
    machines = ids(await until(case, provider, running(count)))
    await provider.stop(machines, mode)
    await until(case, provider, resting(*machines))
    return machines


class StandbyConformance(ProviderConformance):
    """The whole suite and these. A subclass gives the fixture `case`, and `mode` where it is not `stopped`."""

    @pytest.fixture
    def mode(self) -> StandbyMode:
        """Return the way of waiting that is tested."""
        return StandbyMode.STOPPED

    async def test_a_stopped_machine_waits_and_stays_what_it_was(self, case: Case, mode: StandbyMode) -> None:
        """Id, batch and offer are those of before; stopping it again changes nothing."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            await provider.launch(case.request("b1", "c1"))
            before = await until(case, provider, running(1))
            await provider.stop(ids(before), mode)
            after = await until(case, provider, resting(*ids(before)))
            assert [(m.id, m.batch, m.offer) for m in after] == [(m.id, m.batch, m.offer) for m in before]
            await provider.stop(ids(before), mode)
            assert resting(*ids(before))(await settled(case, provider))
        await give_everything_back(case)

    async def test_a_machine_that_waits_is_started_under_its_id(self, case: Case, mode: StandbyMode) -> None:
        """And as often as it is wanted."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            (machine,) = await _stopped(case, provider, mode)
            for batch in ("b2", "b3"):
                await provider.start(again(case, batch, "c9", machine))
                assert ids(await until(case, provider, running(1))) == (machine,)
                await provider.stop((machine,), mode)
                await until(case, provider, resting(machine))
        await give_everything_back(case)

    async def test_only_what_is_named_is_started(self, case: Case, mode: StandbyMode) -> None:
        """The others wait on."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            first, second, third = await _stopped(case, provider, mode, 3)
            await provider.start(again(case, "b2", "c9", second))
            await until(case, provider, lambda ms: {m.id for m in ms if m.state is MachineState.RUNNING} == {second})
            assert resting(first, third)(await settled(case, provider))
        await give_everything_back(case)

    async def test_a_repeated_start_starts_nothing_twice(self, case: Case, mode: StandbyMode) -> None:
        """Not at the same time, not while it works, and not when it has been stopped since."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            (machine,) = await _stopped(case, provider, mode)
            request = again(case, "b2", "c9", machine)
            await asyncio.gather(*(provider.start(request) for _ in range(4)))
            await until(case, provider, running(1))
            await provider.start(request)
            assert running(1)(await settled(case, provider))
            await provider.stop((machine,), mode)
            await until(case, provider, resting(machine))
            await provider.start(request)
            assert resting(machine)(await settled(case, provider))
        await give_everything_back(case)

    async def test_machines_can_be_made_to_wait(self, case: Case, mode: StandbyMode) -> None:
        """The same batch again makes nothing; what was made is started like any other."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            request = case.request("b1", "c1", "c2")
            await provider.prepare(request, mode)
            machines = await until(case, provider, lambda ms: len(ms) == 2 and resting(*ids(ms))(ms))  # noqa: PLR2004
            await provider.prepare(request, mode)
            assert ids(await settled(case, provider)) == ids(machines)
            assert {(m.batch, m.offer) for m in machines} == {("b1", case.offer)}
            await provider.start(again(case, "b2", "c3", ids(machines)[0]))
            await until(case, provider, lambda ms: ms[0].state is MachineState.RUNNING)
        await give_everything_back(case)

    async def test_what_waits_can_be_given_back(self, case: Case, mode: StandbyMode) -> None:
        """And is gone for good: to start it then is Gone."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            first, second = await _stopped(case, provider, mode, 2)
            await provider.release((first,))
            assert ids(await until(case, provider, lambda ms: len(ms) == 1)) == (second,)
            with pytest.raises(Gone, match=r"\w"):
                await provider.start(again(case, "b2", "c9", first))
            assert ids(await settled(case, provider)) == (second,)
        await give_everything_back(case)

    async def test_a_machine_can_be_stopped_before_it_runs(self, case: Case, mode: StandbyMode) -> None:
        """It rests all the same."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            await provider.launch(case.request("b1", "c1"))
            (machine,) = ids(await until(case, provider, lambda ms: len(ms) == 1))
            await provider.stop((machine,), mode)
            await until(case, provider, resting(machine))
        await give_everything_back(case)

    async def test_to_stop_what_is_not_there_is_done(self, case: Case, mode: StandbyMode) -> None:
        """Unknown ids count as done and make nothing."""
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            await provider.stop(("never-heard-of",), mode)
            await provider.stop((), mode)
            assert await settled(case, provider) == ()
        assert case.existing() == 0

    async def test_a_restarted_controller_finds_what_waits(self, case: Case, mode: StandbyMode) -> None:
        """Also what was only asked to; and it can start it."""
        async with opened(case) as before:
            machine, asked = await _stopped(case, keeper(before), mode, 2)
            await keeper(before).start(again(case, "b2", "c9", asked))
            await until(case, before, lambda ms: any(m.state is MachineState.RUNNING for m in ms))
            await keeper(before).stop((asked,), mode)
        async with opened(case) as opened_provider:
            provider = keeper(opened_provider)
            await until(case, provider, resting(machine, asked))
            await provider.start(again(case, "b3", "c8", machine))
            await until(case, provider, lambda ms: {m.id for m in ms if m.state is MachineState.RUNNING} == {machine})
        await give_everything_back(case)
