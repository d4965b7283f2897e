"""Typed reasons: a code plus its numbers, with the sentence made from them.

Codes are a stable interface: scripts and alerts match on them. The text is for
people and may be improved at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rayfleet.model.frozen import FrozenMap
from rayfleet.model.word import Word

Detail = str | int | float
"""A value inside a reason; quantities carry their unit in the key (`idle_s`, `usd_per_hour`)."""


class ReasonCode(Word):
    """Why something is done, kept or not met."""

    # launches
    HEAD = "head"
    MIN_WORKERS = "min_workers"
    TASKS = "tasks"
    GANG = "gang"
    REQUESTED = "requested"
    SCALE_ORDER = "scale_order"
    RELAUNCH = "relaunch"
    REPLACEMENT = "replacement"
    DETOUR = "detour"
    SPOT_SPREAD = "spot_spread"
    BUFFER = "buffer"
    SCHEDULE = "schedule"
    UTILIZATION = "utilization"
    OVERLAY = "overlay"
    FORECAST = "forecast"
    STANDBY = "standby"
    STANDBY_USED = "standby_used"
    # releases
    IDLE = "idle"
    UNNEEDED = "unneeded"
    OVER_MAX = "over_max"
    OVER_BUDGET = "over_budget"
    OVER_RESOURCES = "over_resources"
    OVER_DAY_BUDGET = "over_day_budget"
    POOL_REMOVED = "pool_removed"
    ORDERED = "ordered"
    SHUTDOWN = "shutdown"
    INTERRUPTED = "interrupted"
    DRIFTED = "drifted"
    EXPIRED = "expired"
    UNDERUSED = "underused"
    CHEAPER = "cheaper"
    MAKES_ROOM = "makes_room"
    EXCHANGE = "exchange"
    RESTARTABLE = "restartable"
    GRACE = "grace"
    BOOT_TIMEOUT = "boot_timeout"
    REQUEST_TIMEOUT = "request_timeout"
    PROVISION_TIMEOUT = "provision_timeout"
    NODE_DIED = "node_died"
    MACHINE_FAILED = "machine_failed"
    MACHINE_LOST = "machine_lost"
    DRAINED = "drained"
    DRAIN_DEADLINE = "drain_deadline"
    REPLICA_BROKEN = "replica_broken"
    LAUNCH_FAILED = "launch_failed"
    STILL_LISTED = "still_listed"
    STANDBY_SURPLUS = "standby_surplus"
    STILL_RUNNING = "still_running"
    CANNOT_STOP = "cannot_stop"
    # kept
    BUSY = "busy"
    NOT_IDLE_YET = "not_idle_yet"
    NEEDED = "needed"
    BOOTING = "booting"
    IS_HEAD = "is_head"
    DO_NOT_DISRUPT = "do_not_disrupt"
    DRAIN_REFUSED = "drain_refused"
    LEAVING = "leaving"
    DOWNSCALING_SPEED = "downscaling_speed"
    REPLACING = "replacing"
    ON_STANDBY = "on_standby"
    STANDS_IN = "stands_in"
    ON_HAND = "on_hand"
    SCALE_DOWN_UTILIZATION = "scale_down_utilization"
    DISRUPTION_BUDGET = "disruption_budget"
    # unmet, and the verdict per pool
    NO_POOL_FITS = "no_pool_fits"
    TOO_SMALL = "too_small"
    LABELS_DIFFER = "labels_differ"
    MAX_WORKERS = "max_workers"
    POOL_MAX_WORKERS = "pool_max_workers"
    BUDGET = "budget"
    MAX_RESOURCES = "max_resources"
    DAY_BUDGET = "day_budget"
    LAUNCH_RATE = "launch_rate"
    QUOTA = "quota"
    FAIR_SHARE = "fair_share"
    UPSCALING_SPEED = "upscaling_speed"
    BACKED_OFF = "backed_off"
    GANG_TOO_WIDE = "gang_too_wide"
    SPARED = "spared"
    WORK_FIRST = "work_first"
    GANG_APART = "gang_apart"
    PENDING_THRESHOLD = "pending_threshold"
    ENGINE_DOWN = "engine_down"
    WAITING_FOR_HEAD = "waiting_for_head"
    SHUTTING_DOWN = "shutting_down"
    # offers that were not launched, when somebody asks why
    CHOSEN = "chosen"
    ROOM_EXISTS = "room_exists"
    ACCELERATOR_KEPT = "accelerator_kept"
    LOWER_PRIORITY = "lower_priority"
    DEARER = "dearer"
    EQUALLY_DEAR = "equally_dear"
    TOGETHER = "together"
    PRICE_UNKNOWN = "price_unknown"
    # findings
    IMPOSSIBLE = "impossible"
    ADOPTED = "adopted"
    RELEASE_FAILED = "release_failed"
    BAD_ORDER = "bad_order"
    BROKEN_INVARIANT = "broken_invariant"
    UNKNOWN_POOL = "unknown_pool"


TEXTS: dict[ReasonCode, str] = {
    ReasonCode.HEAD: "a cluster needs its head",
    ReasonCode.MIN_WORKERS: "pool {pool} keeps at least {min_workers}",
    ReasonCode.TASKS: "{tasks} tasks wait for machines",
    ReasonCode.GANG: "{gangs} placement groups wait for machines",
    ReasonCode.REQUESTED: "request_resources asks for {bundles} bundles",
    ReasonCode.SCALE_ORDER: "{by} ordered {pool} to {count}",
    ReasonCode.RELAUNCH: "launch {batch} was asked for, but nobody knows how it ended",
    ReasonCode.DETOUR: "{offer} would be cheaper, but is not asked for {left_s:.0f} s more after {error}",
    ReasonCode.SPOT_SPREAD: "spread over {offers} spot offers of nearly equal price (within {spot_spread_margin:.0%})",
    ReasonCode.BUFFER: "{pieces} pieces of room are kept free ({names})",
    ReasonCode.UTILIZATION: "{pieces} pieces of room keep the use at or below its target ({names})",
    ReasonCode.SCHEDULE: "schedule {schedule} is on",
    ReasonCode.FORECAST: "{pieces} pieces of room are for what is expected soon ({names})",
    ReasonCode.STANDBY: "pool {pool} keeps {wanted} on standby",
    ReasonCode.STANDBY_USED: "{machines} were on standby",
    ReasonCode.STANDBY_SURPLUS: "pool {pool} has {have} on standby and wants {wanted}",
    ReasonCode.STILL_RUNNING: "was stopped {since_s:.0f} s ago and still runs",
    ReasonCode.CANNOT_STOP: "it cannot be stopped: {error}",
    ReasonCode.ON_STANDBY: "waits without Ray until it is needed",
    ReasonCode.OVERLAY: "its offer counts as {counted_usd_per_hour:.3f} USD/h ({why})",
    ReasonCode.IDLE: "idle for {idle_s:.0f} s (time-out {idle_timeout_s:g} s)",
    ReasonCode.UNNEEDED: "nothing needs it any more",
    ReasonCode.OVER_MAX: "{scope} has {count} machines, {max_workers} are allowed",
    ReasonCode.OVER_BUDGET: "costs {usd_per_hour:.2f} USD/h, {max_usd_per_hour:.2f} are allowed",
    ReasonCode.OVER_RESOURCES: "machines have {have:g} {resource}, {most:g} are allowed",
    ReasonCode.OVER_DAY_BUDGET: "{spent_usd:.2f} USD were spent today, {max_usd_per_day:.2f} are allowed",
    ReasonCode.POOL_REMOVED: "pool {pool} is no longer in the configuration",
    ReasonCode.ORDERED: "{by} ordered it: {why}",
    ReasonCode.SHUTDOWN: "the cluster is shutting down",
    ReasonCode.INTERRUPTED: "the provider takes it back in {left_s:.0f} s",
    ReasonCode.DRIFTED: "was started from an older configuration of pool {pool}",
    ReasonCode.EXPIRED: "is {age_s:.0f} s old (maximum {max_age_s:g} s)",
    ReasonCode.UNDERUSED: "its work fits on other machines, which saves {usd_per_hour:.3g} USD/h (score {score:.2f})",
    ReasonCode.CHEAPER: "{offer} would do, which saves {usd_per_hour:.3g} USD/h (score {score:.2f})",
    ReasonCode.MAKES_ROOM: "is idle and makes room for what waits",
    ReasonCode.EXCHANGE: "{machines} machines give way to one of {offer}",
    ReasonCode.RESTARTABLE: "its work can be started again elsewhere",
    ReasonCode.GRACE: "what runs on it may go on for {left_s:.0f} s",
    ReasonCode.REPLACEMENT: "work of {machines} machines that are leaving needs room",
    ReasonCode.REPLACING: "leaves when what takes its place is up",
    ReasonCode.STANDS_IN: "kept for the work of a machine that is leaving",
    ReasonCode.ON_HAND: "nothing needs it now; kept for {left_s:.0f} s, as {in_use} machines of {pool} are in use",
    ReasonCode.BOOT_TIMEOUT: "did not join within {boot_timeout_s:g} s",
    ReasonCode.REQUEST_TIMEOUT: "did not appear within {request_timeout_s:g} s",
    ReasonCode.PROVISION_TIMEOUT: "could not be had within {timeout_s:g} s: {error}",
    ReasonCode.NODE_DIED: "its Ray node died",
    ReasonCode.MACHINE_FAILED: "its machine failed: {error}",
    ReasonCode.MACHINE_LOST: "the provider no longer has it",
    ReasonCode.DRAINED: "its node has left",
    ReasonCode.DRAIN_DEADLINE: "its drain deadline has passed",
    ReasonCode.REPLICA_BROKEN: "another host of its replica failed",
    ReasonCode.LAUNCH_FAILED: "launch failed: {error}",
    ReasonCode.STILL_LISTED: "was released {since_s:.0f} s ago and still exists",
    ReasonCode.BUSY: "in use: {used}",
    ReasonCode.NOT_IDLE_YET: "idle for {idle_s:.0f} of {idle_timeout_s:g} s",
    ReasonCode.NEEDED: "kept for {by}",
    ReasonCode.BOOTING: "on its way",
    ReasonCode.IS_HEAD: "the head is never released",
    ReasonCode.DO_NOT_DISRUPT: "labelled do-not-disrupt",
    ReasonCode.DRAIN_REFUSED: "Ray refused the drain; tried again in {retry_s:.0f} s",
    ReasonCode.LEAVING: "is leaving",
    ReasonCode.DOWNSCALING_SPEED: "held by downscaling_speed {downscaling_speed:g}",
    ReasonCode.DISRUPTION_BUDGET: "{why}, but a disruption budget lets {nodes} leave at a time; {leaving} are leaving",
    ReasonCode.SCALE_DOWN_UTILIZATION: "without it {utilization:.0%} of {pool} would be in use, more than "
    "{scale_down_utilization:.0%}",
    ReasonCode.NO_POOL_FITS: "no pool can ever hold {shape}",
    ReasonCode.TOO_SMALL: "has {have} {resource}, {need} are needed",
    ReasonCode.LABELS_DIFFER: "its labels do not match {selector}",
    ReasonCode.MAX_WORKERS: "the cluster is at its maximum of {max_workers}",
    ReasonCode.POOL_MAX_WORKERS: "is at its maximum of {max_workers}",
    ReasonCode.BUDGET: "would cost more than {max_usd_per_hour:.2f} USD/h",
    ReasonCode.MAX_RESOURCES: "machines have {have:g} {resource}, and {most:g} are allowed",
    ReasonCode.DAY_BUDGET: "would cost more than {max_usd_per_day:.2f} USD today, of which {spent_usd:.2f} are spent",
    ReasonCode.LAUNCH_RATE: "{launched} machines were launched within a minute, {max_launches_per_min} are allowed",
    ReasonCode.QUOTA: "{owner} uses {used:g} {resource}, {most:g} are its quota",
    ReasonCode.FAIR_SHARE: "{owner} has had its turns (weight {weight:g})",
    ReasonCode.UPSCALING_SPEED: "held by upscaling_speed {upscaling_speed:g}: {starting} are starting",
    ReasonCode.BACKED_OFF: "backs off for {left_s:.0f} s more after {error}",
    ReasonCode.GANG_APART: "its machines must agree on {label}, and nowhere is room for all of them",
    ReasonCode.GANG_TOO_WIDE: "a group of {bundles} bundles needs {missing} more machines than allowed",
    ReasonCode.SPARED: "is kept for work that needs its accelerator: {offer} is asked again in {left_s:.0f} s",
    ReasonCode.WORK_FIRST: "work that waits would take the room at once",
    ReasonCode.PENDING_THRESHOLD: "{pending} tasks wait, one for {age_s:.0f} s: machines are launched at {threshold}",
    ReasonCode.ENGINE_DOWN: "Ray does not answer",
    ReasonCode.WAITING_FOR_HEAD: "the head is not up yet",
    ReasonCode.SHUTTING_DOWN: "the cluster is shutting down",
    ReasonCode.CHOSEN: "{machines} launched for it",
    ReasonCode.ROOM_EXISTS: "not needed: machines that exist or are on their way have room ({machines})",
    ReasonCode.ACCELERATOR_KEPT: "its {resource} is kept for work that asks for it; launched instead: {offer}",
    ReasonCode.LOWER_PRIORITY: "its pool has priority {priority}; what is launched has {highest} ({offer})",
    ReasonCode.DEARER: "dearer by {more_usd_per_hour:.4g} USD/h: {machines} would cost {usd_per_hour:.4g}, what is "
    "launched ({offer}) costs {least_usd_per_hour:.4g}",
    ReasonCode.EQUALLY_DEAR: "as dear as {offer} ({usd_per_hour:.4g} USD/h), which goes before it",
    ReasonCode.TOGETHER: "alone it would save {less_usd_per_hour:.4g} USD/h, but {offer} takes other work along",
    ReasonCode.PRICE_UNKNOWN: "{offer} has no price and is compared by its resources",
    ReasonCode.IMPOSSIBLE: "{claim} cannot go from {phase} on {fact}",
    ReasonCode.ADOPTED: "machine {machine} carried our tag but had no claim",
    ReasonCode.RELEASE_FAILED: "release failed: {error}",
    ReasonCode.BAD_ORDER: "order {order} cannot be carried out: {why}",
    ReasonCode.BROKEN_INVARIANT: "{rule}: {what}",
    ReasonCode.UNKNOWN_POOL: "{claim} belongs to pool {pool}, which does not exist",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One typed reason; `chain` holds what modified it (limits append here).

    `details` must hold every name in the code's text (`TEXTS`); the unit tests walk all codes.
    """

    code: ReasonCode
    details: FrozenMap[Detail] = FrozenMap()
    chain: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """Return the sentence for people, chain included."""
        own = TEXTS[self.code].format_map(self.details)
        return "; ".join([own, *(reason.text for reason in self.chain)])

    def because(self, other: Reason) -> Reason:
        """Return this reason with `other` appended to its chain. No sentence is told twice."""
        return replace(self, chain=(*self.chain, *_untold(other, set(_sentences(self)))))


def _sentences(of: Reason) -> Iterator[str]:
    yield TEXTS[of.code].format_map(of.details)
    for link in of.chain:
        yield from _sentences(link)


def _untold(of: Reason, told: set[str]) -> tuple[Reason, ...]:
    """Return what is left of a reason without the sentences in `told`, to which its own are added."""
    own = TEXTS[of.code].format_map(of.details)
    known = own in told
    told.add(own)
    chain = tuple(rest for link in of.chain for rest in _untold(link, told))
    return chain if known else (of if chain == of.chain else replace(of, chain=chain),)


def reason(code: ReasonCode, **details: Detail) -> Reason:
    """Build a reason: `reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)`."""
    return Reason(code, FrozenMap(details))
