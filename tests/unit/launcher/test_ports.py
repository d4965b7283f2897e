"""Ports that one cluster has chosen are no other's, even before anybody listens there."""

import socket
from pathlib import Path

import pytest

from rayfleet.engines.ray.settings import Ports, RaySettings, free_ports
from rayfleet.launcher import home as homes
from rayfleet.launcher import ports
from rayfleet.launcher.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return homes.create("one")


def test_held_ports_are_held_once() -> None:
    chosen = Ports(*free_ports(3))
    other = Ports(chosen.gcs_port, *free_ports(2))
    held = ports.hold(chosen)
    assert held is not None
    assert ports.hold(other) is None
    held.close()
    again = ports.hold(other)
    assert again is not None
    again.close()


def test_a_cluster_keeps_its_ports_while_they_are_free(home: Home) -> None:
    with ports.settle(home):
        first = RaySettings.load(home.path)
    with ports.settle(home):
        assert RaySettings.load(home.path) == first


def test_a_cluster_whose_port_is_somebody_elses_gets_others(home: Home) -> None:
    with ports.settle(home):
        first = RaySettings.load(home.path)
    with socket.socket() as other:
        other.bind(("", first.ports.gcs_port))
        other.listen()
        with ports.settle(home):
            second = RaySettings.load(home.path)
    assert second.ports.gcs_port != first.ports.gcs_port


def test_two_clusters_at_the_same_moment_get_different_ports(home: Home) -> None:
    neighbour = homes.create("two")
    with ports.settle(home), ports.settle(neighbour):
        one, two = (RaySettings.load(each.path).ports for each in (home, neighbour))
    assert not {one.gcs_port, one.client_port, one.dashboard_port} & {two.gcs_port, two.client_port, two.dashboard_port}
