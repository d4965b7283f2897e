"""Some hosts on one network, with a key that all of them let in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

from rayfleet.contracts import Login
from rayfleet.testing.hosts import image
from rayfleet.testing.hosts.host import Host, HostFailed
from rayfleet.testing.hosts.network import Network


def needs() -> str:
    """Return what this machine lacks for such hosts, "" when nothing."""
    programs = ("ip", "nsenter", "unshare", "setpriv", "/usr/sbin/sshd")
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        return "the right to make network namespaces (root)"
    return f"the programs {', '.join(missing)}" if missing else ""


class Hosts:
    """As many hosts as asked for, running inside the `with` block; up to 250."""

    def __init__(self, count: int, folder: Path) -> None:
        """Keep their files below `folder`, until the end of the block."""
        self._folder = folder
        self._network = Network(count)
        self._count = count
        self.hosts: list[Host] = []
        self._key = asyncssh.generate_private_key("ssh-ed25519")

    @property
    def login(self) -> Login:
        """Return how to log in to any of them."""
        return Login("root", str(self._folder / "id"), self._public)

    @property
    def gateway(self) -> str:
        """Return this machine's address among them. It is no way out."""
        return self._network.address(0)

    def __enter__(self) -> Self:
        """Start all hosts, and wait until each answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        key = self._folder / "id"
        key.write_bytes(self._key.export_private_key())
        key.chmod(0o600)
        self._network.up()
        try:
            for number in range(1, self._count + 1):
                self.hosts.append(Host(self._folder / f"host{number}", number, self._network, self._make_files))
            for host in self.hosts:
                host.power_on()
            for host in self.hosts:
                host.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End and remove everything."""
        self.close()

    def close(self) -> None:
        """End all hosts and remove their files and networks. HostFailed: something is left."""
        for host in self.hosts:
            host.power_off()
        self._network.down()
        for host in self.hosts:
            shutil.rmtree(host.folder, ignore_errors=True)
        left = [*self._network.left(), *(str(host.folder) for host in self.hosts if host.folder.exists())]
        self.hosts = []
        if left:
            raise HostFailed(f"left behind: {', '.join(left)}")

    @property
    def _public(self) -> str:
        return self._key.export_public_key().decode().strip()

    def _make_files(self, host: Host) -> None:
        names = {number: f"host{number}" for number in range(1, self._count + 1)}
        lines = ["127.0.0.1 localhost", *(f"{self._network.address(number)} {name}" for number, name in names.items())]
        secrets = {
            "host_key": asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(),
            "authorized_key": self._public,
        }
        image.write(host.folder, host.name, host.address, secrets, "\n".join(lines) + "\n")
