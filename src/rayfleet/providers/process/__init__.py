"""Provider `process`: every machine is one foreground command on this computer, with all that it starts.

    launch --> registry (a file per machine, written first) --> supervisor --> host (processes, directories)
    list   <-- registry in memory + /proc

It imports nothing heavy: `PROVIDER` is read whenever a configuration is checked.
"""

from rayfleet.contracts import Provider, ProviderContext, ProviderKind
from rayfleet.model import StandbyMode
from rayfleet.providers.process.settings import Settings


def _build(context: ProviderContext) -> Provider:
    from rayfleet.providers.process.provider import ProcessProvider

    return ProcessProvider(context)


BOOT_TIMEOUT_S = 120.0
"""A process joins in less than a second on an idle computer; on a crowded one it may take long."""

PROVIDER = ProviderKind(
    name="process",
    settings=Settings,
    build=_build,
    standby=(StandbyMode.STOPPED,),
    boot_timeout_s=BOOT_TIMEOUT_S,
)

__all__ = ["PROVIDER", "Settings"]
