"""The provider's calls: the supervisor in a thread of its own, and the list without one."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from rayfleet.contracts import Flaky, Gone, LaunchRequest, Machine, ProviderContext
from rayfleet.model import StandbyMode
from rayfleet.providers.process.catalogue import this_computer
from rayfleet.providers.process.host import Host, ThisHost
from rayfleet.providers.process.identity import cluster_root, cluster_tag
from rayfleet.providers.process.record import Stage
from rayfleet.providers.process.registry import Registry
from rayfleet.providers.process.settings import Settings
from rayfleet.providers.process.supervisor import Site, Supervisor

T = TypeVar("T")

LIST_INTERVAL_S: Final = 0.5

log = structlog.get_logger()


class ProcessProvider:
    """Machines that are processes on this computer.

    One object at a time works on a cluster's registry (the controller holds a lock on the cluster). The supervisor runs
    in a thread of its own, which alone changes anything; `list` reads what it has published.
    """

    def __init__(self, context: ProviderContext, host: Host | None = None) -> None:
        """Take what the cluster is; `host`: another computer than this one, for tests."""
        settings: Settings = context.settings
        tag = cluster_tag(context.cluster, context.state_dir)
        root = cluster_root(settings.root, tag)
        site = Site(context.cluster, root, settings, settings.max_concurrent_starts or this_computer().cores)
        self._context = context
        self._supervisor = Supervisor(site, Registry(context.state_dir), host or ThisHost(tag, root))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rayfleet-process")
        self._opening = asyncio.Lock()
        self._wake = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return `process`."""
        return "process"

    @property
    def list_interval_s(self) -> float:
        """Return half a second: listing costs next to nothing."""
        return LIST_INTERVAL_S

    async def list(self) -> tuple[Machine, ...]:
        """Return all machines, queued ones as STARTING, in id order.

        Raises:
            Flaky: the registry cannot be read.
        """
        await self._open()
        machines, unseen = self._supervisor.listing()
        if unseen:  # one has just died: find out how before saying anything
            await self._in_thread(self._supervisor.step)
            self._wake.set()
            machines, _ = self._supervisor.listing()
        return machines

    async def launch(self, request: LaunchRequest) -> None:
        """Write the machines down and let them start in turn.

        Raises:
            Flaky: they cannot be written down; none was started.
            Denied: their directories cannot be made safely.
        """
        await self._open()
        script = self._context.start_script(request.pool, request.head)
        await self._in_thread(lambda: self._supervisor.add(request, script))
        self._wake.set()

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Have machines ended, with all their processes; they are listed as STOPPING until that is so.

        Raises:
            Flaky: the registry cannot be read.
        """
        await self._open()
        await self._in_thread(lambda: self._supervisor.stop(machine_ids))
        self._wake.set()

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:  # noqa: ARG002 - there is one mode here
        """Write machines down that rest: nothing of them runs until they are started.

        Raises:
            Flaky, Denied: as for `launch`.
        """
        await self._open()
        script = self._context.start_script(request.pool, request.head)
        await self._in_thread(lambda: self._supervisor.add(request, script, Stage.RESTING))

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - as above
        """End all processes of machines; their records rest, under their ids.

        Raises:
            Flaky: the registry cannot be read.
        """
        await self._open()
        await self._in_thread(lambda: self._supervisor.rest(machine_ids))
        self._wake.set()

    async def start(self, request: LaunchRequest) -> None:
        """Let machines that rest start in turn.

        Raises:
            Gone: there is none of them.
            Flaky: the registry cannot be read.
        """
        await self._open()
        script = self._context.start_script(request.pool, request.head)
        if not await self._in_thread(lambda: self._supervisor.start(request, script)):
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")
        self._wake.set()

    async def close(self) -> None:
        """Stop looking after the machines; they go on."""
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
            self._work = None
        self._thread.shutdown(wait=True)

    async def _open(self) -> None:
        """Read the registry on first use, and raise what has stopped the work since then, if anything has."""
        async with self._opening:
            if self._work is not None and self._work.done():
                failed, self._work = self._work, None
                failed.result()
            if self._work is None:
                try:
                    await self._in_thread(self._supervisor.open)
                except OSError as error:
                    raise Flaky(f"the list of machines cannot be read: {error}") from error
                self._work = asyncio.create_task(self._look_after_machines(), name="rayfleet-process")

    async def _look_after_machines(self) -> None:
        while True:
            self._wake.clear()
            pause_s = await self._in_thread(self._supervisor.step)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
