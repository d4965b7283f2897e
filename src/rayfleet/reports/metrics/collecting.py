"""Samples, counters and histograms as prometheus_client takes them, each with the labels that all series have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from prometheus_client.metrics_core import Metric

from rayfleet.reports.metrics.counts import Counts, Observed
from rayfleet.reports.metrics.families import FAMILIES, Family, Kind
from rayfleet.reports.metrics.samples import Sample

_TOTAL = "_total"


def metrics_of(gauges: Iterable[Sample], counts: Counts, common: Mapping[str, str]) -> Iterator[Metric]:
    """Yield every family that has a value. `common`: name and value of the labels of all."""
    found = {family: _empty(family) for family in FAMILIES}
    for family, values, value in gauges:
        found[family].add_sample(family.name, _labels(family, values, common), value)
    for (family, values), value in counts.counters.items():
        found[family].add_sample(family.name, _labels(family, values, common), value)
    for (family, values), observed in counts.histograms.items():
        _add(found[family], family, _labels(family, values, common), observed)
    return (metric for metric in found.values() if metric.samples)


def together(of_clusters: Iterable[Iterable[Metric]]) -> Iterator[Metric]:
    """Yield the metrics of several clusters as those of one exporter: each name once, with everybody's samples."""
    found: dict[str, Metric] = {}
    for metrics in of_clusters:
        for metric in metrics:
            known = found.setdefault(metric.name, metric)
            if known is not metric:
                known.samples.extend(metric.samples)
    yield from found.values()


def with_labels(metrics: Iterable[Metric], common: Mapping[str, str]) -> Iterator[Metric]:
    """Yield somebody else's metrics with the labels of all."""
    for metric in metrics:
        labelled = Metric(metric.name, metric.documentation, metric.type)
        for sample in metric.samples:
            labelled.add_sample(sample.name, {**common, **sample.labels}, sample.value)
        yield labelled


def _empty(family: Family) -> Metric:
    # The client wants counters without the end of their name, and writes it.
    name = family.name.removesuffix(_TOTAL) if family.kind is Kind.COUNTER else family.name
    return Metric(name, family.text, family.kind.value)


def _labels(family: Family, values: tuple[str, ...], common: Mapping[str, str]) -> dict[str, str]:
    return {**common, **dict(zip(family.labels, values, strict=True))}


def _add(metric: Metric, family: Family, labels: dict[str, str], observed: Observed) -> None:
    upto = observed.upto()
    for bound, count in zip((*family.buckets, inf), upto, strict=True):
        metric.add_sample(f"{family.name}_bucket", {**labels, "le": "+Inf" if bound == inf else str(bound)}, count)
    metric.add_sample(f"{family.name}_count", labels, upto[-1])
    metric.add_sample(f"{family.name}_sum", labels, observed.total)
