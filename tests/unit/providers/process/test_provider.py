"""The provider's own part: what it does when the work behind it fails."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rayfleet.contracts import LaunchRequest, ProviderContext, StartScript
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.process import Settings
from rayfleet.providers.process.host import Spawn
from rayfleet.providers.process.procfs import ProcessKey
from rayfleet.providers.process.provider import ProcessProvider
from rayfleet.testing.fake_host import FakeHost
from rayfleet.testing.fake_provider import ManualClock

POOL = Pool("cpu1", Resources.of({CPU: 1}))


@dataclass(slots=True)
class BrokenHost(FakeHost):
    """Spawning meets a bug of ours once."""

    broken: bool = True
    worked: threading.Event = field(default_factory=threading.Event)

    def spawn(self, spawn: Spawn) -> ProcessKey:
        if self.broken:
            self.broken = False
            raise ZeroDivisionError("a bug")
        key = FakeHost.spawn(self, spawn)
        self.worked.set()
        return key


def start_script(pool: Pool, head: bool) -> StartScript:
    return StartScript(("node",))


async def list_until_it_fails(provider: ProcessProvider) -> None:
    while True:
        await provider.list()
        await asyncio.sleep(0)


async def test_a_bug_in_the_work_is_raised_by_the_next_call_and_the_work_goes_on(tmp_path: Path) -> None:
    """Nothing is swallowed, and one failed step is not the end of all machines."""
    host = BrokenHost(ManualClock())
    provider = ProcessProvider(ProviderContext("c", tmp_path, Settings(), start_script), host)
    await provider.launch(LaunchRequest("b1", OfferKey("cpu1"), POOL, ("c1",)))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await list_until_it_fails(provider)
    (machine,) = await provider.list()
    assert await asyncio.to_thread(host.worked.wait, 30)
    assert host.leader(machine.id).machine_id == machine.id
    await provider.close()


async def test_closing_before_anything_was_asked_touches_nothing(tmp_path: Path) -> None:
    provider = ProcessProvider(ProviderContext("c", tmp_path / "state", Settings(), start_script))
    await provider.close()
    assert not (tmp_path / "state").exists()
