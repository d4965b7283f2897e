"""Every family of series that is exported, and what it means. Data only: the reference page is made from it.

Units are base units: seconds, bytes, USD per hour. Names that begin with `autoscaler_` are those of Ray's own
autoscaler, with Ray's meaning of them, so that panels that ask for them show this cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rayfleet.model.word import Word


class Kind(Word):
    """What becomes of a family's values over time."""

    GAUGE = "gauge"  # goes up and down
    COUNTER = "counter"  # only goes up, from 0 at the controller's start
    HISTOGRAM = "histogram"  # counts of observations by their size


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One family of series. `labels` are its own, beside `COMMON`; `buckets` are upper bounds, of histograms only.

    `unit` is a word for people ("" = a plain number); for base units it is the end of `name` as well.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()

    def series(self) -> Iterator[str]:
        """Yield the names by which queries ask for it."""
        ends = ("_bucket", "_sum", "_count") if self.kind is Kind.HISTOGRAM else ("",)
        yield from (f"{self.name}{end}" for end in ends)


COMMON: Final = ("Namespace", "RayClusterName", "SessionName")
"""Labels of everything: the variables by which dashboards choose a cluster."""
OFFER: Final = ("pool", "provider", "region", "zone", "market")
"""Labels of an offer; what it does not name is empty."""

_TICK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RAY_TICK_S: Final = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_MACHINE_S: Final = (
    1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 450.0, 600.0, 900.0, 1200.0, 1800.0,
)  # fmt: skip


def _gauge(name: str, text: str, *labels: str, unit: str = "") -> Family:
    return Family(name, Kind.GAUGE, text, labels, unit)


def _counter(name: str, text: str, *labels: str, unit: str = "") -> Family:
    return Family(f"{name}_total", Kind.COUNTER, text, labels, unit)


def _seconds(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _MACHINE_S) -> Family:
    return Family(f"{name}_seconds", Kind.HISTOGRAM, text, labels, "seconds", buckets)


# ---- by the names of Ray's own autoscaler ---------------------------------------------------------------------------

RAY_ACTIVE = _gauge("autoscaler_active_nodes", "Nodes that run Ray, the head included.", "NodeType", unit="nodes")
RAY_PENDING = _gauge("autoscaler_pending_nodes", "Nodes that are asked for or boot.", "NodeType", unit="nodes")
RAY_FAILED = _gauge(
    "autoscaler_recently_failed_nodes",
    "Nodes that could not be had, did not join or died within the last 10 minutes.",
    *("NodeType",),
    unit="nodes",
)
RAY_WORKERS = _gauge("autoscaler_running_workers_nodes", "Nodes that run Ray, without the head.", unit="nodes")
RAY_RESOURCES = _gauge(
    "autoscaler_cluster_resources", "What all nodes together have; memory in bytes.", "resource", unit="amount"
)
RAY_PENDING_RESOURCES = _gauge(
    "autoscaler_pending_resources", "What nodes on their way will have; memory in bytes.", "resource", unit="amount"
)
RAY_STARTED = _counter("autoscaler_started_nodes", "Nodes whose launch a provider has accepted.", unit="nodes")
RAY_STOPPED = _counter("autoscaler_stopped_nodes", "Nodes that are gone.", unit="nodes")
RAY_CREATE_FAILED = _counter("autoscaler_failed_create_nodes", "Nodes whose launch failed.", unit="nodes")
RAY_LAUNCH_EXCEPTIONS = _counter("autoscaler_node_launch_exceptions", "Launch calls that failed.", unit="calls")
RAY_DRAIN_EXCEPTIONS = _counter(
    "autoscaler_drain_node_exceptions", "Drain calls that failed; a refusal is none.", unit="calls"
)
RAY_LOOP_EXCEPTIONS = _counter("autoscaler_update_loop_exceptions", "Ticks that failed unexpectedly.", unit="ticks")
RAY_UPDATE = _seconds("autoscaler_update_time", "Whole ticks: look, plan and act.", buckets=_RAY_TICK_S)
RAY_CREATE = _seconds(
    "autoscaler_worker_create_node_time", "From a launch that was decided to the provider's yes, over all offers."
)

