"""The nouns: frozen values that every room shares. No I/O, no clock, no randomness."""

from rayfleet.model.ahead import Ahead, Buffer, Expected, Forecast, Schedule
from rayfleet.model.claim import (
    CAPACITY,
    EXISTING,
    LEAVING,
    PRESENT,
    STARTING,
    Claim,
    Drain,
    Host,
    MachineFact,
    NodeFact,
    Phase,
)
from rayfleet.model.deferred import Deferred
from rayfleet.model.demand import Bundle, Demand, DemandKind, Gang, RequestedDemand, Selectors, Strategy, TaskDemand
from rayfleet.model.disruption import Disruption, DisruptionBudget
from rayfleet.model.frozen import NO_LABELS, FrozenMap, Labels
from rayfleet.model.labels import ANYWHERE, MARKET_LABEL, NODE_GROUP_LABEL, ZONE_LABEL, LabelMatch, LabelSelector
from rayfleet.model.plan import (
    Action,
    Cost,
    DrainNodes,
    Finding,
    How,
    Kept,
    Launch,
    Placement,
    Plan,
    PoolVerdict,
    Release,
    Unmet,
)
from rayfleet.model.policy import DEFAULT_OFFERS, Market, Offer, OfferKey, Overlay, Policy, Pool, offer_labels
from rayfleet.model.quota import Quota
from rayfleet.model.reason import TEXTS, Detail, Reason, ReasonCode, reason
from rayfleet.model.report import TickReport, Timings
from rayfleet.model.resources import CPU, GPU, MEMORY, NOTHING, OBJECT_STORE, UNITS, Resources, amount
from rayfleet.model.snapshot import Backoff, Order, OrderKind, Outcome, OutcomeKind, Snapshot, Stray
from rayfleet.model.spending import Spent
from rayfleet.model.standby import ReleaseMode, Standby, StandbyMode
from rayfleet.model.timeouts import Timeouts
from rayfleet.model.triggers import PendingThreshold
from rayfleet.model.trouble import Trouble
from rayfleet.model.window import Window

__all__ = [
    "ANYWHERE", "CAPACITY", "CPU", "DEFAULT_OFFERS", "EXISTING", "GPU", "LEAVING", "MARKET_LABEL", "MEMORY",
    "NODE_GROUP_LABEL", "NOTHING", "NO_LABELS", "OBJECT_STORE", "PRESENT", "STARTING", "TEXTS", "UNITS", "ZONE_LABEL",
    "Action", "Ahead", "Backoff", "Buffer", "Bundle", "Claim", "Cost", "Deferred", "Demand", "DemandKind", "Detail",
    "Disruption", "DisruptionBudget",
    "Drain", "DrainNodes", "Expected", "Finding", "Forecast", "FrozenMap", "Gang", "Host", "How", "Kept", "LabelMatch",
    "LabelSelector", "Labels", "Launch", "MachineFact", "Market", "NodeFact", "Offer", "OfferKey", "Order", "OrderKind",
    "Outcome", "OutcomeKind", "Overlay", "PendingThreshold", "Phase", "Placement", "Plan", "Policy", "Pool",
    "PoolVerdict", "Quota", "Reason", "ReasonCode", "Release", "ReleaseMode", "RequestedDemand", "Resources",
    "Schedule",
    "Selectors",
    "Snapshot", "Spent", "Standby", "StandbyMode", "Strategy", "Stray", "TaskDemand", "TickReport",
    "Timeouts", "Timings", "Trouble", "Unmet",
    "Window",
    "amount", "offer_labels", "reason",
]  # fmt: skip
