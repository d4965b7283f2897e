"""Traces: when which work came. Read and written as CSV or Parquet; the columns are documented in docs/simulator.md.

submit_s,shape,count,duration_s,gang,labels
0,CPU=1,200,30,,
12.5,CPU=4;GPU=1,8,600,STRICT_SPREAD,
60,"{""CPU"": 1, ""memory"": 2e9}",5,45,,tier=batch|tier=in(web,any)
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from rayfleet.config import ConfigInvalid, Problem
from rayfleet.model import LabelSelector, Resources, Selectors, Strategy

COLUMNS: Final = ("submit_s", "shape", "count", "duration_s", "gang", "labels")
NEEDED: Final = ("submit_s", "shape", "duration_s")
COUNT_MAX: Final = 10_000_000
SECONDS_MAX: Final = 10 * 366 * 86_400.0
GANG_BUNDLES_MAX: Final = 10_000
PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Work:
    """One row: `count` tasks of a shape that come at `submit_s` and take `duration_s` each once they run.

    `gang`: they are the bundles of one placement group instead, placed together and kept for `duration_s`; rows that
    share a `group` and a time are one placement group with different bundles. Seconds count from the trace's beginning.
    """

    submit_s: float
    shape: Resources
    duration_s: float
    count: int = 1
    gang: Strategy | None = None
    group: str = ""
    selectors: Selectors = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """Work in the order in which it comes. `name` is for people."""

    name: str
    rows: tuple[Work, ...]

    @property
    def tasks(self) -> int:
        """Return how many tasks and bundles there are."""
        return sum(row.count for row in self.rows)

    @property
    def last_s(self) -> float:
        """Return when the last work comes."""
        return self.rows[-1].submit_s if self.rows else 0.0


def trace_of(name: str, rows: Iterable[Work]) -> Trace:
    """Return the trace of `rows`, in any order."""
    return Trace(name, tuple(sorted(rows, key=lambda row: row.submit_s)))


# ---- reading ------------------------------------------------------------------------------------------------------


def read_trace(path: Path) -> Trace:
    """Read a trace file; its ending says which format it has.

    Raises:
        ConfigInvalid: with every row that is wrong, by its line.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() in PARQUET:
        return _checked(path.name, _parquet_rows(path), first_line=1)
    return parse_csv(path.read_text(encoding="utf-8"), path.name)


def parse_csv(text: str, name: str) -> Trace:
    """Read the text of a CSV file.

    Raises:
        ConfigInvalid: with every row that is wrong.
    """
    reader = csv.DictReader(io.StringIO(text), restkey="", strict=True)
    columns = tuple(column.strip() for column in reader.fieldnames or ())
    unknown = [column for column in columns if column not in COLUMNS]
    missing = [column for column in NEEDED if column not in columns]
    if unknown or missing:
        words = [f"unknown column {column!r}" for column in unknown] + [f"column {c} is missing" for c in missing]
        hint = f"the columns are {', '.join(COLUMNS)}"
        raise ConfigInvalid([Problem(word, file=name, line=1, hint=hint) for word in words])
    reader.fieldnames = columns
    try:
        return _checked(name, reader, first_line=2)
    except csv.Error as error:
        raise ConfigInvalid([Problem(f"is not valid CSV: {error}", file=name, line=reader.line_num)]) from None


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra: only who has Parquet files pays for it
    except ImportError:
        hint = "pip install 'rayfleet[parquet]', or write the trace as CSV"
        raise ConfigInvalid([Problem("Parquet needs pyarrow", file=path.name, hint=hint)]) from None
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _checked(name: str, rows: Iterable[Mapping[str, Any]], first_line: int) -> Trace:
    work, problems = [], []
    for line, row in enumerate(rows, start=first_line):
        try:
            work.append(_work(row))
        except ValueError as error:
            problems.append(Problem(str(error), file=name, line=line))
    if problems:
        raise ConfigInvalid(problems)
    return trace_of(name, work)


