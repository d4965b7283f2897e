"""`exec`, `attach` and `submit` on a cluster elsewhere: with a start before and an end after, where one wants them."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rayfleet.cli import elsewhere
from rayfleet.cli.terminal import fail

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home
    from rayfleet.launcher.remote.verbs import Keep

TIMEOUT_S = 1800.0

Start = Annotated[bool, typer.Option("--start", help="Elsewhere: bring the cluster up first, where it is not.")]
Stop = Annotated[bool, typer.Option("--stop", help="Elsewhere: end the cluster afterwards.")]
Tmux = Annotated[bool, typer.Option("--tmux", help="Elsewhere: in a tmux, which goes on without us.")]
Screen = Annotated[bool, typer.Option("--screen", help="Elsewhere: in a screen, which goes on without us.")]
Ports = Annotated[
    list[int] | None,
    typer.Option(
        "--port-forward", "-p", help="Elsewhere: this port of the head's, here; repeatable.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True)
class Visit:
    """What somebody wants to do on a head, and around it. `word`: which cluster."""

    word: str | None
    start: bool
    stop: bool
    tmux: bool
    screen: bool
    ports: tuple[int, ...] = ()

    def is_elsewhere(self) -> bool:
        """Say whether the cluster is elsewhere; refuses what only such clusters have, and contradictions."""
        from rayfleet.launcher.home import is_config
        from rayfleet.launcher.known import is_known
        from rayfleet.launcher.spec import resolve

        found = elsewhere.remote_home(self.word) is not None
        if not found and self.start and self.word is not None and (is_config(self.word) or is_known(self.word)):
            found = elsewhere.is_remote(resolve(self.word).spec)
        if not found and (self.start or self.stop or self.tmux or self.screen or self.ports):
            fail("--start, --stop, --tmux, --screen and --port-forward are for clusters on other computers")
        if self.tmux and self.screen:
            fail("--tmux and --screen contradict each other", "give one of them")
        if self.stop and (self.tmux or self.screen):
            fail("with --tmux or --screen nobody is here to end the cluster afterwards", "leave --stop out")
        return found

    def run(self, words: list[str]) -> NoReturn:
        """Run a command on the head; its exit code is ours."""
        from rayfleet.launcher.remote import verbs

        if not words:
            fail("exec needs a command", "rayfleet exec --help")
        home = self._up()
        with self._ending(home):
            raise typer.Exit(verbs.run(home, verbs.command(home, words, self._keep(), self.ports)))

    def stay(self, *, new: bool, node_ip: str) -> NoReturn:
        """Open a shell on the head, or on another machine of the cluster."""
        from rayfleet.launcher.remote import verbs

        home = self._up()
        keep = verbs.Keep(self.tmux, self.screen, new)
        raise typer.Exit(verbs.run(home, verbs.shell(home, keep, self.ports, node_ip)))

    def submit(self, script: Path, arguments: list[str], *, as_job: bool, no_wait: bool) -> NoReturn:
        """Copy a script to the head and run it there."""
        from rayfleet.launcher.remote import verbs

        if no_wait and not as_job:
            fail("--no-wait is for jobs", "--job --no-wait, or --tmux")
        home = self._up()
        target = verbs.script_there(script.name)
        # The shell there opens `~`; everything else is a word of its own.
        program = f"python ~/{shlex.quote(script.name)} {shlex.join(arguments)}".rstrip()
        waits = "--no-wait " if no_wait else ""
        line = f"ray job submit {waits}-- {program}" if as_job else program
        with self._ending(home):
            code = verbs.run(home, verbs.copy(home, str(script), target, up=True))
            if code:
                fail(f"{script} could not be copied to the head", code=code)
            raise typer.Exit(verbs.run(home, verbs.command(home, [line], self._keep(), self.ports)))

    def _keep(self) -> Keep:
        from rayfleet.launcher.remote.verbs import Keep

        return Keep(self.tmux, self.screen)

    def _up(self) -> Home:
        """Return the cluster; brought up first where that is asked for."""
        if self.start and elsewhere.remote_home(self.word) is None:
            from rayfleet.launcher.spec import resolve

            elsewhere.up(resolve(self.word), elsewhere.Asked(None, None, False, False, True), TIMEOUT_S)
        home = elsewhere.remote_home(self.word)
        if home is None:
            fail("there is no such cluster", "rayfleet list shows those that are known")
        return home

    @contextmanager
    def _ending(self, home: Home) -> Generator[None]:
        """End the cluster at the end, where that is asked for: also when the connection broke, or nothing was run."""
        try:
            yield
        finally:
            if self.stop:
                from rayfleet.launcher.remote.down import as_stored

                ending = elsewhere.Ending(workers_only=False, keep_min_workers=False, forget=False)
                elsewhere.down(as_stored(home), ending, TIMEOUT_S, as_json=False)
