"""Provider `aliyun`: machines of Alibaba Cloud's Elastic Compute Service.

    provider --> order (what to ask for: pure) --> client (the cloud's own library, in threads) --> the cloud
    list     <-- machine (tags and states: pure) <--'

It imports nothing heavy: `PROVIDER` is read whenever a configuration is checked, and the library takes seconds to load.
"""

from pathlib import Path

from rayfleet.contracts import (
    SET_UP_TIMEOUT_S,
    Fetched,
    Notices,
    PriceQuestion,
    Provider,
    ProviderContext,
    ProviderKind,
)
from rayfleet.model import StandbyMode
from rayfleet.providers.aliyun.catalogue import AliyunCatalogue
from rayfleet.providers.aliyun.settings import METADATA, Settings


def _build(context: ProviderContext) -> Provider:
    from rayfleet.providers.aliyun.client import EcsClient
    from rayfleet.providers.aliyun.provider import AliyunProvider

    return AliyunProvider(context, EcsClient(context.settings))


async def _prices(settings: Settings, question: PriceQuestion) -> Fetched:
    from rayfleet.providers.aliyun.prices import fetch

    return await fetch(settings, question)


def _notices(settings: Settings) -> Notices:
    return Notices(
        Path(__file__).with_name("notice.py").read_text(encoding="utf-8"), settings.metadata_endpoint or METADATA
    )


PROVIDER = ProviderKind(
    name="aliyun",
    settings=Settings,
    build=_build,
    standby=(StandbyMode.STOPPED,),
    boot_timeout_s=SET_UP_TIMEOUT_S,
    remote=True,
    catalogue=AliyunCatalogue(),
    prices=_prices,
    notices=_notices,
)

__all__ = ["PROVIDER", "Settings"]
