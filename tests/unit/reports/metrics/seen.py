"""What a scrape would show, for tests: series by name and labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from rayfleet.reports.metrics.families import COMMON, Family
from rayfleet.reports.metrics.samples import Sample


def by_labels(samples: Iterable[Sample], family: Family) -> dict[tuple[str, ...], float]:
    """Return the values of one family; a series that comes twice is an error."""
    mine = [(sample.labels, sample.value) for sample in samples if sample.family is family]
    assert len(mine) == len(dict(mine))
    return dict(mine)


def scraped(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return name -> its series, each with own labels, the common ones apart, and its value."""
    found: dict[str, list[dict[str, Any]]] = {}
    for metric in text_string_to_metric_families(text):
        for sample in metric.samples:
            common = {name: sample.labels.get(name) for name in COMMON}
            own = {name: value for name, value in sample.labels.items() if name not in COMMON}
            found.setdefault(sample.name, []).append({"own": own, "common": common, "value": sample.value})
    return found
