"""python -m benchmarks [PART ...]: measure, print the results as a table, and keep them as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from benchmarks import machine
from benchmarks.driving import Silent
from benchmarks.effort import Effort
from benchmarks.figures import Measured, table
from benchmarks.ours import state_in
from rayfleet.contracts import LedgerError
from rayfleet.launcher.errors import LauncherError
from rayfleet.reports.history import HistoryUnavailable

PARTS = ("planner", "simulate", "tick", "reaction", "end_to_end", "idle", "boot", "ssh", "dashboard")
ON_DEMAND = ("operator", "central", "aws", "rack")
"""Parts that are measured only when they are named."""
EXIT_INTERRUPTED = 130
OUT = Path(__file__).parent / "out"
FAILURES = (LauncherError, LedgerError, HistoryUnavailable, Silent, TimeoutError, RuntimeError, OSError)
"""What may go wrong with clusters on a busy machine: told and kept, and the next part is measured all the same."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: how it measures, in words, and the function that does."""

    name: str
    method: str
    measure: Callable[[Effort, Path], Measured]

    @classmethod
    def of(cls, name: str) -> Part:
        """Return the part of that name."""
        module = importlib.import_module(f"benchmarks.parts.{name}")
        return cls(name, (module.__doc__ or "").strip(), module.measure)


def main(arguments: list[str]) -> int:
    """Run what is asked for; the exit code says whether every goal holds."""
    told = _parser().parse_args(arguments)
    parts = [Part.of(name) for name in told.parts or PARTS]
    if told.explain:
        print("\n\n".join(f"{part.name}: {part.method}" for part in parts))
        return 0
    os.environ["RAYFLEET_DASHBOARD"] = "off"  # for every `up`: it would work beside what is measured
    signal.signal(signal.SIGTERM, _interrupt)  # so that whatever was started is ended by its `with` block
    try:
        results, failures = _run_all(parts, Effort(told.pairs, told.submits, told.idle_s, told.calls, told.out))
    except KeyboardInterrupt:
        print("interrupted; what was started has been ended", file=sys.stderr)
        return EXIT_INTERRUPTED
    _keep(results, failures, told.out)
    missed = [f"{name}: {each['name']}" for name, found in results.items() for each in found["missed"]]
    print(f"missed: {'; '.join(missed)}" if missed else "all goals hold that were measured")
    return 1 if missed or failures else 0


def _run_all(parts: list[Part], effort: Effort) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return what each part has found, and why others could not be measured."""
    results, failures = {}, {}
    for part in parts:
        try:
            results[part.name] = _run(part, effort)
        except FAILURES as error:
            failures[part.name] = f"{type(error).__name__}: {error}"
            print(f"\n== {part.name} could not be measured: {failures[part.name]}", flush=True)
    return results, failures


def _parser() -> argparse.ArgumentParser:
    size = Effort()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[[], *PARTS, *ON_DEMAND], metavar="PART", help=", ".join(PARTS + ON_DEMAND)
    )
    parser.add_argument("--explain", action="store_true", help="say how each part measures, and measure nothing")
    parser.add_argument("--pairs", type=int, default=size.pairs, help="turns of each side")
    parser.add_argument("--submits", type=int, default=size.submits, help="reactions")
    parser.add_argument("--idle-s", type=float, default=size.idle_s, help="how long to watch an idle controller")
    parser.add_argument("--calls", type=int, default=size.calls, help="calls of each planner")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    return parser


def _run(part: Part, effort: Effort) -> dict[str, Any]:
    """Measure one part, in a folder that is gone afterwards, and print its table."""
    load, began = machine.load(), time.monotonic()
    # Short, because Ray puts sockets deep inside, and their paths may be 107 characters long.
    with tempfile.TemporaryDirectory(prefix="rfb-", dir="/tmp") as name, state_in(Path(name) / "state"):
        measured = part.measure(effort, Path(name))
    took_s, loads = time.monotonic() - began, (load, machine.load())
    print(f"\n== {part.name} ({took_s:.0f} s; load {loads[0]:.1f} before, {loads[1]:.1f} after)")
    busy = machine.too_busy(load, int(machine.description()["cores"]))
    if busy:
        print("warning: this machine was busy with other work; what is measured in seconds means little")
    print(table(measured.figures), *measured.notes, sep="\n", flush=True)
    figures = [figure.as_json() for figure in measured.figures]
    return {
        "method": part.method,
        "took_s": round(took_s, 1),
        "load": loads,
        "busy": busy,
        "figures": figures,
        "missed": [figure for figure in figures if figure["holds"] is False],
        "samples": {name: list(values) for name, values in measured.samples.items()},
        "notes": list(measured.notes),
    }


def _keep(results: dict[str, dict[str, Any]], failures: dict[str, str], out: Path) -> None:
    """Write the results to a file of their own and to `latest.json`."""
    now = datetime.now(UTC)
    found = {"parts": results, "failures": failures}
    text = json.dumps({"at": now.isoformat(timespec="seconds"), **machine.description(), **found}, indent=1)
    out.mkdir(parents=True, exist_ok=True)
    for name in (f"{now:%Y%m%d-%H%M%S}.json", "latest.json"):
        (out / name).write_text(text + "\n", encoding="utf-8")
    print(f"\nkept in {out / 'latest.json'}")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
