"""A container made of the kernel's own parts: a process tree with its own root, process ids, host name and network.

The image is this machine: an overlay over `/`, so that whatever a container writes is its own and is deleted with it.
Programs of util-linux do the work (unshare, nsenter, mount), and the kernel ends all of it with its first process, and
that one with the kubelet. Needs root.
"""

import asyncio
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.providers.process import procfs

EMPTY = ("/dev/shm", "/tmp/ray")  # noqa: S108 - real Ray of this machine writes there, and that is in no image
NOT_STARTED = 128


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, seen at a path of the container."""

    source: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to run where: `folder` gets what the container writes; `hosts` is its /etc/hosts, changed in place."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    network: str
    hostname: str
    folder: Path
    log: Path
    hosts: Path
    mounts: Sequence[Mount] = ()
    working_dir: str = "/"


class Container:
    """One start of a container."""

    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it ends with the thread that runs this loop, even by kill -9."""
        for name in ("root", "upper", "work"):
            (self.spec.folder / name).mkdir(parents=True, exist_ok=True)
        isolate = ("--mount", "--pid", "--uts", "--fork", "--kill-child=KILL")
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL"),
                *("nsenter", f"--net=/run/netns/{self.spec.network}"),
                *("unshare", *isolate, "sh", "-c", setup_script(self.spec)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait until it ends and return its code, 128 + n after signal n."""
        if self._process is None:
            return NOT_STARTED
        code = await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self.spec.folder, ignore_errors=True)
        return code if code >= 0 else NOT_STARTED - code

    def first_process(self) -> procfs.ProcessKey | None:
        """Return the container's process 1 as this machine numbers it; None when it does not run."""
        if self._process is None or self._process.returncode is not None:
            return None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        except OSError:
            return None
        found = procfs.stat(int(children[0])) if children else None
        return found.key if found else None

    def send(self, signum: signal.Signals) -> None:
        """Signal its process 1; nothing happens where it does not run."""
        key = self.first_process()
        if key is not None:
            procfs.send_signal(key, signum)

    async def stop(self, grace_s: float) -> None:
        """End it: politely, and after its grace for good."""
        self.send(signal.SIGTERM)
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), max(grace_s, 0.01))
            except TimeoutError:
                self.send(signal.SIGKILL)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs something inside of it. ProcessLookupError: it does not run."""
        key = self.first_process()
        if key is None:
            raise ProcessLookupError("the container does not run")
        inside = ("--mount", "--uts", "--net", "--pid", "--root", "--wd=/")
        return ["nsenter", f"--target={key.pid}", *inside, *_inner(self.spec, argv)]


def setup_script(spec: ContainerSpec) -> str:
    """Return the shell script that makes the container's root, and becomes its first process."""
    root, upper, work = (shlex.quote(str(spec.folder / name)) for name in ("root", "upper", "work"))
    steps = [
        "set -e",
        f"mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /sys {root}/sys",
        f"mount --rbind /dev {root}/dev",
        *(f"mkdir -p {root}{path} && mount -t tmpfs tmpfs {root}{path}" for path in EMPTY),
        # A name that is in no hosts file does not exist: nobody waits for a server that cannot be reached.
        f"rm -f {root}/etc/resolv.conf && echo nameserver 127.0.0.1 >{root}/etc/resolv.conf",
        f"mount --bind {shlex.quote(str(spec.hosts))} {root}/etc/hosts",
        f"hostname {shlex.quote(spec.hostname)}",
        *(line for mount in sorted(spec.mounts, key=lambda mount: mount.path) for line in _bind(mount, root)),
        shlex.join(["exec", "chroot", str(spec.folder / "root"), *_inner(spec, spec.argv)]),
    ]
    return "\n".join(steps)


def _bind(mount: Mount, root: str) -> list[str]:
    # Links (/var/run is one) have to be followed inside of the container's root.
    found = f"target={root}$(chroot {root} readlink -m {shlex.quote(mount.path)})"
    place = 'mkdir -p "$target"' if mount.source.is_dir() else 'mkdir -p "$(dirname "$target")" && : >>"$target"'
    bound = [found, place, f'mount --bind {shlex.quote(str(mount.source))} "$target"']
    return [*bound, 'mount -o remount,bind,ro "$target"'] if mount.read_only else bound


def _inner(spec: ContainerSpec, argv: Sequence[str]) -> list[str]:
    variables = [f"{name}={value}" for name, value in spec.environment.items()]
    return ["env", "-i", f"--chdir={spec.working_dir}", *variables, *argv]
