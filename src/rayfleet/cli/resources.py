"""What `up`, `down`, `status`, `logs`, `exec`, `attach` and `submit` are for clusters in Kubernetes."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from rayfleet.cli.terminal import EXIT_INTERRUPTED, complain, fail, print_json
from rayfleet.launcher.kube import down as downs
from rayfleet.launcher.kube import kubectl
from rayfleet.launcher.kube import suspend as suspends
from rayfleet.launcher.kube import up as ups
from rayfleet.launcher.kube.choose import Wanted, chosen
from rayfleet.launcher.kube.look import Found, look
from rayfleet.launcher.kube.reach import reached
from rayfleet.launcher.kube.view import lines as view_lines
from rayfleet.wire.kube.objects import Key

if TYPE_CHECKING:
    from rayfleet.launcher.kube.manifest import Manifest
    from rayfleet.launcher.kube.target import Target
    from rayfleet.launcher.kube.view import View
    from rayfleet.wire.kube.kube import Kube

_REFRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Whose log: a pod (None: the head's) and a container of it (None: the autoscaler's, else Ray's)."""

    node: str | None = None
    container: str | None = None


def refuse_of_up(*, named: bool, foreground: bool, dry_run: bool) -> None:
    """Refuse what a file of resources cannot be asked for."""
    if named or foreground:
        fail("--name and --foreground are for clusters of this machine", "its name is in the file")
    if dry_run:
        fail("--dry-run is not for clusters in Kubernetes", "kubectl diff -f FILE, or rayfleet plan FILE")


def up(wanted: Wanted, *, yes: bool, timeout_s: float, as_json: bool) -> None:
    """Apply a file, and follow it until everything is there."""
    stream = sys.stderr if as_json else sys.stdout

    def tell(line: str) -> None:
        print(line, file=stream, flush=True)

    async def work(kube: Kube, namespace: str) -> View:
        target, manifest = await chosen(kube, namespace, wanted)
        if manifest is not None:
            await _apply(kube, manifest, yes=yes, tell=tell)
        return await ups.until_ready(kube, target, tell, timeout_s)

    try:
        seen = reached(wanted.reached_by, work)
    except KeyboardInterrupt:
        complain("interrupted; what was applied goes on coming up", "rayfleet status says how it is, down ends it")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(seen.as_json())
    else:
        print(f"{seen.kind} {seen.key} is {'suspended' if seen.suspended else seen.state or 'ready'}")


async def _apply(kube: Kube, manifest: Manifest, *, yes: bool, tell: ups.Tell) -> None:
    """Say what changes, ask where something that exists would change, and do it."""
    steps = await ups.steps(kube, manifest)
    for line in [line for step in steps for line in step.lines] or ["nothing to change"]:
        tell(line)
    if any(step.changes.lines for step in steps) and not yes:
        _ask()
    await ups.carry_out(kube, steps)


def _ask() -> None:
    if not sys.stdin.isatty():
        fail("nothing was changed: there is nobody to ask", "--yes changes it without asking")
    if not typer.confirm("change it?"):
        fail("nothing was changed")


