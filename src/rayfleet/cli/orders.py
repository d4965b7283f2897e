"""`scale`, `drain` and `set`: what people order; the loop answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, add, on_head, pool_names
from rayfleet.cli.terminal import EXIT_INTERRUPTED, fail, print_json, waiting

if TYPE_CHECKING:
    from rayfleet.launcher.command import Answer
    from rayfleet.launcher.home import Home
    from rayfleet.launcher.progress import Progress

Wait = Annotated[bool, typer.Option("--wait", help="Return when it is so, not when it is ordered.")]
Why = Annotated[str, typer.Option("--why", help="Kept with the order, for whoever reads the history.")]
_SCALE_WORDS = 2


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, scale, cls=on_head(2))
    add(app, drain, cls=on_head(1))
    add(app, set_, "set", cls=on_head(1))


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
        ordering = command.scale(home, rest[0], _whole(rest[1]), why)
        answer = _seen_through(home, ordering, f"scaling {rest[0]} to {rest[1]}") if wait else asyncio.run(ordering)
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
    ordering = command.drain(home, rest[0], why)
    _print(_seen_through(home, ordering, f"draining {rest[0]}") if wait else asyncio.run(ordering), as_json)


def set_(
    words: Annotated[list[str], typer.Argument(metavar="[CLUSTER] KEY=VALUE...", show_default=False)],
    clear: Annotated[
        bool, typer.Option("--clear", help="As the configuration says, again (KEY without a value).")
    ] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Change a limit or preference of a running cluster; it stands until it is changed again, or --clear.

    Examples:
      rayfleet set idle_timeout_s=30
      rayfleet set max_workers=10 cpu4.max_workers=4
      rayfleet set upscaling_speed=null                    null: no limit
      rayfleet set buffer:spare=5                          or 20%: how much a buffer keeps free
      rayfleet set --clear max_workers cpu4.max_workers    as the cluster's file says, again
    """
    from rayfleet.launcher import command
    from rayfleet.launcher.known import choose, split

    if clear:
        cluster, keys = split(words, 1)
        if any("=" in key for key in keys):
            fail("set --clear needs KEY without a value", "for example: rayfleet set --clear idle_timeout_s")
        _print(asyncio.run(command.unset(choose(cluster), keys, why)), as_json)
        return
    cluster = words[0] if "=" not in words[0] else None
    pairs = words[1:] if cluster else words
    if not pairs or any("=" not in pair for pair in pairs):
        fail("set needs KEY=VALUE", "for example: rayfleet set idle_timeout_s=30")
    changes = [(key.strip(), value) for key, _, value in (pair.partition("=") for pair in pairs)]
    _print(asyncio.run(command.change(choose(cluster), changes, why)), as_json)


def _seen_through(home: Home, ordering: Coroutine[Any, Any, Answer], text: str) -> Answer:
    """Order something, and wait until it is so; who stops waiting takes nothing back, and is told so."""
    from rayfleet.launcher.command import until_done

    given: list[Answer] = []

    async def seen(progress: Progress) -> Answer:
        writing = asyncio.ensure_future(ordering)
        try:
            given.append(await asyncio.shield(writing))
        except asyncio.CancelledError:  # Ctrl-C while it is written: it is, or it is not, and which is told
            given.append(await writing)
            raise
        return await until_done(home, given[0], progress)

    try:
        with waiting(text) as progress:
            return asyncio.run(seen(progress))
    except KeyboardInterrupt:
        if not given:
            raise
        about = given[0].orders[0].target
        fail("interrupted; the order stands", f"rayfleet why {home.name} {about}", EXIT_INTERRUPTED)


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
