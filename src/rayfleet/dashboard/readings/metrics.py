"""Exported series as a page draws them: what is asked of Prometheus about one, and what its answers mean. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from rayfleet.dashboard.readings.amounts import number

MOST_LINES: Final = 20
"""More lines in one chart cannot be told apart."""
_POINTS: Final = 240
_LEAST_STEP_S: Final = 5.0
_LEAST_WINDOW_S: Final = 60.0
"""Four scrapes of the usual interval: what a rate needs."""
_QUANTILES: Final = {"half are below": 0.5, "90% are below": 0.9, "99% are below": 0.99}
_FIRST: Final = ("ray_node_cpu_utilization", "autoscaler_active_nodes")
_BUCKET: Final = "_bucket"
_OWN: Final = frozenset({"Namespace", "RayClusterName", "SessionName"})
"""Labels that say which cluster it is, and so the same in each of its rows."""


class Kind(StrEnum):
    """How a series is drawn: as it is, as how much it grows per second, or as quantiles."""

    GAUGE = "as it is"
    COUNTER = "per second"
    HISTOGRAM = "quantiles"


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: seconds since the epoch, and a value (None: none then)."""

    name: str
    points: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one chart shows; `hidden`: so many lines more are not shown."""

    since: float
    until: float
    lines: tuple[Line, ...]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What Prometheus is asked: queries by what their answers are called ("": by their labels), from when to when."""

    queries: Mapping[str, str]
    since: float
    until: float
    step_s: float


def kinds(names: Iterable[str]) -> dict[str, Kind]:
    """Return what can be chosen: every series, those of one histogram as one."""
    every = set(names)
    histograms = {name.removesuffix(_BUCKET) for name in every if name.endswith(_BUCKET)}
    parts = {f"{name}{end}" for name in histograms for end in (_BUCKET, "_sum", "_count", "_created")}
    plain = {name: Kind.COUNTER if name.endswith("_total") else Kind.GAUGE for name in every - parts}
    return dict(sorted({**plain, **dict.fromkeys(histograms, Kind.HISTOGRAM)}.items()))


def first(choices: Mapping[str, Kind]) -> str | None:
    """Return what is shown before anybody has chosen."""
    return next((name for name in (*_FIRST, *choices) if name in choices), None)


def asked(series: str, kind: Kind, labels: Mapping[str, str], *, now: float, span_s: float) -> Asked:
    """Return the queries about one series. `labels`: those of the cluster."""
    step_s = max(_LEAST_STEP_S, span_s / _POINTS)
    # The last point is of now, whatever the step: of a young cluster there may be no other.
    until = math.floor(now / _LEAST_STEP_S) * _LEAST_STEP_S
    window = f"[{max(_LEAST_WINDOW_S, 4 * step_s):.0f}s]"
    queries = {"": selector(series, labels)}
    if kind is Kind.COUNTER:
        queries = {"": f"rate({selector(series, labels)}{window})"}
    elif kind is Kind.HISTOGRAM:
        grown = f"sum by (le) (rate({selector(series + _BUCKET, labels)}{window}))"
        queries = {name: f"histogram_quantile({share}, {grown})" for name, share in _QUANTILES.items()}
    return Asked(queries, until - span_s, until, step_s)


def selector(series: str, labels: Mapping[str, str]) -> str:
    """Return what selects a series, of whatever name, in Prometheus' language."""
    pairs = {**({"__name__": series} if series else {}), **labels}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def drawn(asked_for: Asked, answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Drawn:
    """Return the curves of Prometheus' answers (`result` of each query); the highest ones where there are many."""
    every = [(name, each) for name, found in answers.items() for each in found]
    labels = [dict(each["metric"]) for _, each in every]
    lines = [
        Line(name or _told_apart(own, labels), _points(each["values"]))
        for (name, each), own in zip(every, labels, strict=True)
    ]
    # A histogram without a single event has quantiles that are no numbers.
    lines = [line for line in lines if any(value is not None for _, value in line.points)]
    shown = sorted(lines, key=_height, reverse=True)[:MOST_LINES] if len(lines) > MOST_LINES else lines
    return Drawn(asked_for.since, asked_for.until, tuple(_distinct(shown)), len(lines) - len(shown))


def _points(values: Iterable[Sequence[Any]]) -> tuple[tuple[float, float | None], ...]:
    read = ((float(at), float(value)) for at, value in values)
    return tuple((at, value if math.isfinite(value) else None) for at, value in read)


def _height(line: Line) -> float:
    return max(value for _, value in line.points if value is not None)


def _told_apart(own: Mapping[str, str], every: Sequence[Mapping[str, str]]) -> str:
    """Return the labels by which a series differs from the others."""
    differ = [name for name in own if name != "__name__" and len({each.get(name) for each in every}) > 1]
    return ", ".join(f"{name}={own[name]}" for name in sorted(differ)) or own.get("__name__", "value")


def _distinct(lines: Iterable[Line]) -> list[Line]:
    """Return lines of which no two have one name, which a chart would take for one line."""
    seen: dict[str, int] = {}
    made = []
    for line in lines:
        seen[line.name] = seen.get(line.name, 0) + 1
        made.append(line if seen[line.name] == 1 else Line(f"{line.name} ({seen[line.name]})", line.points))
    return made


def current(text: str) -> list[dict[str, Any]]:
    """Return rows of what an exporter offers now; of histograms their sum and count.

    Raises:
        ValueError: it is not in Prometheus' format.
    """
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    kept = [sample for sample in samples if not sample.name.endswith((_BUCKET, "_created"))]
    return [
        {
            "id": str(row),
            "series": sample.name,
            "labels": ", ".join(
                f"{name}={value}" for name, value in sample.labels.items() if value and name not in _OWN
            ),
            "value": number(sample.value) if math.isfinite(sample.value) else str(sample.value),
        }
        for row, sample in enumerate(kept)
    ]
