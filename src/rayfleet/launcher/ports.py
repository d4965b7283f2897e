"""Ports of a cluster: chosen once, and held against other rayfleets from the choice until its head has bound them.

A port that is free now may be another cluster's a moment later, while ours is still booting. Whoever has chosen one
holds an abstract socket of its number, which the kernel gives to one process only and takes back when that ends.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import astuple

from rayfleet.engines.ray.settings import Ports, RaySettings, is_free, new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher.home import Home
from rayfleet.providers.process import leftovers


def settle(home: Home) -> ExitStack:
    """See that the cluster has ports that it can use; what is returned holds them until it is closed."""
    if home.settings.exists() and _usable(home):
        return ExitStack()
    preferred = _defaults_are_ours(home)
    while True:
        settings = new_settings(home.name, home.path, preferred_default=preferred)
        held = hold(settings.ports)
        if held is not None:
            settings.save()
            return held
        preferred = False


def hold(ports: Ports) -> ExitStack | None:
    """Hold these ports; None when somebody else holds one of them."""
    with ExitStack() as held:
        for port in astuple(ports):
            lock = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            try:
                lock.bind(f"\0rayfleet-cluster-port-{port}")
            except OSError:
                return None
            os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 - a controller that this process turns into holds it too
        return held.pop_all()


def _usable(home: Home) -> bool:
    """Say whether the ports of before will do: something of the cluster lives and has them, or they are free again."""
    ports = RaySettings.load(home.path).ports
    return all(is_free(port) for port in astuple(ports)) or bool(leftovers.left_behind(home.name, home.path))


def _defaults_are_ours(home: Home) -> bool:
    """Say whether no other cluster that is up has Ray's default ports; its head may be down just now."""
    others = [each for each in homes.known() if each.is_up and not each.is_elsewhere and each.name != home.name]
    return not any(RaySettings.load(each.path).ports.default for each in others if each.settings.exists())
