"""Hosts for tests: folders of this machine, in which commands really run, behind a pretend SSH on virtual time.

A host's HOME is its folder, so bash reads its own profile there and what recipes leave on a machine can be looked at.
Programs that users' commands call (`ray`) are scripts in its `bin`, which its .bashrc puts on the path for shells that
people use; those of the machine itself (`docker`) are in `sbin`, which every login finds.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.wire.ssh.session import Files, Line, LoginRefused, Ran, Target, Unreachable

_NOT_INTERACTIVE = "case $- in *i*) ;; *) return;; esac\n"


@dataclass(slots=True)
class Host:
    """One host. `down`: it does not answer. `refuses`: so many logins more it lets nobody in.

    `cut`: what breaks the connection: a command with this text in it, once; it runs all the same. `slow_s`: what each
    command takes. `losing`: so many copies more break the connection; `down_when_lost`: and it answers no more.
    """

    home: Path
    down: bool = False
    refuses: int = 0
    cut: str = ""
    slow_s: float = 0.01
    losing: int = 0
    down_when_lost: bool = False
    ran: list[str] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0
    sessions: int = 0

    @classmethod
    def at(cls, home: Path, **programs: str) -> Host:
        """Return a host with programs: name -> text of a script. `ray` is there, and writes down what it is told."""
        (home / "bin").mkdir(parents=True)
        (home / ".profile").write_text('export PATH="$HOME/sbin:$PATH"\n')
        (home / ".bashrc").write_text(f'{_NOT_INTERACTIVE}export PATH="$HOME/bin:$PATH"\n')
        host = cls(home)
        host.program("ray", 'echo "$@ id=$RAY_CLOUD_INSTANCE_ID head=$RAY_HEAD_IP" >> ~/ray.log')
        for name, text in programs.items():
            host.program(name, text)
        return host

    def program(self, name: str, text: str, folder: str = "bin") -> None:
        """Put a program there."""
        file = self.home / folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{text}\n")
        file.chmod(0o755)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file of the host, none when there is none."""
        file = self.home / name
        return file.read_text().splitlines() if file.exists() else []

    def ray_starts(self) -> list[str]:
        """Return what `ray start` was told, each time."""
        return [line for line in self.lines("ray.log") if line.startswith("start")]

    def reboot(self) -> None:
        """Have the host believe that it has booted since."""
        (mark,) = self.home.glob(".rayfleet/demo/node.*")
        mark.write_text(mark.read_text().replace("@", "@before-"))

    def bash(self, command: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ran:
        """Run a command line there."""
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **(env or {})}
        done = subprocess.run(
            ["/bin/bash", "-lc", command],
            env=environment,
            cwd=self.home,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Ran(done.returncode, tuple(done.stdout.splitlines()))


@dataclass(slots=True)
class FolderSsh:
    """The Ssh contract over such hosts, by address."""

    hosts: dict[str, Host]
    targets: list[Target] = field(default_factory=list)

    async def connect(self, target: Target, timeout_s: float = 10.0) -> FolderSession:
        """Log in, which takes some virtual time; a host that is down takes all of it."""
        self.targets.append(target)
        host = self.hosts.get(target.address)
        if host is None or host.down:
            await asyncio.sleep(timeout_s)
            raise Unreachable(f"{target.address} does not answer")
        await asyncio.sleep(0.5)
        if host.refuses:
            host.refuses -= 1
            raise LoginRefused(f"{target.address} does not take the key")
        host.sessions += 1
        return FolderSession(host)


@dataclass(slots=True)
class FolderSession:
    """One login."""

    host: Host
    broken: bool = False

    async def run(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float | None = None,
        on_line: Line | None = None,
    ) -> Ran:
        """Run it. Only one at a time on a host, or `most_at_once` tells."""
        del timeout_s, on_line
        host = self.host
        if self.broken or host.down:
            raise Unreachable("the connection is lost")
        host.ran.append(command)
        host.running += 1
        host.most_at_once = max(host.most_at_once, host.running)
        try:
            await asyncio.sleep(host.slow_s)
            ran = await asyncio.to_thread(host.bash, command, env, stdin)
        finally:
            host.running -= 1
        if host.cut and host.cut in command:
            host.cut, self.broken = "", True
            raise Unreachable("the connection broke")
        return ran

    async def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Make a file."""
        file = await asyncio.to_thread(self._made, path)
        await asyncio.to_thread(file.write_bytes, content)
        await asyncio.to_thread(file.chmod, mode)

    async def push(self, files: Files) -> None:
        """Copy, without heeding patterns."""
        if self.host.losing:
            self.host.losing -= 1
            self.host.down = self.host.down_when_lost
            raise Unreachable("the connection broke")
        target = await asyncio.to_thread(self._made, files.target)
        if files.source.endswith("/"):
            await asyncio.to_thread(shutil.copytree, files.source, target, dirs_exist_ok=True)
        else:
            await asyncio.to_thread(shutil.copy, files.source, target)

    async def pull(self, files: Files) -> None:
        """Nobody asks for it here."""
        raise AssertionError(files)

    async def close(self) -> None:
        """Log out."""
        self.host.sessions -= 1

    def _made(self, path: str) -> Path:
        file = Path(path.replace("~", str(self.host.home), 1))
        file.parent.mkdir(parents=True, exist_ok=True)
        return file