def down(wanted: Wanted, *, timeout_s: float, as_json: bool) -> None:
    """Delete a resource, and what its file has beside it; wait until no pod is left."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    async def work(kube: Kube, namespace: str) -> downs.Ended:
        target, manifest = await chosen(kube, namespace, wanted)
        beside = manifest.beside if manifest is not None else ()
        return await downs.bring_down(kube, target, beside, tell, timeout_s)

    try:
        ended = reached(wanted.reached_by, work)
    except KeyboardInterrupt:
        complain("interrupted; what was deleted goes on ending", "kubectl get pods says what is left")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(ended.as_json())
        return
    subject = f"{ended.target.kind.name} {ended.target.key}"
    gone = f"is gone, with {ended.pods} pods, in {ended.took_s:.1f} s"
    print(f"{subject} {gone if ended.existed else 'did not exist'}")


def set_suspended(wanted: Wanted, timeout_s: float, *, suspended: bool, as_json: bool) -> None:
    """Suspend what a word or file means, or take that back; wait until no pod is left, or everything is there."""
    stream = sys.stderr if as_json else sys.stdout

    def tell(line: str) -> None:
        print(line, file=stream, flush=True)

    async def work(kube: Kube, namespace: str) -> View:
        target, _ = await chosen(kube, namespace, wanted)
        return await suspends.set_suspended(kube, target, tell, timeout_s, suspended=suspended)

    try:
        seen = reached(wanted.reached_by, work)
    except KeyboardInterrupt:
        complain("interrupted; what was asked for goes on", "rayfleet status says how it is")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(seen.as_json())
    else:
        print(f"{seen.kind} {seen.key} is {'suspended' if seen.suspended else seen.state or 'ready'}")


def status(wanted: Wanted, *, watch: bool, as_json: bool) -> None:
    """Print head, groups and conditions."""

    async def work(kube: Kube, namespace: str) -> Found:
        target, _ = await chosen(kube, namespace, wanted)
        return await look(kube, target)

    shown = ""
    while True:
        seen = reached(wanted.reached_by, work).view
        text = "\n".join(view_lines(seen))
        if as_json:
            print_json(seen.as_json())
        elif text != shown:
            print(text, end="\n\n" if watch else "\n")
        if not watch:
            return
        shown = text
        sys.stdout.flush()
        time.sleep(_REFRESH_S)


def logs(wanted: Wanted, part: Part, lines: int, *, follow: bool) -> None:
    """Print the end of a container's log."""

    async def work(kube: Kube, namespace: str) -> tuple[str, list[str]]:
        target, found = await _found(kube, namespace, wanted)
        pod = kubectl.pod_named(found, part.node or kubectl.HEAD)
        container = kubectl.log_container(pod, part.container)
        if follow:
            return "", kubectl.follow_command(target, pod, container, lines)
        return await kube.log(Key(target.key.namespace, pod.name), container, tail=lines), []

    text, command = reached(wanted.reached_by, work)
    if command:
        _become(command)
    print(text, end="" if text.endswith("\n") or not text else "\n")


def run_inside(wanted: Wanted, words: list[str]) -> NoReturn:
    """Run a command in the head's pod; one word is a line of shell."""
    if not words:
        fail("there is no command to run", "rayfleet exec raycluster.yaml 'ray status'")
    line = words[0] if len(words) == 1 else shlex.join(words)
    _in_head(wanted, ["/bin/bash", "-c", line])


def open_shell(wanted: Wanted) -> NoReturn:
    """Open a shell in the head's pod."""
    _in_head(wanted, ["/bin/bash"], terminal=True)


def ask_autoscaler(wanted: Wanted, words: list[str]) -> NoReturn:
    """Ask the record of the autoscaler beside a head with a command of ours, which is run there."""
    target, found = reached(wanted.reached_by, lambda kube, namespace: _found(kube, namespace, wanted))
    # Only a screen that is made anew wants a terminal: what one prints for programs would have other line ends.
    live = words[0] == "top" and sys.stdin.isatty() and sys.stdout.isatty()
    _become(kubectl.ask_command(target, kubectl.running_head(found), words, terminal=live))


def submit(wanted: Wanted, words: list[str], *, no_wait: bool) -> NoReturn:
    """Send a script into the head's pod and submit it there as a job; its exit code is ours."""
    if not words:
        fail("there is no script to submit", "rayfleet submit raycluster.yaml script.py")
    script = Path(words[0])
    if not script.is_file():
        fail(f"there is no script {script}", f"looked in {Path.cwd()}" if not script.is_absolute() else "")
    target, found = reached(wanted.reached_by, lambda kube, namespace: _found(kube, namespace, wanted))
    port = kubectl.dashboard_port(found)
    line = kubectl.shell_line(script, words[1:], port, no_wait=no_wait)
    head = kubectl.running_head(found)
    command = kubectl.exec_command(target, head, ["/bin/bash", "-c", line], terminal=False)
    with script.open("rb") as file:
        os.dup2(file.fileno(), sys.stdin.fileno())
    _become(command)


def _in_head(wanted: Wanted, command: list[str], *, terminal: bool = False) -> NoReturn:
    target, found = reached(wanted.reached_by, lambda kube, namespace: _found(kube, namespace, wanted))
    interactive = terminal or (sys.stdin.isatty() and sys.stdout.isatty())
    _become(kubectl.exec_command(target, kubectl.running_head(found), command, terminal=interactive))


async def _found(kube: Kube, namespace: str, wanted: Wanted) -> tuple[Target, Found]:
    target, _ = await chosen(kube, namespace, wanted)
    return target, await look(kube, target)


def _become(command: list[str]) -> NoReturn:
    from rayfleet.cli.work import become

    become(command, dict(os.environ))
