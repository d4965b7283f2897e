"""Provider `gcp`: machines of Google Compute Engine, by its own client library.

    launch --> names and bodies (pure) --> insert, or bulkInsert for several --> the operation's answer
    list   <-- aggregatedList, filtered by the cluster's label

It imports nothing heavy: `PROVIDER` is read whenever a configuration is checked.
"""

from pathlib import Path

from rayfleet.contracts import SET_UP_TIMEOUT_S, Notices, Provider, ProviderContext, ProviderKind
from rayfleet.model import StandbyMode
from rayfleet.providers.gcp.catalogue import CATALOGUE
from rayfleet.providers.gcp.settings import Settings

_METADATA = "http://metadata.google.internal"


def _build(context: ProviderContext) -> Provider:
    from rayfleet.providers.gcp.client import Compute
    from rayfleet.providers.gcp.provider import GcpProvider

    return GcpProvider(context, Compute(context.settings))


def _notices(_settings: Settings) -> Notices:
    return Notices(Path(__file__).with_name("notice.py").read_text(encoding="utf-8"), _METADATA)


PROVIDER = ProviderKind(
    name="gcp",
    settings=Settings,
    build=_build,
    standby=(StandbyMode.STOPPED,),
    boot_timeout_s=SET_UP_TIMEOUT_S,
    remote=True,
    catalogue=CATALOGUE,
    notices=_notices,
)

__all__ = ["PROVIDER", "Settings"]
