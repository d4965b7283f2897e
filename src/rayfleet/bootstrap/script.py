"""A recipe without files as one shell script, which a machine runs by itself at every boot. Pure.

Whoever may describe the machine can read the script, and with it the cluster's token: see the decision note "How a
machine elsewhere starts".
"""

from __future__ import annotations

import base64
import gzip
import shlex
from typing import Final

from rayfleet.bootstrap.rendering import BOOT, at, command_line, folder, read_mark, write_line, write_mark
from rayfleet.bootstrap.steps import Put, Recipe, Run, Step, Where
from rayfleet.contracts import StartScript

TRIES: Final = 3
PAUSE_S: Final = 10
SIZE_MAX: Final = 12_000
"""Bytes. Clouds take 16 KB at least; the rest is for what a provider adds and for base64's third where it counts."""

_HEAD: Final = """\
set -u
again=
say() { echo "rayfleet: $*"; }
step() {
  local name="$1" tries="$2" try=1 code; shift 2
  say "$(date -u +%FT%TZ) $name"
  while :; do
    "$@" < /dev/null && return 0
    code=$?
    [ "$try" -ge "$tries" ] && { say "$name ended with $code; given up"; exit "$code"; }
    say "$name ended with $code; again in {pause} s"
    sleep {pause}; try=$((try + 1))
    [ -z "$again" ] || /bin/bash -c "$again" < /dev/null
  done
}
export RAYFLEET_ADDRESS="${RAYFLEET_ADDRESS:-}"
"""


class TooLarge(ValueError):
    """The script does not fit into a machine's user-data; it has to come over SSH."""


def start_script(recipe: Recipe, most: int = SIZE_MAX) -> StartScript:
    """Return the recipe for a machine that carries it out itself; packed where it has more than `most` bytes.

    Raises:
        TooLarge: even packed it is.
        ValueError: it copies files, which only SSH can do.
    """
    if recipe.has_files:
        raise ValueError("a recipe that copies files cannot be carried out by the machine itself")
    text = script(recipe)
    if len(text.encode()) > most:
        packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
        text = f'eval "$(echo {packed} | base64 -d | gunzip)"'
        if len(text) > most:
            raise TooLarge(f"the set-up takes {len(text)} bytes of user-data, at most {most} are possible")
    return StartScript(("/bin/bash", "-c", text))


def script(recipe: Recipe) -> str:
    """Return the script as text. It does nothing on a machine whose node was started since its last boot."""
    return "\n".join(
        (
            _HEAD.replace("{pause}", str(PAUSE_S)).rstrip(),
            f"mkdir -p -m 700 {folder(recipe)}",
            f'mark="$({read_mark(recipe)} 2>/dev/null)"',
            'case "$mark" in',
            f"  *setup={recipe.setup_digest}*) ;;",
            "  *)",
            *_lines(recipe, recipe.setup),
            _marking(recipe, started=False),
            "  ;;",
            "esac",
            f'boot="$({at(recipe, f"echo {BOOT}", Where.NODE)})"',
            'case "$mark" in',
            f'  *start={recipe.start_digest}@"$boot"*) say "started before" ;;',
            "  *)",
            *_lines(recipe, recipe.start),
            _marking(recipe, started=True),
            "  ;;",
            "esac",
            'touch "$RAYFLEET_MACHINE_DIR/started"',
            "",
        )
    )


def _lines(recipe: Recipe, steps: tuple[Step, ...]) -> list[str]:
    return [_line(recipe, step) for step in steps]


def _line(recipe: Recipe, step: Step) -> str:
    if isinstance(step, Run):
        line = _step(step.name, command_line(recipe, step))
        if step.tidying is None:
            return line
        return f"again={shlex.quote(command_line(recipe, step.tidying))}\n{line}\nagain="
    if isinstance(step, Put):
        raise TypeError(step.name)
    command, content = write_line(recipe, step)
    # A function, since printf is bash's own there: the content is in no command line, which all users could see.
    put = f"put() {{ printf %s {shlex.quote(''.join(content.split()))} | {{ {command}; }}; }}"
    return f"{put}\nstep {shlex.quote(step.name)} {TRIES} put"


def _step(name: str, command: str) -> str:
    return f"step {shlex.quote(name)} {TRIES} /bin/bash -c {shlex.quote(command)}"


def _marking(recipe: Recipe, *, started: bool) -> str:
    return _step("mark", write_mark(recipe, "", started=started))
