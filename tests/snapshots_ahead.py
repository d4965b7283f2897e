"""Random fields of a policy beyond Ray's own, for `tests.snapshots`: likely ones, and any that can be recorded."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rayfleet.model import (
    Buffer,
    Expected,
    Forecast,
    FrozenMap,
    LabelSelector,
    Market,
    OfferKey,
    Overlay,
    PendingThreshold,
    Pool,
    Quota,
    Schedule,
    Window,
)

Drawn = st.SearchStrategy[Any]
QUOTAS = (
    Quota("tier", "batch", FrozenMap({"CPU": 60_000})),
    Quota("tier", "web", FrozenMap({"CPU": 90_000, "GPU": 10_000}), 2.0),
)


def likely_extras(
    among: list[Pool], shapes: Drawn, selectors: Drawn, *, quiet: bool
) -> st.SearchStrategy[dict[str, Any]]:
    """Draw fields of a policy that may happen, as keywords. `quiet`: nothing that depends on the time."""
    buffers = _some(
        st.builds(
            Buffer,
            name=st.sampled_from(["b1", "b2"]),
            shape=shapes.filter(bool),
            count=st.integers(0, 6),
            percent=st.sampled_from([0.0, 0.0, 25.0, 100.0]),
            selectors=selectors,
        )
    )
    # Moments of likely snapshots are at 00:16:40.
    schedules = st.builds(
        Schedule,
        name=st.just("s"),
        window=st.builds(Window, cron=st.sampled_from(["0 * * * *", "30 * * * *"]), duration_s=st.just(1800.0)),
        pool=st.sampled_from(["", *(pool.name for pool in among)]),
        min_workers=st.sampled_from([None, 0, 2]),
        max_workers=st.sampled_from([None, None, 3]),
        buffers=buffers,
    )
    plain = {
        "buffers": buffers,
        "scale_up_pending_threshold": st.sampled_from([None, None, None, PendingThreshold(5)]),
        "scale_up_utilization": _maps({}, {}, {"CPU": 0.6}, {"GPU": 0.5, "memory": 0.8}),
        "max_resources": _maps({}, {}, {"CPU": 120_000}, {"GPU": 10_000, "CPU": 300_000}),
        "max_usd_per_day": st.sampled_from([None, None, None, 60.0]),
        "gangs_same_label": st.sampled_from([None, None, None, "ray.io/availability-zone"]),
        "quotas": st.sampled_from([(), (), QUOTAS, QUOTAS[:1]]),
        "overlays": _some(
            st.builds(
                Overlay,
                scope=st.sampled_from(
                    [OfferKey(""), OfferKey("p0"), OfferKey("", zone="a"), OfferKey("", market=Market.SPOT)]
                ),
                usd_per_hour=st.sampled_from([None, 0.0, 2.0]),
                multiply=st.sampled_from([None, 0.5]),
                real=st.booleans(),
            )
        ),
    }
    if not quiet:
        plain["schedules"] = _some(schedules)
        plain["max_launches_per_min"] = st.sampled_from([None, None, 3])
    return st.fixed_dictionaries(plain)


def any_extras(names: Drawn, spans: Drawn, units: Drawn, shapes: Drawn, selectors: Drawn) -> dict[str, Drawn]:
    """Return strategies for fields of a policy with anything in them, as keywords of `st.builds`."""
    buffers = _some(
        st.builds(
            Buffer,
            name=names,
            shape=shapes.filter(bool),
            count=st.integers(0, 9),
            percent=st.floats(0, 1e4),
            selectors=selectors,
        )
    )
    windows = st.builds(
        Window,
        cron=st.sampled_from(["0 8 * * MON-FRI", "*/5 * * * *"]),
        duration_s=st.floats(1, 1e6),
        time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    )
    counts = st.none() | st.integers(0, 9)
    thresholds = st.builds(PendingThreshold, st.integers(1, 9), st.none() | st.floats(1, 9))
    schedules = st.builds(Schedule, names, windows, names, counts, st.integers(0, 9), buffers)
    return {
        "buffers": buffers,
        "schedules": _some(schedules),
        "scale_up_pending_threshold": st.none() | thresholds,
        "scale_up_utilization": st.dictionaries(names, st.floats(0.01, 1), max_size=2).map(FrozenMap),
        "max_resources": st.dictionaries(names, units | st.just(0), max_size=2).map(FrozenMap),
        "max_usd_per_day": st.none() | spans,
        "max_launches_per_min": counts,
        "gangs_same_label": st.none() | names,
        "forecast": st.none() | st.builds(Forecast, st.floats(3600, 1e6), spans, spans),
        "overlays": _some(_any_overlays(names, spans)),
        "quotas": _some(
            st.builds(
                Quota,
                names,
                names,
                st.dictionaries(names, units | st.just(0), max_size=2).map(FrozenMap),
                st.floats(0.001, 10),
            )
        ),
    }


def _any_overlays(names: Drawn, spans: Drawn) -> Drawn:
    zones = st.sampled_from([None, "a"])
    scopes = st.builds(OfferKey, st.just("") | names, zones, zones, zones, st.none() | st.sampled_from(Market))
    labels = st.sampled_from([{}, {"tier": "in(a,b)"}]).map(LabelSelector.parse)
    prices = st.sampled_from(["usd_per_hour", "multiply", "add"]).flatmap(
        lambda key: st.fixed_dictionaries({key: spans})
    )
    rest = st.fixed_dictionaries({"scope": scopes, "labels": labels, "why": names, "real": st.booleans()})
    return st.tuples(prices, rest).map(lambda both: Overlay(**both[0], **both[1]))


def expectations(names: Drawn, shapes: Drawn, selectors: Drawn) -> Drawn:
    """Draw what a forecast expects."""
    errors = st.none() | st.floats(0, 100)
    return _some(st.builds(Expected, names, shapes.filter(bool), st.integers(0, 9), selectors, errors))


def _some(of: Drawn) -> Drawn:
    return st.just(()) | st.lists(of, max_size=2).map(tuple)


def _maps(*choices: dict[str, Any]) -> Drawn:
    return st.sampled_from(choices).map(FrozenMap)