def _work(row: Mapping[str, Any]) -> Work:
    extra = [key for key in row if key not in COLUMNS]
    if extra:
        raise ValueError(f"has {'more values than columns' if '' in extra else f'an unknown column {extra[0]!r}'}")
    strategy, group = _gang(row.get("gang") or "")
    count = _count(row.get("count"))
    if strategy is not None and count > GANG_BUNDLES_MAX:
        raise ValueError(f"count: a placement group has at most {GANG_BUNDLES_MAX:,} bundles, not {count:,}")
    return Work(
        submit_s=_seconds("submit_s", row.get("submit_s")),
        shape=_shape(_text(row.get("shape"))),
        duration_s=_seconds("duration_s", row.get("duration_s")),
        count=count,
        gang=strategy,
        group=group,
        selectors=_selectors(_text(row.get("labels"))),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be a finite number, not {value!r}")
    return number


def _seconds(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 <= number <= SECONDS_MAX:
        raise ValueError(f"{name}: must be from 0 to {SECONDS_MAX:g} seconds, not {value!r}")
    return number


def _count(value: Any) -> int:
    if value is None or value == "":
        return 1
    number = _number("count", value)
    if number != int(number) or not 1 <= number <= COUNT_MAX:
        raise ValueError(f"count: must be a whole number from 1 to {COUNT_MAX:,}, not {value!r}")
    return int(number)


def _gang(text: str) -> tuple[Strategy | None, str]:
    word, _, group = text.strip().partition(":")
    if not word:
        return None, ""
    try:
        return Strategy(word.upper()), group.strip()
    except ValueError:
        raise ValueError(f"gang: must be one of {', '.join(Strategy)}, not {word!r}") from None


@lru_cache(maxsize=4096)
def _shape(text: str) -> Resources:
    """Read `CPU=1;GPU=0.5` or a JSON object."""
    amounts = _pairs("shape", text, lambda name, value: _number(f"shape: {name}", value))
    if not amounts:
        raise ValueError("shape: is required, for example CPU=1;memory=4e9")
    if any(value < 0 or value > COUNT_MAX * 1e9 for value in amounts.values()):
        raise ValueError("shape: no amount may be negative, or larger than there is")
    return Resources.of(amounts)


@lru_cache(maxsize=4096)
def _selectors(text: str) -> Selectors:
    """Read `tier=batch;zone=in(a,b)`, alternatives separated by `|`; or a JSON list of objects."""
    if text.startswith("["):
        given = _json("labels", text)
        return tuple(LabelSelector.parse({k: str(v) for k, v in each.items()}) for each in given if each)
    alternatives = [part for part in text.split("|") if part.strip()]
    return tuple(LabelSelector.parse(_pairs("labels", part, lambda _, value: str(value))) for part in alternatives)


def _pairs(name: str, text: str, read: Callable[[str, Any], Any]) -> dict[str, Any]:
    if text.startswith("{"):
        given = _json(name, text)
    else:
        given = dict(_pair(name, part) for part in text.split(";") if part.strip())
    return {key: read(key, value) for key, value in given.items()}


def _pair(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{name}: {text!r} is not name=value")
    return key.strip(), value.strip()


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name}: is not JSON: {error}") from None


# ---- writing ------------------------------------------------------------------------------------------------------


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace; the ending of `path` says in which format.

    Raises:
        ConfigInvalid: Parquet is wanted and pyarrow is missing.
        OSError: the file cannot be written.
    """
    if path.suffix.lower() in PARQUET:
        _write_parquet(trace, path)
    else:
        path.write_text(to_csv(trace), encoding="utf-8")


def to_csv(trace: Trace) -> str:
    """Return the trace as the text of a CSV file; equal traces give equal text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cells(row)[column] for column in COLUMNS] for row in trace.rows)
    return out.getvalue()


def _write_parquet(trace: Trace, path: Path) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - as above
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        hint = "pip install 'rayfleet[parquet]', or write CSV"
        raise ConfigInvalid([Problem("Parquet needs pyarrow", file=path.name, hint=hint)]) from None
    cells = [_cells(row) for row in trace.rows]
    pq.write_table(pa.table({column: [cell[column] for cell in cells] for column in COLUMNS}), path)


def _cells(row: Work) -> dict[str, Any]:
    gang = "" if row.gang is None else row.gang.value + (f":{row.group}" if row.group else "")
    shape = ";".join(f"{name}={amount:.15g}" for name, amount in row.shape.amounts().items())
    labels = "|".join(";".join(f"{k}={v}" for k, v in s.expressions().items()) for s in row.selectors)
    return {
        "submit_s": round(float(row.submit_s), 3),
        "shape": shape,
        "count": row.count,
        "duration_s": round(float(row.duration_s), 3),
        "gang": gang,
        "labels": labels,
    }
