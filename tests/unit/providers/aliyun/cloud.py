"""A provider on a pretended cloud, for the tests beside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayfleet.contracts import LaunchRequest, Login, ProviderContext, StartScript, TypeConfig
from rayfleet.model import CPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.aliyun import Settings
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.provider import AliyunProvider
from rayfleet.testing.clouds.aliyun import Ecs

POOL = Pool("workers", Resources.of({CPU: 2}))
CLUSTER = "c"
NOBODY = Login()
NOW = 1_800_000_000.0


def start_script(pool: Pool, head: bool) -> StartScript:
    return StartScript(("start", pool.name))


class Cloud:
    """The pretended cloud, and providers on it."""

    def __init__(self, ecs: Ecs) -> None:
        self.ecs = ecs
        self.now = NOW

    def settings(self, **more: Any) -> Settings:
        word = {"region": self.ecs.region, "zone_id": "cn-hangzhou-b", "endpoint": f"http://{self.ecs.endpoint}"}
        return Settings.model_validate({**word, "access_key": "key", "access_key_secret": "hush", **more})

    def provider(
        self,
        node_config: Mapping[str, Any] | None = None,
        *,
        login: Login = NOBODY,
        **more: Any,
    ) -> AliyunProvider:
        words = {"InstanceType": "ecs.g7.large"} if node_config is None else node_config
        types = {POOL.name: TypeConfig(node_config=words)}
        settings = self.settings(**more)
        context = ProviderContext(CLUSTER, Path("/nowhere"), settings, start_script, types, login)
        return AliyunProvider(context, EcsClient(settings), now=lambda: self.now, pause_s=0)


def request(batch: str, count: int = 1, *, zone: str | None = None, market: Market | None = None) -> LaunchRequest:
    """Return a request for machines of the pool."""
    offer = OfferKey(POOL.name, "aliyun", "cn-hangzhou", zone, market)
    return LaunchRequest(batch, offer, POOL, tuple(f"claim-{n}" for n in range(count)))


@contextmanager
def cloud() -> Iterator[Cloud]:
    """Give a cloud of one's own."""
    with Ecs() as ecs:
        yield Cloud(ecs)
