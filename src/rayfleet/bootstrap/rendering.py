"""Steps as command lines for the machine: with profiles and exports, in the container or beside it. Pure."""

from __future__ import annotations

import base64
import re
import shlex
from dataclasses import dataclass
from typing import Final

from rayfleet.bootstrap.docker import inside
from rayfleet.bootstrap.steps import Recipe, Run, Shell, Where, Write
from rayfleet.config.secrets import redacted
from rayfleet.wire.node_end import OWN, own_folder

BOOT: Final = "$(cat /proc/sys/kernel/random/boot_id)/$(sed 's/.*) //' /proc/1/stat | cut -d' ' -f20)"
"""Shell that tells one boot from the next, of a machine as well as of a container."""

_PROFILE: Final = "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi"
_MARK: Final = f"node.{OWN}"
_JOB_CONTROL: Final = ("bash: cannot set terminal process group", "bash: no job control in this shell")
"""What an interactive shell without a terminal has to say."""


_FAREWELLS: Final = ("exit", "logout")
"""And with what it leaves when a command says `exit`."""


_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a machine knows of its own past. "" : nothing of the kind."""

    boot: str = ""
    setup: str = ""
    start: str = ""
    batch: str = ""

    def is_set_up(self, recipe: Recipe) -> bool:
        """Say whether the set-up was done, and is still the wanted one."""
        return self.setup == recipe.setup_digest

    def is_started(self, recipe: Recipe, batch: str) -> bool:
        """Say whether the node was started since the last boot, for this launch, as it is wanted now."""
        return self.start == f"{recipe.start_digest}@{self.boot}" and self.is_up(batch)

    def is_up(self, batch: str) -> bool:
        """Say whether a node was started since the last boot, for this launch, as wanted now or otherwise."""
        return bool(self.boot) and self.start.endswith(f"@{self.boot}") and self.batch == batch


def folder(recipe: Recipe) -> str:
    """Return the folder of the node's own files, on the machine and in its container, as shell."""
    return own_folder(recipe.cluster)


def command_line(recipe: Recipe, step: Run) -> str:
    """Return what the machine's shell is to run for a step."""
    if step.shell is Shell.PLAIN:
        return at(recipe, step.command, step.on)
    script = "\n".join((_PROFILE, *recipe.exports, step.command))
    # Interactive, as it is for whoever types it: what users add to .bashrc often stands behind a check for that.
    return at(recipe, f"exec /bin/bash --login -i -c {shlex.quote(script)}", step.on)


def write_line(recipe: Recipe, step: Write) -> tuple[str, str]:
    """Return the command that makes a file, and what goes to its standard input: no content is in the command."""
    path = f'"$HOME"{shlex.quote(step.path[1:])}' if step.path.startswith("~/") else shlex.quote(step.path)
    text = "\n".join(
        (
            f'umask 077; file={path}; mkdir -p -- "$(dirname -- "$file")" || exit 1',
            f'base64 -d > "$file.new" && chmod {step.mode:o} "$file.new" && mv -f -- "$file.new" "$file"',
        )
    )
    content = base64.encodebytes(step.content).decode()
    if step.on is Where.NODE and recipe.container:
        return inside(recipe.container, text, stdin=True), content
    return text, content


def read_mark(recipe: Recipe) -> str:
    """Return the command that prints the node's mark; see `parse_mark`."""
    own = f"cat {folder(recipe)}/{_MARK} 2>/dev/null; echo boot={BOOT}"
    return at(recipe, own, Where.NODE)


def parse_mark(lines: tuple[str, ...]) -> Mark:
    """Read what that command has printed; anything that it does not know is left out."""
    pairs = dict(line.partition("=")[::2] for line in lines)
    return Mark(*(pairs.get(name, "") for name in ("boot", "setup", "start", "batch")))


def write_mark(recipe: Recipe, batch: str, *, started: bool, setup: str = "") -> str:
    """Return the command that leaves the mark. Not `started`: only set up, whatever ran before.

    `setup`: which set-up was done; "": this one.
    """
    lines = [f"setup={setup or recipe.setup_digest}"]
    if started:
        lines += [f"start={recipe.start_digest}@{BOOT}", f"batch={batch}"]
    file = f"{folder(recipe)}/{_MARK}"
    text = " ".join(f'"{line}"' for line in lines)
    own = f"mkdir -p -m 700 {folder(recipe)} && printf '%s\\n' {text} > {file}.new && mv -f {file}.new {file}"
    return at(recipe, own, Where.NODE)


def at(recipe: Recipe, command: str, where: Where) -> str:
    """Return a command of the machine that runs `command` where it belongs."""
    if where is Where.NODE and recipe.container:
        return inside(recipe.container, command)
    return command


def alone(recipe: Recipe, command: str, patience_s: float) -> str:
    """Return the command under the machine's lock, so that one which outlived its connection never runs beside it."""
    own, lock = folder(recipe), f"{folder(recipe)}/lock.{OWN}"
    quoted = shlex.quote(command)
    return (
        f"mkdir -p -m 700 {own}; if command -v flock >/dev/null; "
        # -o: the lock is not handed to what the command leaves running.
        f"then flock -o -w {patience_s:.0f} {lock} /bin/bash -c {quoted}; else /bin/bash -c {quoted}; fi"
    )


def telling(lines: tuple[str, ...], most: int = 50) -> tuple[str, ...]:
    """Return the last lines of a command's output that say something, without the secrets in them."""
    plain = [_COLOURS.sub("", line) for line in lines]
    found = [line for line in plain if line.strip() and not line.startswith(_JOB_CONTROL)]
    if found and found[-1] in _FAREWELLS:
        del found[-1]
    return tuple(map(redacted, found[-most:]))
