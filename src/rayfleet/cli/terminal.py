"""What every command prints alike: errors, tables, JSON, and something that moves while one waits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import typer

from rayfleet.launcher.progress import Progress, Step, unseen

EXIT_NOT_OK = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_RED, _DIM, _BOLD, _PLAIN = "\033[31;1m", "\033[2m", "\033[1m", "\033[0m"


def colours(stream: TextIO) -> bool:
    """Say whether `stream` is a terminal whose user has nothing against colours."""
    return stream.isatty() and "NO_COLOR" not in os.environ


def complain(message: str, hint: str = "") -> None:
    """Print one readable block about what went wrong, and what to do."""
    red, dim, plain = (_RED, _DIM, _PLAIN) if colours(sys.stderr) else ("", "", "")
    first, *rest = message.splitlines() or [""]
    lines = [f"{red}error:{plain} {first}", *(f"       {line}" for line in rest)]
    lines += [f"{dim} hint:{plain} {line}" for line in hint.splitlines()]
    print("\n".join(lines), file=sys.stderr)


def fail(message: str, hint: str = "", code: int = EXIT_USAGE) -> NoReturn:
    """Print the block and end the command."""
    complain(message, hint)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Print `value` as JSON: indented for people, on one line for programs."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, none: str) -> None:
    """Print rows under their columns, or the sentence `none` when there are no rows."""
    if not rows:
        print(none)
        return
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    bold, plain = (_BOLD, _PLAIN) if colours(sys.stdout) else ("", "")
    for number, row in enumerate((columns, *rows)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(f"{bold}{line}{plain}" if number == 0 else line)


def until_interrupted(watch: Callable[[], Any]) -> None:
    """Run what a person ends with Ctrl-C, which is here the way to say: enough."""
    try:
        watch()
    except KeyboardInterrupt:
        return


@contextmanager
def waiting(first: str) -> Iterator[Progress]:
    """Show what is being waited for, as long as somebody looks; says nothing when standard error is no terminal."""
    if not sys.stderr.isatty():
        yield unseen
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Display

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Display(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(first, total=None)

        def show(step: Step) -> None:
            display.update(task, description=step.text, completed=step.done, total=step.total)

        yield show
