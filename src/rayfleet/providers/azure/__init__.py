"""Provider `azure`: virtual machines of one resource group, by direct calls. Its README says what it does and needs."""

from pathlib import Path

from rayfleet.contracts import (
    SET_UP_TIMEOUT_S,
    Denied,
    Fetched,
    Notices,
    PriceQuestion,
    Provider,
    ProviderContext,
    ProviderKind,
)
from rayfleet.model import StandbyMode
from rayfleet.providers.azure.catalogue import CATALOGUE
from rayfleet.providers.azure.settings import Settings

_METADATA = "http://169.254.169.254"


def _build(context: ProviderContext) -> Provider:
    # Imported here: this module is read whenever a configuration is checked, and Azure's clients take a second to load.
    try:
        from rayfleet.providers.azure.provider import AzureProvider
    except ImportError as error:
        raise Denied(f'provider azure needs Azure\'s clients ({error}): pip install "rayfleet[azure]"') from error
    return AzureProvider(context)


async def _prices(settings: Settings, question: PriceQuestion) -> Fetched:
    from rayfleet.providers.azure.prices import ask

    return await ask(settings, question)


def _notices(_settings: Settings) -> Notices:
    return Notices(Path(__file__).with_name("notice.py").read_text(encoding="utf-8"), _METADATA)


PROVIDER = ProviderKind(
    name="azure",
    settings=Settings,
    build=_build,
    standby=(StandbyMode.STOPPED,),
    boot_timeout_s=SET_UP_TIMEOUT_S,
    remote=True,
    catalogue=CATALOGUE,
    prices=_prices,
    notices=_notices,
)

__all__ = ["PROVIDER", "Settings"]
