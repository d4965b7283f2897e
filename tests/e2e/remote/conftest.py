"""A cloud of three hosts around a laptop, for the stories of one file each."""

from collections.abc import Iterator

import pytest
from tests.e2e.remote.cloud import Aliyun, Aws, Azure, Cloud, Gcp

from rayfleet.testing.clouds.aliyun_machines import aliyun_on_hosts
from rayfleet.testing.clouds.aws.machines import aws_on_hosts
from rayfleet.testing.clouds.azure.hosts import azure_on_hosts
from rayfleet.testing.clouds.gcp.hosts import gcp_on_hosts
from rayfleet.testing.hosts import Hosts, needs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return three hosts. Where they cannot be, this fails."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, site: Hosts) -> Iterator[Aws]:
    """Return the laptop of somebody at AWS."""
    with aws_on_hosts(site) as (emulator, machines):
        found = Aws(tmp_path_factory.mktemp("laptop"), "cloudy", machines, emulator)
        found.write()
        yield found


@pytest.fixture(scope="module")
def aliyun(tmp_path_factory: pytest.TempPathFactory, site: Hosts) -> Iterator[Aliyun]:
    """Return the laptop of somebody at Alibaba Cloud."""
    with aliyun_on_hosts(site) as (ecs, machines):
        found = Aliyun(tmp_path_factory.mktemp("laptop"), "cloudy", machines, ecs)
        found.write()
        yield found


@pytest.fixture(scope="module")
def gcp(tmp_path_factory: pytest.TempPathFactory, site: Hosts) -> Iterator[Gcp]:
    """Return the laptop of somebody at Google Cloud."""
    with gcp_on_hosts(site) as (emulator, machines):
        found = Gcp(tmp_path_factory.mktemp("laptop"), "cloudy", machines, emulator)
        found.write()
        yield found


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory, site: Hosts) -> Iterator[Azure]:
    """Return the laptop of somebody at Azure."""
    with azure_on_hosts(site) as (emulator, machines):
        found = Azure(tmp_path_factory.mktemp("laptop"), "cloudy", machines, emulator)
        found.write()
        yield found


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("aliyun", "gcp", "azure")]


@pytest.fixture(scope="module", params=["aws", *OTHERS])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Return the laptop of somebody at each of the clouds, one after the other."""
    found: Cloud = request.getfixturevalue(request.param)
    return found
