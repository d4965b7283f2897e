"""Reasons why machines are launched, leave, or stay."""

from __future__ import annotations

from typing import Final

from rayfleet.model.meanings.meaning import NOTHING, Meaning, means
from rayfleet.model.reason import ReasonCode

_LIMITS: Final = "the limits in its chain"

LAUNCHES: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.HEAD: means(
        "The cluster has no head, so one is started. Nothing else is scaled before it is ready.",
    ),
    ReasonCode.MIN_WORKERS: means(
        f"The pool had fewer machines than its minimum. As a finding: {_LIMITS} forbid some of them.",
        "To have fewer: `rayfleet set POOL.min_workers=N`, or `min_workers` in the cluster's file.",
        pool="the pool",
        min_workers="its minimum, in machines",
    ),
    ReasonCode.TASKS: means(
        "Tasks or actors wait that no machine, also none on its way, has room for.",
        NOTHING,
        tasks="how many of them the new machines are for",
    ),
    ReasonCode.GANG: means(
        "Placement groups wait. Each gets room for all of its bundles, or none.",
        NOTHING,
        gangs="how many groups the new machines are for",
    ),
    ReasonCode.REQUESTED: means(
        "`request_resources` was called, and all machines together are smaller than what it asks for.",
        "To take the request back, call `rayfleet.request_resources()` without arguments.",
        bundles="how many of the requested bundles the new machines are for",
    ),
    ReasonCode.SCALE_ORDER: means(
        "Somebody has ordered the pool to this size with `rayfleet scale`; the order stands whatever the demand.",
        "`rayfleet scale POOL --clear` lets the pool follow its demand again.",
        by="who ordered it",
        pool="the pool",
        count="the ordered size, in machines",
    ),
    ReasonCode.RELAUNCH: means(
        "The controller ended while a launch was on its way. It is asked for again under the same token, so that no "
        "machine comes twice.",
        NOTHING,
        batch="token of the launch",
    ),
    ReasonCode.DETOUR: means(
        "In the chain of a launch: an offer that would have been cheaper for this work (another zone, market, type or "
        "provider) was not asked, because it has failed lately. At most three are named, the cheapest ones.",
        "Nothing: it is asked again when its wait is over.",
        offer="the offer: its pool, market, zone and provider",
        left_s="seconds until it is asked again",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.REPLACEMENT: means(
        "Machines with work on them are about to leave (taken back by the provider, too old, outdated, or dearer than "
        "need be). Room for their work is made before they go.",
        NOTHING,
        machines="how many machines are leaving whose work has no room elsewhere",
    ),
    ReasonCode.SPOT_SPREAD: means(
        "In the chain of a launch: `spot_spread_margin` is set, so spot machines are shared out over all offers of the "
        "pool within that margin of the cheapest one, and fewer of them are taken back at the same time.",
        "`rayfleet set spot_spread_margin=null` takes the cheapest offer only.",
        offers="over how many offers",
        spot_spread_margin="how much dearer than the cheapest one an offer may be, as a share",
    ),
    ReasonCode.BUFFER: means(
        "Buffers of the policy keep room free for what nobody asks for yet, and less than that was free.",
        "To keep less free: `rayfleet set buffer:NAME=N`, or `buffers` in the cluster's file.",
        pieces="how many pieces of room the new machines are for",
        names="the buffers",
    ),
    ReasonCode.UTILIZATION: means(
        "More of a resource is in use than `scale_up_utilization` wants, so there is to be more of it.",
        "`rayfleet set scale_up_utilization:CPU=null` takes the target away.",
        pieces="how many units of room the new machines are for",
        names="the resources, each with its target",
    ),
    ReasonCode.FORECAST: means(
        "More than is in use now was needed one season ago, so room is made in advance (`forecast` of the policy).",
        "To do without: take `forecast` out of the cluster's file. Beside each name stands how wrong it was so far.",
        pieces="how many pieces of room the new machines are for",
        names="what is expected, with the mean error of such forecasts",
    ),
    ReasonCode.STANDBY: means(
        "The pool keeps machines on standby (`standby`): stopped, or booted without Ray. One is made when fewer wait "
        "and all work is served; in the chain of an idle machine: it is stopped instead of given back. As a finding: "
        f"{_LIMITS} forbid some of them.",
        "To have fewer: `rayfleet set standby:POOL=N`, or `standby` in the cluster's file.",
        pool="the pool",
        wanted="how many are wanted on standby, in machines",
    ),
    ReasonCode.STANDBY_USED: means(
        "In the chain of a launch: machines on standby of the same offer are started, which is faster than making new "
        "ones.",
        NOTHING,
        machines="how many of them",
    ),
    ReasonCode.OVERLAY: means(
        "An overlay of the policy has made this offer cheaper or dearer when it was chosen; it stands in the chain.",
        "Nothing, if that is meant. Else correct `overlays` in the cluster's file.",
        counted_usd_per_hour="what the offer was compared by, in USD per hour",
        why="what the overlays say that they are for",
    ),
    ReasonCode.SCHEDULE: means(
        "A schedule of the policy is on and has set this limit; it stands in the chain of what follows from it.",
        "Wait until it is over, change `schedules` in the cluster's file, or go before it with `rayfleet set`.",
        schedule="its name",
    ),
}

