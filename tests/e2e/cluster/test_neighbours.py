"""Two clusters on one machine, and a port that somebody else has."""

import socket
from collections.abc import Iterator

import pytest
from tests.e2e.cluster.fleet import Fleet, config

from rayfleet.engines.ray.settings import RaySettings

pytestmark = pytest.mark.ray

RESOURCES = """
import ray
ray.init(log_to_driver=False)
print(ray.cluster_resources().get("CPU", 0), ray.get_runtime_context().gcs_address)
"""


@pytest.fixture(scope="module", autouse=True)
def port_8265_is_taken() -> Iterator[None]:
    """Listen where Ray's tools look for a dashboard, at an address that is nobody's: no other cluster minds."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an ended cluster's connections linger there
        try:
            other.bind(("127.77.0.1", 8265))
            other.listen()
        except OSError:
            pass  # taken at every address by another program, which is the case at hand
        yield


@pytest.fixture(scope="module", autouse=True)
def two(fleet: Fleet, port_8265_is_taken: None) -> None:
    """Bring two clusters up, the second with a worker."""
    fleet("up", config(fleet.folder, "red"))
    path = config(fleet.folder, "blue")
    path.write_text(path.read_text().replace("max_workers: 3}", "min_workers: 1, max_workers: 3}"))
    fleet("up", path)


def test_other_ports_are_chosen_and_no_two_are_alike(fleet: Fleet) -> None:
    settings = [RaySettings.load(fleet.home(name).path) for name in ("red", "blue")]
    ports = [
        port for each in settings for port in (each.ports.gcs_port, each.ports.client_port, each.ports.dashboard_port)
    ]
    assert len(set(ports)) == 6
    assert not {6379, 10001, 8265} & set(ports)


def test_each_is_reached_by_its_name(fleet: Fleet) -> None:
    told = {name: fleet.python(RESOURCES, "--cluster", name).stdout.split() for name in ("red", "blue")}
    assert told["red"][0] in ("0", "0.0")
    assert told["blue"][0] == "1.0"
    assert told["red"][1] != told["blue"][1]


def test_without_a_name_it_is_asked_which(fleet: Fleet) -> None:
    asked = fleet("status", check=False)
    assert asked.returncode == 2
    assert "several clusters are up: blue, red" in asked.stderr
    assert fleet("run", "--cluster", "red", "--", "sh", "-c", "echo $RAYFLEET_CLUSTER").stdout == "red\n"


def test_one_ends_without_the_other(fleet: Fleet) -> None:
    fleet("down", "red")
    fleet.assert_nothing_is_left("red")
    assert set(fleet.machines("blue").values()) == {"READY"}
    assert fleet.python(RESOURCES).stdout.split()[0] == "1.0"
