"""One host: a process tree with its own network, files, name and SSH server. Programs of util-linux do the work."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rayfleet.providers.process import procfs
from rayfleet.testing.hosts import image
from rayfleet.testing.hosts.network import Network

PATIENCE_S: Final = 30.0
_STEP_S: Final = 0.02


class HostFailed(Exception):
    """A host did not start, or not end; the text has its last words."""


class Host:
    """Made by `Hosts`. Number 1 is the first."""

    def __init__(self, folder: Path, number: int, network: Network, make_files: Callable[[Host], None]) -> None:
        """Write its files; it is off."""
        self.folder = folder
        self.number = number
        self.name = f"host{number}"
        self.address = network.address(number)
        self._network = network
        self._make_files = make_files
        self._process: subprocess.Popen[bytes] | None = None
        make_files(self)

    @property
    def home(self) -> str:
        """Return where root lives there."""
        return image.home(self.name)

    def path(self, path: str) -> Path:
        """Return where this machine finds a file that the host has written; not those of /tmp, /run and /dev/shm."""
        return self.folder / "upper" / path.removeprefix("/")

    def power_on(self) -> None:
        """Begin to start; `wait` says when it answers."""
        if self._process is not None:
            return
        (self.folder / image.BOOT_ID).write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        isolate = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("nsenter", f"--net=/run/netns/{self._network.namespace(self.number)}"),
                    *("unshare", *isolate, "sh", "-c", image.boot_script(self.folder, self.name, self.address)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until its SSH server answers. HostFailed: it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise HostFailed(f"{self.name} did not start: {log[-2000:]}")
            time.sleep(_STEP_S)

    def answers(self) -> bool:
        """Say whether an SSH server greets at its address."""
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def power_off(self) -> None:
        """End all of its processes at once; its files stay."""
        if self._process is None:
            return
        init, outer = self.init(), procfs.stat(self._process.pid)
        for key in (outer.key if outer else None, init):
            if key is not None:
                procfs.send_signal(key, signal.SIGKILL)
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + PATIENCE_S
        while init is not None and procfs.stat(init.pid) is not None and procfs.is_alive(init):
            if time.monotonic() > deadline:
                raise HostFailed(f"{self.name} did not end")
            time.sleep(_STEP_S)

    def power_cycle(self) -> None:
        """End all that runs there and start it anew: same files and keys, another boot."""
        self.power_off()
        self.power_on()
        self.wait()

    def replace(self) -> None:
        """Put another machine in its place: same name and address, none of its files, another host key."""
        self.wipe()
        self.power_on()
        self.wait()

    def wipe(self) -> None:
        """End all that runs there and leave a machine in its place that was never on."""
        self.power_off()
        shutil.rmtree(self.folder)
        self._make_files(self)

    def cut_off(self) -> None:
        """Pull its cable: it runs on and reaches nobody."""
        self._network.connect(self.number, connected=False)

    def reconnect(self) -> None:
        """Plug it in again, and wait until it answers."""
        self._network.connect(self.number, connected=True)
        self.wait()

    def init(self) -> procfs.ProcessKey | None:
        """Return its first process as this machine numbers it; None when it is off."""
        if self._process is None or self._process.poll() is not None:
            return None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        except OSError:
            return None
        found = procfs.stat(int(children[0])) if children else None
        return found.key if found else None

    def processes(self) -> list[int]:
        """Return all of its processes, as this machine numbers them, without its first."""
        init = self.init()
        if init is None:
            return []
        own = _namespace(init.pid)
        found = (key for key, each in procfs.all_stats().items() if each.alive and key != init.pid)
        return [pid for pid in found if _namespace(pid) == own]

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program there, not over SSH, and wait for it."""
        init = self.init()
        if init is None:
            raise HostFailed(f"{self.name} is off")
        inside = ("--mount", "--uts", "--net", "--pid", "--ipc", "--root", f"--wdns={self.home}")
        words = [f"{key}={value}" for key, value in image.variables(self.name).items()]
        return subprocess.run(
            ["nsenter", f"--target={init.pid}", *inside, "env", "-i", *words, *argv],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""
