"""The provider section, the catalogue, and who Azure is told that we are."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.providers.azure.cases import LOCATION, settings

from rayfleet.config import check
from rayfleet.contracts import Denied, TypeConfig
from rayfleet.model import CPU, GPU, Market
from rayfleet.providers.azure import PROVIDER, Settings
from rayfleet.providers.azure.catalogue import CATALOGUE
from rayfleet.providers.azure.clients import METADATA_VARIABLE, Clients, Sdk
from rayfleet.providers.azure.made import Made
from rayfleet.providers.azure.node_config import arm_parameters

RAYS: dict[str, Any] = {
    "location": "westus2", "resource_group": "ray-cluster", "subscription_id": "s", "subnet_mask": "10.0.0.0/16",
    "unique_id": "RAY1", "availability_zone": "auto", "msi_name": "m", "msi_resource_group": "g",
    "use_internal_ips": True, "use_external_head_ip": True, "cache_stopped_nodes": False, "tags": {"a": "b"},
    "msi": "/m", "nsg": "/n", "subnet": "/s",
}  # fmt: skip


def test_every_key_of_rays_is_known_and_no_other() -> None:
    assert PROVIDER.settings is Settings
    assert Settings(**RAYS).location == "westus2"
    with pytest.raises(ValidationError, match="resource_grp"):
        Settings(**(RAYS | {"resource_grp": "x"}))


@pytest.mark.parametrize(
    "endpoint", ["http://example.com", "http://52.1.2.3", "ftp://127.0.0.1", "http://127.0.0.1.example.com"]
)
def test_nobody_logs_in_unencrypted_elsewhere(endpoint: str) -> None:
    """To a private address, where an emulator is, nobody logs in at all."""
    assert settings(endpoint="http://10.0.0.4:8080/").endpoint == "http://10.0.0.4:8080"
    with pytest.raises(ValidationError, match="must be https"):
        settings(endpoint=endpoint)


def test_zones_are_numbers() -> None:
    with pytest.raises(ValidationError, match="zones are numbers"):
        settings(availability_zone="eastus-1")


@pytest.mark.parametrize(
    ("provider", "node", "zones"),
    [
        (None, None, [None]), ("auto", None, [None]), ("1, 2", None, ["1", "2"]), ("1,2", "none", [None]),
        (None, "3", ["3"]),
    ],
)  # fmt: skip
def test_offers_are_zones_in_the_market_of_the_file(
    provider: str | None, node: str | None, zones: list[str | None]
) -> None:
    parameters: dict[str, Any] = {"vmSize": "Standard_D2s_v3", "priority": "Spot"}
    config = TypeConfig(
        node_config={"azure_arm_parameters": parameters | ({"availability_zone": node} if node else {})}
    )
    offers = CATALOGUE.offers(settings(availability_zone=provider), config)
    assert [offer.zone for offer in offers] == zones
    assert {(offer.market, offer.region, offer.provider) for offer in offers} == {(Market.SPOT, LOCATION, "azure")}


def test_sizes_and_prices_are_the_tables() -> None:
    there = settings(location="eastus")
    assert CATALOGUE.instance_type(there, TypeConfig()) == "Standard_D2s_v5"
    found = CATALOGUE.resources(there, TypeConfig(instance_type="Standard_NC4as_T4_v3"))
    assert found is not None
    assert (found.amounts()[CPU], found.amounts()[GPU]) == (4, 1)
    assert CATALOGUE.resources(there, TypeConfig(instance_type="Standard_Nonsense")) is None
    (offer,) = CATALOGUE.offers(there, TypeConfig(instance_type="Standard_D4s_v5"))
    assert offer.usd_per_hour is not None
    assert 0 < offer.usd_per_hour < 1
    assert offer.market is Market.ON_DEMAND


FILE = """\
provider: {{type: azure, location: westus2, resource_group: ray}}
head_node_type: head
available_node_types:
  head:
    node_config: {node}