RELEASES: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.IDLE: means(
        "Nothing has run on the machine for longer than the time-out, and no demand or minimum needs it.",
        "To keep idle machines longer: `rayfleet set idle_timeout_s=N`, or `POOL.idle_timeout_s` for one pool.",
        idle_s="seconds for which nothing has run on it",
        idle_timeout_s="the time-out that holds for its pool, in seconds",
    ),
    ReasonCode.EXPIRED: means(
        "The machine is older than `max_age_s` allows. Idle machines, and those whose work may be restarted, go one "
        "after the other within the disruption budgets; what they do gets its place elsewhere first.",
        "`rayfleet set max_age_s=null`, or `POOL.max_age_s`, changes the age.",
        age_s="seconds since it was launched",
        max_age_s="the age that its pool allows, in seconds",
    ),
    ReasonCode.EXCHANGE: means(
        "Consolidation: one machine of another offer takes the work of so many, and costs less than they do. It is up "
        "before they leave.",
        "`rayfleet set consolidation_threshold=null` stops consolidation.",
        machines="how many give way to it",
        offer="what takes their place",
    ),
    ReasonCode.GRACE: means(
        "The machine is beyond its maximum age and in use: it takes no new work, and what runs there has time to "
        "finish before it is ended, restartable or not.",
        "`rayfleet set max_age_grace_s=N`, or `POOL.max_age_grace_s`, for the next ones; null never ends such work.",
        left_s="seconds that the work had when the machine began to leave",
    ),
    ReasonCode.UNDERUSED: means(
        "Consolidation: the little that runs on the machine fits on others that are up, so it is not worth its price.",
        "`rayfleet set consolidation_threshold=null` stops consolidation.",
        usd_per_hour="what is saved, in USD per hour",
        score="saving / (saving + disruption), where disruption is the price of the part that is in use",
    ),
    ReasonCode.CHEAPER: means(
        "Consolidation: an offer that costs at least a tenth less would do, such as spot that can be had again. A "
        "machine of that offer is made first.",
        "`rayfleet set consolidation_threshold=null` stops consolidation.",
        offer="what would do instead",
        usd_per_hour="what is saved, in USD per hour",
        score="saving / (saving + disruption), where disruption is the price of the part that is in use",
    ),
    ReasonCode.MAKES_ROOM: means(
        "The machine is idle, nothing needs it, and a limit that it counts in (machines, money, a resource) keeps away "
        "what waits. So it leaves before its idle time-out. Minimums, disruption budgets and do-not-disrupt hold, and "
        "Ray may refuse.",
        "To keep it: raise the limit that the chain names, or give its pool a minimum.",
    ),
    ReasonCode.RESTARTABLE: means(
        "In the chain of a voluntary departure: the machine was in use, and its pool (`restartable`) or its label "
        "`rayfleet.io/restartable` says that its work may be ended and started again.",
    ),
    ReasonCode.UNNEEDED: means(
        "The machine was still starting when the demand for it went away. Also: a second head, which no cluster "
        "can use.",
    ),
    ReasonCode.OVER_MAX: means(
        "There are more machines than a maximum allows, mostly because it was lowered. Starting machines go first, "
        "then idle ones, then the least used, which get `drain_timeout_s` to finish.",
        "Raise the maximum: `rayfleet set max_workers=N` or `rayfleet set POOL.max_workers=N`; to end an order, "
        "`rayfleet scale POOL --clear`.",
        scope="the pool, or the cluster",
        count="machines that there were, those on their way included",
        max_workers="the maximum, in machines",
    ),
    ReasonCode.OVER_BUDGET: means(
        "All machines together cost more than the budget allows, mostly because it was lowered.",
        "Raise the budget: `rayfleet set max_usd_per_hour=N` (null: none).",
        usd_per_hour="cost of all machines with a known price, in USD per hour",
        max_usd_per_hour="the budget, in USD per hour",
    ),
    ReasonCode.OVER_RESOURCES: means(
        "The workers have more of a resource than `max_resources` allows, mostly because the limit was lowered.",
        "`rayfleet set max_resources:CPU=N` (null: no limit).",
        resource="the resource",
        have="how much of it they had (memory: bytes)",
        most="how much is allowed",
    ),
    ReasonCode.OVER_DAY_BUDGET: means(
        "The money of the day is spent. Everything that has a price leaves; at midnight (UTC) a new day begins.",
        "Raise the budget: `rayfleet set max_usd_per_day=N` (null: none).",
        spent_usd="USD spent since midnight (UTC)",
        max_usd_per_day="the budget of the day, in USD",
    ),
    ReasonCode.POOL_REMOVED: means(
        "The machine's pool was taken out of the cluster's file. It gets `drain_timeout_s` to finish.",
        "If that was a mistake, put the pool back and run `rayfleet up FILE` again.",
        pool="the pool that is gone",
    ),
    ReasonCode.ORDERED: means(
        "Somebody asked for it: `rayfleet drain`, or a drain that Ray was told of directly.",
        NOTHING,
        by="who",
        why="the reason that was given with the order",
    ),
    ReasonCode.SHUTDOWN: means("`rayfleet down`: all workers leave, the head last."),
    ReasonCode.INTERRUPTED: means(
        "The provider has announced that it takes the machine back, in its listing or to the machine itself. It is "
        "drained until then.",
        "Replacements come as far as demand needs them. What must not be interrupted belongs in a pool "
        "without spot offers.",
        left_s="seconds until then",
    ),
    ReasonCode.DRIFTED: means(
        "The machine was started before its pool was changed. It is replaced once idle, at most half of a pool at "
        "a time.",
        "Nothing. To hurry one: `rayfleet drain NODE`.",
        pool="its pool",
    ),
    ReasonCode.BOOT_TIMEOUT: means(
        "The machine exists, but its node did not join Ray in time. Its offer backs off.",
        "`rayfleet logs` has what the machine said last. If it only is slow, raise `timeouts: {boot_timeout_s: N}`.",
        boot_timeout_s="the time-out, in seconds",
    ),
    ReasonCode.REQUEST_TIMEOUT: means(
        "The provider took the request, and no machine came in time. Its offer backs off.",
        "Look at the provider's own console or log, then at `rayfleet history`.",
        request_timeout_s="the time-out, in seconds",
    ),
    ReasonCode.PROVISION_TIMEOUT: means(
        "The provider took the request, but says that the machine has to wait: for stock, for a quota, or because of "
        "an error. Each of these has its own time-out. Its offer backs off for that reason; the next one is asked.",
        "To wait longer: `timeouts: {stockout_timeout_s: N, quota_timeout_s: N}`, or `rayfleet set "
        "timeouts:quota_timeout_s=N`. Better: allow more zones or types, or have the quota raised.",
        timeout_s="the time-out of that reason, in seconds",
        error="what it waits for, and the provider's own words",
    ),
    ReasonCode.NODE_DIED: means(
        "Ray says that the machine's node is dead, or has not known it for `node_timeout_s`. Ray runs its work again "
        "elsewhere as far as it can; a new machine comes if demand needs one.",
        "If it happens again, look for memory that ran out: `ray logs` and the machine's own log.",
    ),
    ReasonCode.MACHINE_FAILED: means(
        "A machine that was in use has failed, says its provider. A new one comes if demand needs it.",
        "Read the error; `rayfleet logs` has more.",
        error="the provider's own words",
    ),
    ReasonCode.MACHINE_LOST: means(
        "The provider does not list the machine any more: somebody or something else has ended it.",
        "If that was you: `rayfleet drain NODE` lets work finish first.",
    ),
    ReasonCode.DRAINED: means(
        "The machine's node has left Ray as it was asked to, so the machine is given back. The chain says why it "
        "was asked.",
    ),
    ReasonCode.DRAIN_DEADLINE: means(
        "The machine was asked to leave and did not in time, so it is given back with what still ran on it.",
        "To give work more time: `timeouts: {drain_timeout_s: N}` in the cluster's file.",
    ),
    ReasonCode.REPLICA_BROKEN: means(
        "One host of a replica of several failed. They only work together, so all are given back.",
        "Nothing: a whole replica comes if demand needs one. `rayfleet history` shows which host it was.",
    ),
    ReasonCode.LAUNCH_FAILED: means(
        "The provider could not start the machine. Its offer backs off; another offer or pool is used if one fits.",
        "Read the error. Out of stock: allow more zones or types. A quota: have it raised. Denied: repair the "
        "permissions, then `rayfleet up` again.",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.STILL_LISTED: means(
        "The machine was given back some time ago and still exists, so it is given back once more.",
        "If it goes on: end it where it runs; `rayfleet why` names it.",
        since_s="seconds since it was released first",
    ),
    ReasonCode.STANDBY_SURPLUS: means(
        "More machines of the pool wait on standby than are wanted: the number was lowered, or another has come back. "
        "The one that has waited longest is given back.",
        "To keep more: `rayfleet set standby:POOL=N`, or `standby` in the cluster's file.",
        pool="the pool",
        have="how many waited, in machines",
        wanted="how many are wanted",
    ),
    ReasonCode.STILL_RUNNING: means(
        "The machine was to wait on standby and is not at rest yet, so it is stopped once more.",
        "If it goes on: look at the machine where it runs; `rayfleet drain` gives it back.",
        since_s="seconds since it was to be stopped",
    ),
    ReasonCode.CANNOT_STOP: means(
        "The provider does not let the machine wait on standby, so it is given back.",
        "Read the error. Some kinds of machines (spot, mostly) cannot be stopped: take `standby` from their pool.",
        error="what kind of failure, and the provider's own words",
    ),
}

