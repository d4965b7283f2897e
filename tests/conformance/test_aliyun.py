"""Provider `aliyun` keeps the contract: the cloud's own client library over HTTP, to a pretended cloud."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
    TypeConfig,
)
from rayfleet.model import Pool
from rayfleet.providers.aliyun import Settings
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.machine import CLUSTER_TAG
from rayfleet.providers.aliyun.provider import AliyunProvider
from rayfleet.testing.clouds.aliyun import Ecs
from rayfleet.testing.clouds.aliyun_front import Fault
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance

CODES: Mapping[str, type[ProviderError]] = {
    "OperationDenied.NoStock": OutOfStock,
    "QuotaExceed.ElasticQuota": QuotaReached,
    "Forbidden.RAM": Denied,
    "Throttling.User": Flaky,
}


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return what a machine would run."""
    return StartScript(("start", pool.name, "head" if head else "worker"))


class AliyunCase(Case):
    """An account of its own at the pretended cloud."""

    def __init__(self, ecs: Ecs) -> None:
        self.ecs = ecs
        keys = {"access_key": "key", "access_key_secret": "secret"}
        word = {"region": ecs.region, "zone_id": "cn-hangzhou-b", "endpoint": f"http://{ecs.endpoint}", **keys}
        self.settings = Settings.model_validate(word)

    def provider(self, cluster: str = CLUSTER) -> Provider:
        types = {self.pool.name: TypeConfig(node_config={"InstanceType": "ecs.n4.large"})}
        context = ProviderContext(cluster, Path("/nowhere"), self.settings, start_script, types)
        return AliyunProvider(context, EcsClient(self.settings), pause_s=0)

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self.ecs.with_tag(CLUSTER_TAG, cluster))

    async def pass_time(self) -> None:
        """Machines get on by being looked at."""

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        self.ecs.faults.append(Fault("RunInstances", "ServiceUnavailable", status=503, after=True))
        with pytest.raises(Flaky):
            await self.provider().launch(request)
        assert self.existing() == len(request.claims)

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {error: partial(self._failing, code) for code, error in CODES.items()}

    @contextmanager
    def _failing(self, code: str) -> Iterator[None]:
        self.ecs.faults.append(Fault("RunInstances", code))
        yield


@pytest.mark.parametrize(("looks_to_run", "unseen_looks"), [(0, 0), (3, 0), (2, 2)])
class TestAliyun(StandbyConformance):
    """The whole suite, with machines that are quick, slow, and slow to be listed."""

    @pytest.fixture
    def case(self, looks_to_run: int, unseen_looks: int) -> Iterator[Case]:
        with Ecs() as ecs:
            ecs.looks_to_run, ecs.unseen_looks = looks_to_run, unseen_looks
            yield AliyunCase(ecs)