# ---- the controller -------------------------------------------------------------------------------------------------

INFO = _gauge("rayfleet_info", "1: a controller of this release keeps this cluster at this place.", "version", "place")
LAST_TICK = _gauge(
    "rayfleet_last_tick_timestamp_seconds",
    "When the controller last ticked, since 1970. One that is far back is stuck.",
    unit="seconds",
)
ENGINE_UP = _gauge("rayfleet_engine_up", "1: Ray on the head answers. 0: it does not; nothing is concluded from that.")
LEDGER_SAVED = _gauge("rayfleet_ledger_saved", "1: the last plan is in the ledger. 0: it could not be; launches wait.")
TICK_FAILED = _gauge("rayfleet_last_tick_failed", "1: the last tick ended in an unexpected error, which is in the log.")
TROUBLES = _gauge("rayfleet_troubles", "Edges (provider, Ray, ledger) that the last tick had trouble with.")
ORDERS = _gauge("rayfleet_orders", "Orders of people that stand.", "kind")
TICKS = _counter("rayfleet_ticks", "Ticks.", unit="ticks")
TICK = _seconds("rayfleet_tick", "Parts of ticks.", "part", buckets=_TICK_S)
EVENTS = _counter("rayfleet_events", "What has happened, by the kinds that `rayfleet history` shows.", "kind")
FINDINGS = _gauge("rayfleet_open_findings", "What the last plan found that should not be, by reason code.", "code")
FOUND = _counter("rayfleet_findings", "Findings of all plans: each plan that finds the same counts.", "code")
CALLS = _counter(
    "rayfleet_api_calls",
    "Calls that have ended: of providers (launch, release) and of Ray (drain). `result`: ok, or the kind of failure.",
    *("provider", "call", "result"),
    unit="calls",
)

# ---- demand ---------------------------------------------------------------------------------------------------------

DEMAND = _gauge("rayfleet_pending_demand", "What waits: tasks and actors, gangs, requested bundles.", "kind")
DEMAND_AGE = _gauge(
    "rayfleet_pending_demand_age_seconds", "How long the oldest of it has been waiting.", "kind", unit="seconds"
)
UNMET = _gauge(
    "rayfleet_unmet_demand", "What waits and will not be served by what exists or boots, and why.", "kind", "reason"
)
UNMET_AGE = _gauge(
    "rayfleet_unmet_demand_age_seconds",
    "How long the oldest unmet demand of a kind has been waiting; 0: there is none.",
    *("kind",),
    unit="seconds",
)
DEMAND_TO_LAUNCH = _seconds(
    "rayfleet_demand_to_launch",
    "From Ray's answer that something waits to the provider being asked.",
    buckets=_TICK_S,
)

# ---- nodes ----------------------------------------------------------------------------------------------------------

NODES = _gauge("rayfleet_nodes", "Machines by where they are in their lives.", "pool", "market", "phase", unit="nodes")
RESOURCES = _gauge(
    "rayfleet_resources", "Resources by what becomes of them; memory in bytes.", "resource", "state", unit="amount"
)
LAUNCHED = _counter("rayfleet_launched_nodes", "Machines that were asked for, and why.", *OFFER, "reason", unit="nodes")
GONE = _counter("rayfleet_gone_nodes", "Machines that are gone, and why.", "pool", "market", "reason", unit="nodes")
LAUNCH = _seconds("rayfleet_launch", "From a launch that was decided to the provider's yes.", *OFFER)
BOOT = _seconds("rayfleet_node_boot", "From a launch that was decided to the node in Ray.", *OFFER)
LAUNCH_FAILURES = _counter(
    "rayfleet_launch_failures", "Launch calls that failed, by the kind of failure.", *OFFER, "trouble", unit="calls"
)
STOCK_OUTS = _counter(
    "rayfleet_stock_outs", "Launch calls for which the provider had no machine.", *OFFER, unit="calls"
)
DRAINS = _counter("rayfleet_drains", "Drains that were begun, and why.", "pool", "reason", unit="nodes")
DRAIN_ENDS = _counter(
    "rayfleet_drain_outcomes",
    "Drains that have ended: left (in time), deadline (ended by force), refused (the node works again), other.",
    *("pool", "outcome"),
    unit="nodes",
)

