"""The network of a site: a bridge of this machine and one namespace for each host, without any way out.

Its /24 within 10.77.0.0/16 is nobody else's: the bridge's name says which one it is, and a name exists once.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final

from rayfleet.providers.process import procfs

PREFIX: Final = "rfh"
NUMBERS: Final = 254


class NetworkError(Exception):
    """The program ip refused; the text says what it said."""


class Network:
    """A bridge with this machine's address in it, and the namespaces of `count` hosts."""

    def __init__(self, count: int) -> None:
        """Make nothing yet."""
        self._count = count
        self.number = 0

    @property
    def bridge(self) -> str:
        """Return the bridge's name."""
        return f"{PREFIX}{self.number}"

    def address(self, host: int) -> str:
        """Return the address of a host; 0 is this machine."""
        return f"10.77.{self.number}.{host + 1}"

    def namespace(self, host: int) -> str:
        """Return the name of a host's namespace."""
        return f"{self.bridge}-{host}"

    def up(self) -> None:
        """Make everything. NetworkError: no right to, or no number is free."""
        self.number = _take_number()
        lines = [f"addr add {self.address(0)}/24 dev {self.bridge}", f"link set {self.bridge} up"]
        for host in range(1, self._count + 1):
            name, veth = self.namespace(host), self._veth(host)
            lines += [
                f"netns add {name}",
                f"link add {veth} type veth peer name eth0 netns {name}",
                f"link set {veth} master {self.bridge} up",
            ]
        _ip("-batch", "-", stdin="\n".join(lines))

    def connect(self, host: int, *, connected: bool) -> None:
        """Plug a host's cable in, or pull it."""
        _ip("link", "set", self._veth(host), "up" if connected else "down")
        _ip("neigh", "flush", "to", self.address(host), "dev", self.bridge)  # or it is remembered as away for a while

    def down(self) -> None:
        """Remove everything."""
        _remove(self.bridge)

    def left(self) -> list[str]:
        """Return what is there of it."""
        return [f"network {name}" for name in (*_namespaces(self.bridge), *_links()) if _is_of(name, self.bridge)]

    def _veth(self, host: int) -> str:
        return f"{self.bridge}v{host}"


def _take_number() -> int:
    _remove_leftovers()
    used = {int(number) for number in re.findall(r"\b10\.77\.(\d+)\.", _ip("-4", "-o", "addr", "show"))}
    first = os.getpid() % NUMBERS
    for number in ((first + step) % NUMBERS + 1 for step in range(NUMBERS)):
        if number not in used:
            made = subprocess.run(
                ["ip", "link", "add", f"{PREFIX}{number}", "type", "bridge"],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode == 0:
                _ip("link", "set", f"{PREFIX}{number}", "alias", _owner())
                return number
            if "exists" not in made.stderr:
                raise NetworkError(f"no network for hosts: {made.stderr.strip()} (it needs root)")
    raise NetworkError("every 10.77.x.0/24 is in use on this machine")


def _owner() -> str:
    found = procfs.stat(os.getpid())
    return f"{os.getpid()}-{found.key.started if found else 0}"


def _remove_leftovers() -> None:
    """Remove networks whose owner was killed."""
    shown = _ip("-o", "link", "show", "type", "bridge")
    for name, pid, started in re.findall(rf"({PREFIX}\d+):.*\balias (\d+)-(\d+)", shown):
        if not procfs.is_alive(procfs.ProcessKey(int(pid), int(started))):
            _remove(name)


def _remove(bridge: str) -> None:
    # Cables first: the kernel takes its time to remove those that end with a namespace.
    cables = (f"link del {name}" for name in _links() if name.startswith(f"{bridge}v"))
    names = (f"netns del {name}" for name in _namespaces(bridge))
    _ip("-batch", "-", stdin="\n".join((*cables, *names, f"link del {bridge}")))


def _namespaces(bridge: str) -> list[str]:
    names = (line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip())
    return [name for name in names if _is_of(name, bridge)]


def _links() -> list[str]:
    return re.findall(rf"\b({PREFIX}\d+\w*)[:@]", _ip("-o", "link", "show"))


def _is_of(name: str, bridge: str) -> bool:
    return name == bridge or name.startswith((f"{bridge}-", f"{bridge}v"))


def _ip(*argv: str, stdin: str = "") -> str:
    ran = subprocess.run(["ip", *argv], input=stdin, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NetworkError(f"ip {' '.join(argv)}: {ran.stderr.strip()} (it needs root)")
    return ran.stdout
