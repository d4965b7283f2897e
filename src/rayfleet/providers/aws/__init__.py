"""Provider `aws`: instances of EC2. The README says what it does and which rights it needs."""

from pathlib import Path
from typing import Final

from rayfleet.contracts import (
    SET_UP_TIMEOUT_S,
    Denied,
    Fetched,
    Notices,
    PriceQuestion,
    ProviderContext,
    ProviderKind,
    StandbyProvider,
)
from rayfleet.model import StandbyMode
from rayfleet.providers.aws.catalogue import AwsCatalogue
from rayfleet.providers.aws.settings import Settings

_REBALANCE_S: Final = 1800.0
"""How long work may go on where EC2 recommends to leave: it names no moment, so that there has to be one of ours."""


def _build(context: ProviderContext) -> StandbyProvider:
    # Imported here: this module is read whenever a configuration is checked, and boto3 takes a while to load.
    try:
        from rayfleet.providers.aws.client import Client
    except ImportError as error:
        raise _without_boto3(error) from error
    from rayfleet.providers.aws.provider import AwsProvider

    return AwsProvider(context, Client(context.settings))


async def _prices(settings: Settings, question: PriceQuestion) -> Fetched:
    try:
        from rayfleet.providers.aws.prices import fetch
    except ImportError as error:
        raise _without_boto3(error) from error
    return await fetch(settings, question)


def _without_boto3(error: ImportError) -> Denied:
    return Denied(f'provider aws needs boto3, which is not installed: pip install "rayfleet[aws]" ({error})')


def _notices(settings: Settings) -> Notices:
    program = Path(__file__).with_name("notice.py").read_text(encoding="utf-8")
    if settings.rebalance == "drain":
        program += f"\nREBALANCE_S = {_REBALANCE_S}\n"
    return Notices(program, settings.metadata_url)


PROVIDER = ProviderKind(
    name="aws",
    settings=Settings,
    build=_build,
    standby=(StandbyMode.STOPPED,),
    boot_timeout_s=SET_UP_TIMEOUT_S,
    remote=True,
    catalogue=AwsCatalogue(),
    prices=_prices,
    notices=_notices,
    tidies=True,
)

__all__ = ["PROVIDER", "Settings"]
