"""`scale`, `drain` and `set`: what people order; the loop answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, add, pool_names
from rayfleet.cli.terminal import fail, print_json, waiting

if TYPE_CHECKING:
    from rayfleet.launcher.command import Answer

Wait = Annotated[bool, typer.Option("--wait", help="Return when it is so, not when it is ordered.")]
Why = Annotated[str, typer.Option("--why", help="Kept with the order, for whoever reads the history.")]
_SCALE_WORDS = 2


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, scale)
    add(app, drain)
    add(app, set_, "set")


def scale(
    words: Annotated[
        list[str], typer.Argument(metavar="[CLUSTER] POOL N", autocompletion=pool_names, show_default=False)
    ],
    clear: Annotated[bool, typer.Option("--clear", help="Let the pool follow its demand again (without N).")] = False,
    why: Why = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Hold a pool at a number of machines until --clear.

    Examples:
      rayfleet scale cpu4 3            three machines of pool cpu4, whatever the demand
      rayfleet scale second cpu4 0     in the cluster `second`
      rayfleet scale cpu4 --clear      as the demand says, as before
    """
    from rayfleet.launcher import command
    from rayfleet.launcher.known import choose, split

    needed = _SCALE_WORDS - clear
    cluster, rest = split(words, needed)
    if len(rest) != needed:
        fail("scale needs a pool and a number" if not clear else "scale --clear needs a pool", "rayfleet scale --help")
    home = choose(cluster)
    if clear:
        answer = asyncio.run(command.unscale(home, rest[0], why))
    else:
        count = _whole(rest[1])
        with waiting(f"scaling {rest[0]} to {count}") as progress:
            answer = asyncio.run(command.scale(home, rest[0], count, why, progress if wait else None))
    _print(answer, as_json)


def drain(
    words: Annotated[list[str], typer.Argument(metavar="[CLUSTER] NODE", show_default=False)],
    why: Why = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Empty a machine and give it back: nothing new starts on it, what runs may finish until the deadline.

    Examples:
      rayfleet drain m3                by the name that status shows
      rayfleet drain 9f4c21            by (the start of) Ray's node id
    """
    from rayfleet.launcher import command
    from rayfleet.launcher.known import choose, split

    cluster, rest = split(words, 1)
    if len(rest) != 1:
        fail("drain needs one machine", "rayfleet status names them")
    home = choose(cluster)
    with waiting(f"draining {rest[0]}") as progress:
        answer = asyncio.run(command.drain(home, rest[0], why, progress if wait else None))
    _print(answer, as_json)


def set_(
    words: Annotated[list[str], typer.Argument(metavar="[CLUSTER] KEY=VALUE...", show_default=False)],
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Change a limit or preference of a running cluster; it stands until it is changed again.

    Examples:
      rayfleet set idle_timeout_s=30
      rayfleet set max_workers=10 cpu4.max_workers=4
      rayfleet set upscaling_speed=null      null: no limit
    """
    from rayfleet.launcher import command
    from rayfleet.launcher.known import choose

    cluster = words[0] if "=" not in words[0] else None
    pairs = words[1:] if cluster else words
    if not pairs or any("=" not in pair for pair in pairs):
        fail("set needs KEY=VALUE", "for example: rayfleet set idle_timeout_s=30")
    changes = [(key.strip(), value) for key, _, value in (pair.partition("=") for pair in pairs)]
    _print(asyncio.run(command.change(choose(cluster), changes, why)), as_json)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        fail(f"{text!r} is not a number of machines", "give a whole number, 0 or more")


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        print_json(answer.as_json())
        return
    print(answer.text)
