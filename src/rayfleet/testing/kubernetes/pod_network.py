"""One network namespace for each pod, all on one bridge of this machine; its own address is the pods' gateway.

Needs root and the program ip. What `up` and `add` make, `down` removes.
"""

import asyncio
import os

from rayfleet.providers.process import procfs
from rayfleet.testing.kubernetes.nodes import POD_NETWORK

GATEWAY = f"{POD_NETWORK}.0.1"
PREFIX = "rfb"


class NetworkError(Exception):
    """The program ip refused; the text says what it said, and what to do."""


class PodNetwork:
    """The bridge and the namespaces of one kubelet; interfaces are named after its process id."""

    def __init__(self) -> None:
        self.bridge = f"{PREFIX}{os.getpid()}"
        self._count = 0
        self._names: set[str] = set()

    async def up(self) -> None:
        """Make the bridge. NetworkError: no right to, or another kubelet of this machine has the network."""
        for line in (await _ip("-4", "-o", "addr", "show")).splitlines():
            bridge = line.split()[1]
            if GATEWAY in line and not await _remove_leftover(bridge):
                raise NetworkError(
                    f"{GATEWAY} is in use on {bridge}: is there another kubelet of processes on this machine?"
                )
        await _batch(
            f"link add {self.bridge} type bridge",
            f"addr add {GATEWAY}/16 dev {self.bridge}",
            f"link set {self.bridge} up",
        )

    async def add(self, address: str) -> str:
        """Make a namespace with this address and return its name."""
        self._count += 1
        name, veth = f"{self.bridge}-{self._count}", f"{self.bridge}v{self._count}"
        await _batch(f"netns add {name}")
        self._names.add(name)
        await _batch(
            f"link add {veth} type veth peer name eth0 netns {name}", f"link set {veth} master {self.bridge} up"
        )
        await _batch(
            "link set lo up",
            f"addr add {address}/16 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY}",
            namespace=name,
        )
        return name

    async def remove(self, name: str) -> None:
        """Remove a namespace and, with it, both ends of its cable."""
        if name in self._names:
            self._names.remove(name)
            await _batch(f"netns del {name}")

    async def down(self) -> None:
        """Remove everything."""
        for name in tuple(self._names):
            await self.remove(name)
        await _batch(f"link del {self.bridge}")


async def _remove_leftover(bridge: str) -> bool:
    """Remove the bridge and the namespaces of a kubelet that was killed; False when it is not one, or it lives."""
    pid = bridge.removeprefix(PREFIX)
    if pid == bridge or not pid.isdigit() or procfs.stat(int(pid)) is not None:
        return False
    names = (line.split()[0] for line in (await _ip("netns", "list")).splitlines())
    await _batch(*(f"netns del {name}" for name in names if name.startswith(f"{bridge}-")), f"link del {bridge}")
    return True


async def _batch(*lines: str, namespace: str = "") -> None:
    where = ("-n", namespace) if namespace else ()
    await _ip(*where, "-batch", "-", stdin="\n".join(lines))


async def _ip(*argv: str, stdin: str = "") -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("ip", *argv, stdin=pipe, stdout=pipe, stderr=pipe)
    out, problem = await process.communicate(stdin.encode())
    if process.returncode:
        raise NetworkError(f"ip {' '.join(argv)}: {problem.decode().strip()} (it needs root): {stdin}")
    return out.decode()