"""


def test_a_node_config_with_mistakes_is_the_files_problem() -> None:
    text = FILE.format(node="{azure_arm_parameters: {priority: Sport}}")
    checked = check(text, {"azure": PROVIDER}, "c.yaml")
    assert "azure_arm_parameters.priority: Value error, Regular or Spot ('Sport')" in str(checked.problems)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{azure_arm_template: mine.json}", "node_config.azure_arm_template has no effect, as in Ray"),
        ("{InstanceType: m5.large}", "node_config.InstanceType has no effect: azure_arm_parameters,"),
        ("{azure_arm_parameters: {nsg: x}}", "node_config.azure_arm_parameters.nsg has no effect: provider.nsg"),
    ],
)
def test_what_ray_takes_and_does_not_heed_is_taken_and_told(node: str, told: str) -> None:
    checked = check(FILE.format(node=node), {"azure": PROVIDER}, "c.yaml")
    assert checked.spec is not None
    assert told in "\n".join(map(str, checked.notices))


def test_every_parameter_of_rays_own_template_is_taken() -> None:
    """Its names, and those that Ray fills in itself."""
    parameters = {
        "vmName": "x", "adminUsername": "me", "publicKey": "ssh-ed25519 A", "imagePublisher": "p", "imageOffer": "o",
        "imageSku": "s", "imageVersion": "v", "imageId": "", "vmSize": "Standard_D4s_v5", "vmTags": {}, "vmCount": 1,
        "osDiskSize": 99, "provisionPublicIp": True, "priority": "Spot", "evictionPolicy": "Deallocate",
        "billingProfile": {"maxPrice": 1}, "msi": "m", "nsg": "n", "subnet": "s", "enableAcceleratedNetworking": True,
        "zones": ["1"], "availability_zone": "2",
    }  # fmt: skip
    read = arm_parameters(TypeConfig(node_config={"azure_arm_parameters": parameters}))
    assert (read.vmSize, read.osDiskSize, read.billingProfile.maxPrice, read.spot) == ("Standard_D4s_v5", 99, 1, True)
    assert read.image == {"publisher": "p", "offer": "o", "sku": "s", "version": "v"}


@pytest.mark.parametrize(
    ("parameters", "image"),
    [
        ({"imageId": "/images/mine"}, {"id": "/images/mine"}),
        (
            {"imagePublisher": "p", "imageOffer": "o", "imageSku": "s"},
            {"publisher": "p", "offer": "o", "sku": "s", "version": "latest"},
        ),
    ],
)
def test_images(parameters: dict[str, str], image: dict[str, str]) -> None:
    assert arm_parameters(TypeConfig(node_config={"azure_arm_parameters": parameters})).image == image


async def test_the_subscription_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, then with the command line's, then on the machine itself."""
    server = _metadata()
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv(METADATA_VARIABLE, f"http://127.0.0.1:{server.server_address[1]}")
    assert await _subscription() == "of-the-machine"
    server.shutdown()
    server.server_close()
    with pytest.raises(Denied, match=r"no subscription: write provider\.subscription_id"):
        await _subscription()
    profile = {"subscriptions": [{"id": "other"}, {"id": "chosen", "isDefault": True}]}
    (tmp_path / "azureProfile.json").write_text(json.dumps(profile), encoding="utf-8-sig")
    assert await _subscription() == "chosen"
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "of-the-environment")
    assert await _subscription() == "of-the-environment"


async def test_connections_are_open_before_threads_share_them() -> None:
    """A client opens its own at its first call, which another call under way at the same time may not survive."""
    clients = Clients(settings(endpoint="http://127.0.0.1:9", subscription_id="s"))

    def sessions(sdk: Sdk) -> list[object]:
        them = (sdk.compute, sdk.network, sdk.resources)
        return [one._client._pipeline._transport.session for one in them]  # noqa: SLF001 - nothing else tells it

    assert None not in await clients.run(sessions)
    await clients.close()


async def _subscription() -> str:
    clients = Clients(settings(endpoint="http://127.0.0.1:9"))
    try:
        return str(await clients.run(lambda sdk: sdk.subscription))
    finally:
        await clients.close()


def _metadata() -> HTTPServer:
    """Return a metadata service that knows one thing, and answers only who asks as one must."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200 if self.headers.get("Metadata") == "true" else 400)
            self.end_headers()
            self.wfile.write(b"of-the-machine" if "/compute/subscriptionId?" in self.path else b"?")

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def test_what_was_made_is_remembered_and_forgotten_in_the_end(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.add(["a", "b"])
    made.add(["b"])
    assert Made(tmp_path).missing(["a", "b", "c"]) == ("c",)
    Made(tmp_path).add(str(n) for n in range(120_000))
    again = Made(tmp_path)
    assert again.missing(["a", "119999"]) == ("a",)
    assert len((tmp_path / "azure-machines").read_text().splitlines()) == 50_000


def test_what_cannot_be_written_is_known_while_the_process_lives(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = Made(tmp_path / "file")
    assert made.missing(["a"]) == ("a",)
    made.add(["a"])
    assert made.missing(["a"]) == ()


def test_without_azures_clients_the_user_is_told_what_to_install(tmp_path: Path) -> None:
    """In a process of its own, where they cannot be imported."""
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['azure'] = None\n"
        "from rayfleet.contracts import Denied, ProviderContext\n"
        "from rayfleet.providers.azure import PROVIDER\n"
        "settings = PROVIDER.settings(location='x', resource_group='y')\n"
        "try:\n"
        "    PROVIDER.build(ProviderContext('c', None, settings, None))\n"
        "except Denied as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "rayfleet[azure]"' in done.stdout
