"""What instances look like in a listing, and what stopping, starting and giving back do to them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.providers.aws.emulated import POOL, SPOT, context, provider, request

from rayfleet.contracts import Denied, Gone, LaunchRequest, MachineState, StartScript
from rayfleet.model import FrozenMap, Pool, StandbyMode, Trouble
from rayfleet.testing.clouds.aws import AwsEmulator, Fault

STOPPED = StandbyMode.STOPPED


async def test_a_head_without_its_public_address_is_still_starting(emulator: AwsEmulator, tmp_path: Path) -> None:
    """A worker is reached from the head, so that its own address is enough; so is a head's with use_internal_ips."""
    emulator.account.addresses = iter([("127.78.0.1", ""), ("127.78.0.2", "")])
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1, head=True))
    await aws.launch(request("b2", 1))
    await aws.list()
    assert [machine.state for machine in await aws.list()] == [MachineState.STARTING, MachineState.RUNNING]
    internal = provider(context(emulator, tmp_path, use_internal_ips=True))
    assert [machine.state for machine in await internal.list()] == 2 * [MachineState.RUNNING]


async def test_a_machine_without_any_address_is_still_starting(emulator: AwsEmulator, tmp_path: Path) -> None:
    emulator.account.addresses = iter([("", "")])
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1))
    await aws.list()
    assert [(m.state, m.address) for m in await aws.list()] == [(MachineState.STARTING, "")]


async def test_a_new_machine_may_be_listed_late(emulator: AwsEmulator, tmp_path: Path) -> None:
    """The listing says what the cloud says; how long a launch is waited for is the planner's to know."""
    emulator.account.hidden_looks = 2
    emulator.account.looks_until_done = 4
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1))
    assert [len(await aws.list()) for _ in range(4)] == [0, 0, 1, 1]
    await aws.launch(request("b1", 1))
    assert len(emulator.account.living()) == 1


async def test_what_the_cloud_takes_away_is_not_listed(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 2, SPOT))
    first, second = await aws.list()
    emulator.account.end(emulator.account.instances[first.id], "Server.SpotInstanceTermination", "taken")
    await aws.list()
    assert [machine.id for machine in await aws.list()] == [second.id]


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("Server.InsufficientInstanceCapacity", Trouble.OUT_OF_STOCK),
        ("Client.VolumeLimitExceeded", Trouble.QUOTA_REACHED),
        ("Client.InvalidSnapshot.NotFound", Trouble.DENIED),
        ("Server.InternalError", Trouble.FLAKY),
    ],
)
async def test_what_never_started_is_failed_with_the_clouds_reason(
    emulator: AwsEmulator, tmp_path: Path, code: str, trouble: Trouble
) -> None:
    """Until it is given back: EC2 goes on showing it for an hour."""
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1))
    (instance,) = emulator.account.living()
    emulator.account.end(instance, code, "not this time")
    for _ in range(3):
        (machine,) = await aws.list()
        assert (machine.state, machine.trouble) == (MachineState.FAILED, trouble)
        assert machine.message == f"{code}: not this time"
    await aws.release((instance.id,))
    assert await aws.list() == ()


async def test_a_spot_machines_notice_is_when_it_goes(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 2, SPOT))
    await aws.list()
    first, second = emulator.account.living()
    emulator.interrupt(first, "2026-11-23T01:00:00.000Z")
    noticed = datetime(2026, 11, 23, 1, tzinfo=UTC).timestamp()
    found = {machine.id: machine.interrupt_at for machine in await aws.list()}
    assert found == {first.id: noticed + 120, second.id: None}


async def test_unknown_and_known_ids_are_given_back_together(emulator: AwsEmulator, tmp_path: Path) -> None:
    """EC2 refuses a call that names one instance that it does not know; the others go all the same."""
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 3))
    some = tuple(machine.id for machine in await aws.list())
    await aws.release(("i-0badbadbadbadbad0", *some, "nothing like an id"))
    assert emulator.account.living() == []


async def test_a_thousand_are_given_back_in_one_call(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1000))
    await aws.release(tuple(machine.id for machine in await aws.list()))
    assert len(emulator.calls("TerminateInstances")) == 1
    assert emulator.account.living() == []


async def test_spot_machines_cannot_wait(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1, SPOT))
    await aws.list()
    (machine,) = await aws.list()
    with pytest.raises(Denied, match="UnsupportedOperation"):
        await aws.stop((machine.id,), STOPPED)
    assert (await aws.list())[0].state is MachineState.RUNNING


async def test_what_waits_with_an_old_script_is_given_back(emulator: AwsEmulator, tmp_path: Path) -> None:
    """It would start with what an older file said, for instance at the address of an earlier head."""
    made = context(emulator, tmp_path)
    aws = provider(made)
    await aws.launch(request("b1", 1))
    await aws.list()
    (machine,) = await aws.list()
    await aws.stop((machine.id,), STOPPED)
    await aws.list()

    def another(pool: Pool, head: bool) -> StartScript:
        return StartScript(("start", "elsewhere"), FrozenMap({}))

    later = provider(type(made)(made.cluster, tmp_path, made.settings, another))
    with pytest.raises(Gone, match=machine.id):
        await later.start(LaunchRequest("b2", machine.offer, POOL, ("c1",), reuse=(machine.id,)))
    assert emulator.account.living() == []


async def test_a_start_without_stock_leaves_them_waiting(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.prepare(request("b1", 1), STOPPED)
    while (await aws.list())[0].state is not MachineState.STANDBY:
        pass
    (machine,) = await aws.list()
    emulator.fault(Fault("StartInstances", "InsufficientInstanceCapacity", status=500))
    reuse = LaunchRequest("b2", machine.offer, POOL, ("c1",), reuse=(machine.id,))
    with pytest.raises(Exception, match="InsufficientInstanceCapacity"):
        await aws.start(reuse)
    assert (await aws.list())[0].state is MachineState.STANDBY
    await aws.start(reuse)
    await aws.list()
    assert (await aws.list())[0].state is MachineState.RUNNING