STAYS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.BUSY: means(
        "Work runs on the machine, or it holds objects that are in use.",
        NOTHING,
        used="resources in use, or what Ray says that keeps it",
    ),
    ReasonCode.NOT_IDLE_YET: means(
        "The machine is idle, but not for long enough.",
        "To let it leave sooner: `rayfleet set idle_timeout_s=N`, or `rayfleet drain NODE`.",
        idle_s="seconds for which nothing has run on it",
        idle_timeout_s="the time-out that holds for its pool, in seconds",
    ),
    ReasonCode.NEEDED: means(
        "The machine is, or will be, idle, and something counts on it.",
        "`rayfleet why SHAPE` shows the demand.",
        by="kind of demand (tasks, gang, requested), the minimum of its pool, or who joined it by hand",
    ),
    ReasonCode.BOOTING: means("The machine is on its way, or has just joined."),
    ReasonCode.IS_HEAD: means(
        "The head carries the cluster's state, so no plan releases it.",
        "To end the cluster: `rayfleet down`.",
    ),
    ReasonCode.DO_NOT_DISRUPT: means(
        'The machine carries the label `rayfleet.io/do-not-disrupt: "true"`, so idleness alone does not end it.',
        "Nothing, or `rayfleet drain NODE`; for machines to come, take the label out of the pool's `labels`.",
    ),
    ReasonCode.REPLACING: means(
        "The machine is to leave, for the reason in its chain, as soon as there is room elsewhere for what it does.",
    ),
    ReasonCode.ON_STANDBY: means(
        "The machine waits on standby, without Ray and (stopped) without most of its price. Launches of its offer use "
        "it before new ones.",
        "To have fewer: `rayfleet set standby:POOL=N`; `rayfleet drain NODE` gives this one back.",
    ),
    ReasonCode.ON_HAND: means(
        "Nothing needs the machine any more while it is on its way. Others of its pool are in use, so that it may soon "
        "be needed again: it is not cancelled before its idle time-out has passed since its launch.",
        "`rayfleet set keep_starting_share=0` cancels such machines at once.",
        in_use="machines of its pool that are in use; a share of that number is kept",
        pool="its pool",
        left_s="seconds until it is cancelled unless it joins or is needed before",
    ),
    ReasonCode.STANDS_IN: means(
        "Nothing runs on the machine yet; it has room for the work of one that is leaving.",
    ),
    ReasonCode.SCALE_DOWN_UTILIZATION: means(
        "The machine is idle or little used, but without it more of its pool would be in use than is wanted: it stays "
        "as room to spare.",
        "`rayfleet set scale_down_utilization=null`, or a larger share.",
        pool="its pool",
        utilization="which share of the pool's fullest resource would be in use without it",
        scale_down_utilization="the share that is wanted at most",
    ),
    ReasonCode.DISRUPTION_BUDGET: means(
        "The machine may go, but as many as a disruption budget allows are leaving already, or it allows none now.",
        "Nothing: it goes when its turn comes. `rayfleet set disruption_budgets=100%` lets all of them go.",
        why="why it may go: idle, drifted, expired or underused",
        nodes="how many the budget allows at a time, a number or a share",
        leaving="how many are leaving voluntarily or about to",
    ),
    ReasonCode.DRAIN_REFUSED: means(
        "The machine was asked to leave for being idle, and Ray refused because work had come in the meantime.",
        NOTHING,
        retry_s="seconds until it may be asked again",
    ),
    ReasonCode.LEAVING: means("The machine is leaving already; the chain says why."),
    ReasonCode.DOWNSCALING_SPEED: means(
        "The machine may leave, but enough of its pool are leaving already.",
        "`rayfleet set downscaling_speed=null` lifts the limit.",
        downscaling_speed="the limit: at most this times the ready machines leave at once, and five in any case",
    ),
}
