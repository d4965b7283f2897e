"""Hosts as the machines of a cloud's emulator: off until one is launched, run by user-data, wiped when it goes.

    machines = CloudMachines(site, {"WHERE_TO_ASK": url})   # for instance the metadata service's
    machines.launch(machines.take(), user_data)             # at once; the boot goes on by itself
    machines.end(address)                                   # its host is free again when it is wiped

What cloud-init would do is done as far as user-data of rayfleet's own and shell scripts of users need it: scripts,
alone, compressed, or as parts of a message, run as root; and those of every boot at every further one. Keys of logins
that a cloud's own agent writes are given with the launch.
"""

from __future__ import annotations

import email
import gzip
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

from rayfleet.testing.hosts.host import Host
from rayfleet.testing.hosts.site import Hosts

SCRIPTS: Final = "/var/lib/cloud/instance/scripts"
BOOTS: Final = "/var/lib/cloud/scripts/per-boot"
OUTPUT: Final = "/var/log/cloud-init-output.log"


class NoHost(Exception):
    """Every host is some machine already."""


class CloudMachines:
    """The hosts of a site as machines. Each has a thread of its own, which its processes end with."""

    def __init__(self, site: Hosts, variables: Mapping[str, str]) -> None:
        """Turn all hosts off. `variables`: of every login there, for instance where the metadata service is."""
        self._variables = dict(variables)
        self._hosts = {host.address: host for host in site.hosts}
        self._free = list(self._hosts)
        self._lock = Lock()
        self._threads = {address: ThreadPoolExecutor(1) for address in self._hosts}
        self._asked: list[Future[None]] = []
        for address in self._hosts:
            self._do(address, self._hosts[address].wipe)
        self.settle()

    def take(self) -> str:
        """Return the address of a host that is nobody's machine yet, and is from now on.

        Raises:
            NoHost: there is none.
        """
        with self._lock:
            if not self._free:
                raise NoHost(f"all of the {len(self._hosts)} hosts are machines already")
            return self._free.pop(0)

    def launch(self, address: str, user_data: bytes, keys: str = "") -> None:
        """Have the machine that was taken boot for the first time; it does so after this call.

        `keys`: lines of root's authorized_keys; without any, whoever is let in is the user-data's to say.
        """
        self._do(address, lambda: self._first_boot(self._hosts[address], user_data, keys))

    def stop(self, address: str) -> None:
        """Turn a machine off; its files stay."""
        self._do(address, self._hosts[address].power_off)

    def start(self, address: str) -> None:
        """Have a machine that was stopped boot again."""
        self._do(address, lambda: self._boot(self._hosts[address], BOOTS))

    def end(self, address: str) -> None:
        """Turn a machine off and wipe it; then its host is free again."""
        self._do(address, lambda: self._end(address))

    def host(self, address: str) -> Host:
        """Return the host at an address."""
        return self._hosts[address]

    def running(self) -> dict[str, list[int]]:
        """Return what runs on each host that is on, by its address."""
        return {address: host.processes() for address, host in self._hosts.items() if host.init() is not None}

    def settle(self) -> None:
        """Wait until all that was asked for is done; raises what went wrong with it."""
        while self._asked:
            self._asked.pop(0).result()

    def close(self) -> None:
        """Turn everything off, and end the threads; raises what has gone wrong."""
        for address in self._hosts:
            self._do(address, self._hosts[address].power_off)
        try:
            self.settle()
        finally:
            for thread in self._threads.values():
                thread.shutdown()

    def _do(self, address: str, what: Callable[[], None]) -> None:
        self._asked.append(self._threads[address].submit(what))

    def _first_boot(self, host: Host, user_data: bytes, keys: str) -> None:
        lines = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in self._variables.items())
        with host.path(f"{host.home}/.bashrc").open("a", encoding="utf-8") as file:
            file.write(lines)
        host.path(f"{host.home}/.ssh/authorized_keys").write_text(keys, encoding="utf-8")
        for number, script in enumerate(scripts(user_data), 1):
            file_there = host.path(f"{SCRIPTS}/part-{number:03}")
            file_there.parent.mkdir(parents=True, exist_ok=True)
            file_there.write_bytes(script)
            file_there.chmod(0o700)
        self._boot(host, SCRIPTS)

    def _boot(self, host: Host, folder: str) -> None:
        host.power_on()
        host.wait()
        each = f'for each in {folder}/*; do [ ! -x "$each" ] || "$each"; done'
        ran = host.run(["sh", "-c", f"setsid sh -c {shlex.quote(each)} >> {OUTPUT} 2>&1 < /dev/null &"])
        if ran.returncode:
            raise NoHost(f"{host.name} does not boot: {ran.stderr}")

    def _end(self, address: str) -> None:
        self._hosts[address].wipe()
        with self._lock:
            self._free.append(address)


def scripts(user_data: bytes) -> Iterator[bytes]:
    """Yield the shell scripts of user-data, in order; ValueError for anything else that cloud-init takes."""
    plain = gzip.decompress(user_data) if user_data.startswith(b"\x1f\x8b") else user_data
    if not plain or plain.startswith(b"#!"):
        yield from (plain,) if plain else ()
        return
    message = email.message_from_bytes(plain)
    if not message.is_multipart():
        raise ValueError("these machines run shell scripts only")
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            yield from scripts(payload)
