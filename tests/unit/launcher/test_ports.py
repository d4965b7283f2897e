"""Ports that one cluster has chosen are no other's, even before anybody listens there."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.engines.ray.settings import Ports, RaySettings, new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher import ports
from rayfleet.launcher.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return homes.create("one")


@pytest.fixture
def before(home: Home) -> Ports:
    """Return the ports that the cluster had before: not Ray's own, which any cluster of this machine may take now."""
    settings = new_settings(home.name, home.path, preferred_default=False)
    settings.save()
    return settings.ports


def test_held_ports_are_held_once() -> None:
    """The numbers are this process's own and no port has them, so that only the test holds them."""
    number = 100_000 + 5 * os.getpid()
    chosen = Ports(number, number + 1, number + 2)
    other = Ports(number, number + 3, number + 4)
    held = ports.hold(chosen)
    assert held is not None
    assert ports.hold(other) is None
    held.close()
    again = ports.hold(other)
    assert again is not None
    again.close()


def test_a_cluster_keeps_its_ports_while_they_are_free(home: Home, before: Ports) -> None:
    with ports.settle(home):
        assert RaySettings.load(home.path).ports == before


def test_a_cluster_whose_port_is_somebody_elses_gets_others(home: Home, before: Ports) -> None:
    with socket.socket() as other:
        other.bind(("", 0))  # the kernel gives a port that is nobody's
        other.listen()
        taken = replace(before, gcs_port=other.getsockname()[1])
        replace(RaySettings.load(home.path), ports=taken).save()
        with ports.settle(home):
            chosen = RaySettings.load(home.path).ports
    assert chosen.gcs_port != taken.gcs_port


def test_two_clusters_at_the_same_moment_get_different_ports(home: Home) -> None:
    neighbour = homes.create("two")
    with ports.settle(home), ports.settle(neighbour):
        one, two = (RaySettings.load(each.path).ports for each in (home, neighbour))
    assert not {one.gcs_port, one.client_port, one.dashboard_port} & {two.gcs_port, two.client_port, two.dashboard_port}
