"""Machines that wait: deallocated, disks kept, no hours paid; started again with what they are to run now."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from typing import Any, Final

from rayfleet.contracts import Denied, Gone, LaunchRequest, ProviderError
from rayfleet.providers.azure.clients import METADATA, METADATA_VARIABLE, Clients, Sdk
from rayfleet.providers.azure.made import Made
from rayfleet.providers.azure.settings import Settings
from rayfleet.providers.azure.view import View
from rayfleet.wire.user_data import FOLDER

_BOOTS: Final = "/var/lib/cloud/scripts/per-boot"

EVERY_BOOT: Final = f"""\
mkdir -p -m 700 {FOLDER} {_BOOTS}
cat > {_BOOTS}/0-rayfleet <<'RAYFLEET_AGAIN'
#!/bin/bash
base="${{{METADATA_VARIABLE}:-{METADATA}}}/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
curl -sf --retry 5 --noproxy '*' -H Metadata:true "$base" | base64 -d > {FOLDER}/again
[ -s {FOLDER}/again ] || exit 0
bash {FOLDER}/again
rm -f {_BOOTS}/rayfleet
RAYFLEET_AGAIN
chmod 700 {_BOOTS}/0-rayfleet
"""
"""For the first boot: later boots ask for the user-data of now, which can be changed; custom data cannot.

Where there is some, the script of the boot before is not run as well.
"""

OWN_NAME: Final = (
    f"curl -sf --retry 5 --noproxy '*' -H Metadata:true "
    f'"${{{METADATA_VARIABLE}:-{METADATA}}}/metadata/instance/compute/name?api-version=2021-01-01&format=text"'
)
"""Shell code that prints a machine's name."""


def first_boot(script: str, *, may_rest: bool) -> str:
    """Return a machine's custom data: its script, and the asking at later boots where it may have waited before them.

    cloud-init runs nothing that does not begin as a script does, also where there is no script of ours.
    """
    return (script or "#!/bin/bash\n") + EVERY_BOOT if may_rest else script


class Resting:
    """Stops and starts machines."""

    def __init__(self, settings: Settings, clients: Clients, view: View, made: Made) -> None:
        """Take what to call and where to remember it."""
        self._group = settings.resource_group
        self._clients = clients
        self._view = view
        self._made = made

    async def stop(self, machine_ids: tuple[str, ...]) -> None:
        """Have machines wait; those that do not exist count as done.

        Raises:
            Denied: one of them cannot wait; nothing was stopped.
            Flaky.
        """
        if not machine_ids:
            return
        priorities = await self._view.priorities()
        if spot := [name for name in machine_ids if priorities.get(name) == "Spot"]:
            raise Denied(f"{spot[0]} is a spot machine: Azure takes those away, they cannot wait on standby")
        if not self._view.sees_states:
            raise Denied(
                "machines cannot wait where their states may not be listed: the README of provider azure has the role"
            )

        def deallocate(sdk: Sdk, name: str) -> None:
            sdk.compute.virtual_machines.begin_deallocate(self._group, name, polling=False)

        names = tuple(name for name in machine_ids if name in priorities)
        errors = await self._each(names, deallocate, None)
        raise_first([error for error in errors if not isinstance(error, Gone)])

    async def start(self, request: LaunchRequest, user_data: str) -> None:
        """Start machines that wait, each once for this batch.

        Raises:
            Gone: none of them exists any more.
            OutOfStock, QuotaReached, Denied, Flaky: none was started.
        """
        marks = {f"start/{request.batch}/{name}": name for name in request.reuse}
        missing = await asyncio.to_thread(self._made.missing, marks)
        body = {"properties": {"userData": base64.b64encode(user_data.encode()).decode()}}

        def start(sdk: Sdk, name: str) -> None:
            calls = sdk.compute.virtual_machines
            calls.begin_update(self._group, name, body).result()  # only one operation at a time
            calls.begin_start(self._group, name, polling=False)
            self._made.add([f"start/{request.batch}/{name}"])

        errors = await self._each(tuple(marks[mark] for mark in missing), start, request)
        if errors and len(errors) == len(marks):
            raise_first([error for error in errors if not isinstance(error, Gone)])
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")

    async def _each(
        self, names: tuple[str, ...], work: Callable[[Sdk, str], None], request: LaunchRequest | None
    ) -> list[ProviderError]:
        """Do something to machines at the same time; return the errors."""
        offer = request.offer if request else None

        def call(name: str) -> Any:
            return self._clients.run(lambda sdk: work(sdk, name), offer)

        outcomes: list[object] = await asyncio.gather(*map(call, names), return_exceptions=True)
        raise_unexpected(outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]


def raise_first(errors: list[ProviderError]) -> None:
    """Raise the first error, if there is one."""
    if errors:
        raise errors[0]


def raise_unexpected(outcomes: Iterable[object]) -> None:
    """Raise what is no answer of Azure's: a fault of our own, or a cancellation."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ProviderError):
            raise outcome