# ---- offers and limits ----------------------------------------------------------------------------------------------

OFFERS = _gauge("rayfleet_pool_offers", "Ways of getting a machine of a pool.", "pool", unit="offers")
BACKED_OFF = _gauge(
    "rayfleet_pool_offers_backed_off",
    "Those of them that are not asked just now, by the kind of failure.",
    *("pool", "trouble"),
    unit="offers",
)
BACKOFF = _gauge(
    "rayfleet_offer_backoff_seconds", "For how long an offer is not asked yet.", *OFFER, "trouble", unit="seconds"
)
PRICE = _gauge("rayfleet_offer_usd_per_hour", "What a machine of an offer costs.", *OFFER, unit="USD per hour")
POOL_MIN = _gauge("rayfleet_pool_min_nodes", "Least number of machines of a pool.", "pool", unit="nodes")
POOL_MAX = _gauge("rayfleet_pool_max_nodes", "Largest number of machines of a pool, if any.", "pool", unit="nodes")
CLUSTER_MAX = _gauge("rayfleet_max_nodes", "Largest number of workers of the cluster, if any.", unit="nodes")

# ---- money ----------------------------------------------------------------------------------------------------------

COST = _gauge("rayfleet_cost_usd_per_hour", "What all machines with a known price cost now.", unit="USD per hour")
ON_DEMAND = _gauge(
    "rayfleet_on_demand_usd_per_hour", "What the same machines would cost on demand.", unit="USD per hour"
)
UNPRICED = _gauge("rayfleet_unpriced_nodes", "Machines whose price is not known.", unit="nodes")
SPENT = _gauge("rayfleet_spent_today_usd", "What was spent since midnight (UTC).", unit="USD")
BUDGET = _gauge("rayfleet_budget_usd_per_hour", "Most that all machines may cost, if limited.", unit="USD per hour")
DAY_BUDGET = _gauge("rayfleet_budget_usd_per_day", "Most that may be spent a day, if limited.", unit="USD")

SECTIONS: Final[dict[str, tuple[Family, ...]]] = {
    "Ray's own names": (
        RAY_ACTIVE, RAY_PENDING, RAY_FAILED, RAY_WORKERS, RAY_RESOURCES, RAY_PENDING_RESOURCES, RAY_STARTED,
        RAY_STOPPED, RAY_CREATE_FAILED, RAY_LAUNCH_EXCEPTIONS, RAY_DRAIN_EXCEPTIONS, RAY_LOOP_EXCEPTIONS, RAY_UPDATE,
        RAY_CREATE,
    ),
    "The controller": (
        INFO, LAST_TICK, ENGINE_UP, LEDGER_SAVED, TICK_FAILED, TROUBLES, ORDERS, TICKS, TICK, EVENTS, FINDINGS, FOUND,
        CALLS,
    ),
    "Demand": (DEMAND, DEMAND_AGE, UNMET, UNMET_AGE, DEMAND_TO_LAUNCH),
    "Nodes": (
        NODES, RESOURCES, LAUNCHED, GONE, LAUNCH, BOOT, LAUNCH_FAILURES, STOCK_OUTS, DRAINS, DRAIN_ENDS,
    ),
    "Offers and limits": (OFFERS, BACKED_OFF, BACKOFF, PRICE, POOL_MIN, POOL_MAX, CLUSTER_MAX),
    "Money": (COST, ON_DEMAND, UNPRICED, SPENT, BUDGET, DAY_BUDGET),
}  # fmt: skip
"""Every family, by what it is about, in the order in which the reference shows them."""

FAMILIES: Final = tuple(family for families in SECTIONS.values() for family in families)
