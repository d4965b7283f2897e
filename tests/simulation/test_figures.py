"""Counters of an eventful life: whatever faults make happen, its series was there at 0 before it did."""

import pytest
from tests.simulation.mixes import chaos

from rayfleet.model import TickReport
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.counts import Counts


@pytest.mark.parametrize("seed", range(4))
def test_no_series_appears_with_anything_but_0(seed: int) -> None:
    counts, surprises = Counts(), set[tuple[str, tuple[str, ...]]]()

    def told(report: TickReport) -> None:
        counts.begin(report.snapshot.policy)
        known = set(counts.counters)
        counts.take(report)
        surprises.update((family.name, labels) for family, labels in set(counts.counters) - known)

    chaos(seed, 0.5, told)
    for family in (of.LAUNCHED, of.GONE, of.DRAIN_ENDS, of.EVENTS, of.CALLS):
        assert sum(value for (one, _), value in counts.counters.items() if one is family) > 0
    assert not surprises
