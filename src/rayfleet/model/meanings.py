"""What every reason code means, what the values in its details are, and what a person can do about it.

The sentence of one case is made from `reason.TEXTS`; this is about the code itself, for the reference page and for
whoever asks about a code. A module of its own: whoever only plans does not load it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rayfleet.model.frozen import FrozenMap
from rayfleet.model.reason import ReasonCode

NOTHING: Final = "Nothing: this is as it should be."
_LIMITS: Final = "the limits in its chain"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code for people. `says`: what has happened; `do`: what they can do; `details`: each key -> what it is."""

    says: str
    do: str
    details: FrozenMap[str] = FrozenMap()


def _means(says: str, do: str = NOTHING, /, **details: str) -> Meaning:
    return Meaning(says, do, FrozenMap(details))


LAUNCHES: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.HEAD: _means(
        "The cluster has no head, so one is started. Nothing else is scaled before it is ready.",
    ),
    ReasonCode.MIN_WORKERS: _means(
        f"The pool had fewer machines than its minimum. As a finding: {_LIMITS} forbid some of them.",
        "To have fewer: `rayfleet set POOL.min_workers=N`, or `min_workers` in the cluster's file.",
        pool="the pool",
        min_workers="its minimum, in machines",
    ),
    ReasonCode.TASKS: _means(
        "Tasks or actors wait that no machine, also none on its way, has room for.",
        NOTHING,
        tasks="how many of them the new machines are for",
    ),
    ReasonCode.GANG: _means(
        "Placement groups wait. Each gets room for all of its bundles, or none.",
        NOTHING,
        gangs="how many groups the new machines are for",
    ),
    ReasonCode.REQUESTED: _means(
        "`request_resources` was called, and all machines together are smaller than what it asks for.",
        "To take the request back, call `rayfleet.request_resources()` without arguments.",
        bundles="how many of the requested bundles the new machines are for",
    ),
    ReasonCode.SCALE_ORDER: _means(
        "Somebody has ordered the pool to this size with `rayfleet scale`; the order stands whatever the demand.",
        "`rayfleet scale POOL --clear` lets the pool follow its demand again.",
        by="who ordered it",
        pool="the pool",
        count="the ordered size, in machines",
    ),
    ReasonCode.RELAUNCH: _means(
        "The controller ended while a launch was on its way. It is asked for again under the same token, so that no "
        "machine comes twice.",
        NOTHING,
        batch="token of the launch",
    ),
    ReasonCode.DETOUR: _means(
        "In the chain of a launch: an offer that would have been cheaper for this work (another zone, market, type or "
        "provider) was not asked, because it has failed lately. At most three are named, the cheapest ones.",
        "Nothing: it is asked again when its wait is over.",
        offer="the offer: its pool, market, zone and provider",
        left_s="seconds until it is asked again",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.REPLACEMENT: _means(
        "Machines with work on them are about to leave (taken back by the provider, too old, outdated, or dearer than "
        "need be). Room for their work is made before they go.",
        NOTHING,
        machines="how many machines are leaving whose work has no room elsewhere",
    ),
    ReasonCode.SPOT_SPREAD: _means(
        "In the chain of a launch: `spot_spread_margin` is set, so spot machines are shared out over all offers of the "
        "pool within that margin of the cheapest one, and fewer of them are taken back at the same time.",
        "`rayfleet set spot_spread_margin=null` takes the cheapest offer only.",
        offers="over how many offers",
        spot_spread_margin="how much dearer than the cheapest one an offer may be, as a share",
    ),
    ReasonCode.BUFFER: _means(
        "Buffers of the policy keep room free for what nobody asks for yet, and less than that was free.",
        "To keep less free: `rayfleet set buffer:NAME=N`, or `buffers` in the cluster's file.",
        pieces="how many pieces of room the new machines are for",
        names="the buffers",
    ),
    ReasonCode.UTILIZATION: _means(
        "More of a resource is in use than `scale_up_utilization` wants, so there is to be more of it.",
        "`rayfleet set scale_up_utilization:CPU=null` takes the target away.",
        pieces="how many units of room the new machines are for",
        names="the resources, each with its target",
    ),
    ReasonCode.FORECAST: _means(
        "More than is in use now was needed one season ago, so room is made in advance (`forecast` of the policy).",
        "To do without: take `forecast` out of the cluster's file. Beside each name stands how wrong it was so far.",
        pieces="how many pieces of room the new machines are for",
        names="what is expected, with the mean error of such forecasts",
    ),
    ReasonCode.STANDBY: _means(
        "The pool keeps machines on standby (`standby`): stopped, or booted without Ray. One is made when fewer wait "
        "and all work is served; in the chain of an idle machine: it is stopped instead of given back. As a finding: "
        f"{_LIMITS} forbid some of them.",
        "To have fewer: `rayfleet set standby:POOL=N`, or `standby` in the cluster's file.",
        pool="the pool",
        wanted="how many are wanted on standby, in machines",
    ),
    ReasonCode.STANDBY_USED: _means(
        "In the chain of a launch: machines on standby of the same offer are started, which is faster than making new "
        "ones.",
        NOTHING,
        machines="how many of them",
    ),
    ReasonCode.OVERLAY: _means(
        "An overlay of the policy has made this offer cheaper or dearer when it was chosen; it stands in the chain.",
        "Nothing, if that is meant. Else correct `overlays` in the cluster's file.",
        counted_usd_per_hour="what the offer was compared by, in USD per hour",
        why="what the overlays say that they are for",
    ),
    ReasonCode.SCHEDULE: _means(
        "A schedule of the policy is on and has set this limit; it stands in the chain of what follows from it.",
        "Wait until it is over, change `schedules` in the cluster's file, or go before it with `rayfleet set`.",
        schedule="its name",
    ),
}

RELEASES: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.IDLE: _means(
        "Nothing has run on the machine for longer than the time-out, and no demand or minimum needs it.",
        "To keep idle machines longer: `rayfleet set idle_timeout_s=N`, or `POOL.idle_timeout_s` for one pool.",
        idle_s="seconds for which nothing has run on it",
        idle_timeout_s="the time-out that holds for its pool, in seconds",
    ),
    ReasonCode.EXPIRED: _means(
        "The machine is older than `max_age_s` allows. Idle machines, and those whose work may be restarted, go one "
        "after the other within the disruption budgets; what they do gets its place elsewhere first.",
        "`rayfleet set max_age_s=null`, or `POOL.max_age_s`, changes the age.",
        age_s="seconds since it was launched",
        max_age_s="the age that its pool allows, in seconds",
    ),
    ReasonCode.UNDERUSED: _means(
        "Consolidation: the little that runs on the machine fits on others that are up, so it is not worth its price.",
        "`rayfleet set consolidation_threshold=null` stops consolidation.",
        usd_per_hour="what is saved, in USD per hour",
        score="saving / (saving + disruption), where disruption is the price of the part that is in use",
    ),
    ReasonCode.CHEAPER: _means(
        "Consolidation: an offer that costs at least a tenth less would do, such as spot that can be had again. A "
        "machine of that offer is made first.",
        "`rayfleet set consolidation_threshold=null` stops consolidation.",
        offer="what would do instead",
        usd_per_hour="what is saved, in USD per hour",
        score="saving / (saving + disruption), where disruption is the price of the part that is in use",
    ),
    ReasonCode.MAKES_ROOM: _means(
        "The machine is idle, nothing needs it, and a limit that it counts in (machines, money, a resource) keeps away "
        "what waits. So it leaves before its idle time-out. Minimums, disruption budgets and do-not-disrupt hold, and "
        "Ray may refuse.",
        "To keep it: raise the limit that the chain names, or give its pool a minimum.",
    ),
    ReasonCode.RESTARTABLE: _means(
        "In the chain of a voluntary departure: the machine was in use, and its pool (`restartable`) or its label "
        "`rayfleet.io/restartable` says that its work may be ended and started again.",
    ),
    ReasonCode.UNNEEDED: _means(
        "The machine was still starting when the demand for it went away. Also: a second head, which no cluster "
        "can use.",
    ),
    ReasonCode.OVER_MAX: _means(
        "There are more machines than a maximum allows, mostly because it was lowered. Starting machines go first, "
        "then idle ones, then the least used, which get `drain_timeout_s` to finish.",
        "Raise the maximum: `rayfleet set max_workers=N` or `rayfleet set POOL.max_workers=N`; to end an order, "
        "`rayfleet scale POOL --clear`.",
        scope="the pool, or the cluster",
        count="machines that there were, those on their way included",
        max_workers="the maximum, in machines",
    ),
    ReasonCode.OVER_BUDGET: _means(
        "All machines together cost more than the budget allows, mostly because it was lowered.",
        "Raise the budget: `rayfleet set max_usd_per_hour=N` (null: none).",
        usd_per_hour="cost of all machines with a known price, in USD per hour",
        max_usd_per_hour="the budget, in USD per hour",
    ),
    ReasonCode.OVER_RESOURCES: _means(
        "The workers have more of a resource than `max_resources` allows, mostly because the limit was lowered.",
        "`rayfleet set max_resources:CPU=N` (null: no limit).",
        resource="the resource",
        have="how much of it they had (memory: bytes)",
        most="how much is allowed",
    ),
    ReasonCode.OVER_DAY_BUDGET: _means(
        "The money of the day is spent. Everything that has a price leaves; at midnight (UTC) a new day begins.",
        "Raise the budget: `rayfleet set max_usd_per_day=N` (null: none).",
        spent_usd="USD spent since midnight (UTC)",
        max_usd_per_day="the budget of the day, in USD",
    ),
    ReasonCode.POOL_REMOVED: _means(
        "The machine's pool was taken out of the cluster's file. It gets `drain_timeout_s` to finish.",
        "If that was a mistake, put the pool back and run `rayfleet up FILE` again.",
        pool="the pool that is gone",
    ),
    ReasonCode.ORDERED: _means(
        "Somebody asked for it: `rayfleet drain`, or a drain that Ray was told of directly.",
        NOTHING,
        by="who",
        why="the reason that was given with the order",
    ),
    ReasonCode.SHUTDOWN: _means("`rayfleet down`: all workers leave, the head last."),
    ReasonCode.INTERRUPTED: _means(
        "The provider has announced that it takes the machine back. It is drained until then.",
        "Replacements come as far as demand needs them. What must not be interrupted belongs in a pool "
        "without spot offers.",
        left_s="seconds until then",
    ),
    ReasonCode.DRIFTED: _means(
        "The machine was started before its pool was changed. It is replaced once idle, at most half of a pool at "
        "a time.",
        "Nothing. To hurry one: `rayfleet drain NODE`.",
        pool="its pool",
    ),
    ReasonCode.BOOT_TIMEOUT: _means(
        "The machine exists, but its node did not join Ray in time. Its offer backs off.",
        "`rayfleet logs` has what the machine said last. If it only is slow, raise `timeouts: {boot_timeout_s: N}`.",
        boot_timeout_s="the time-out, in seconds",
    ),
    ReasonCode.REQUEST_TIMEOUT: _means(
        "The provider took the request, and no machine came in time. Its offer backs off.",
        "Look at the provider's own console or log, then at `rayfleet history`.",
        request_timeout_s="the time-out, in seconds",
    ),
    ReasonCode.PROVISION_TIMEOUT: _means(
        "The provider took the request, but says that the machine has to wait: for stock, for a quota, or because of "
        "an error. Each of these has its own time-out. Its offer backs off for that reason; the next one is asked.",
        "To wait longer: `timeouts: {stockout_timeout_s: N, quota_timeout_s: N}`, or `rayfleet set "
        "timeouts:quota_timeout_s=N`. Better: allow more zones or types, or have the quota raised.",
        timeout_s="the time-out of that reason, in seconds",
        error="what it waits for, and the provider's own words",
    ),
    ReasonCode.NODE_DIED: _means(
        "Ray says that the machine's node is dead, or has not known it for `node_timeout_s`. Ray runs its work again "
        "elsewhere as far as it can; a new machine comes if demand needs one.",
        "If it happens again, look for memory that ran out: `ray logs` and the machine's own log.",
    ),
    ReasonCode.MACHINE_FAILED: _means(
        "A machine that was in use has failed, says its provider. A new one comes if demand needs it.",
        "Read the error; `rayfleet logs` has more.",
        error="the provider's own words",
    ),
    ReasonCode.MACHINE_LOST: _means(
        "The provider does not list the machine any more: somebody or something else has ended it.",
        "If that was you: `rayfleet drain NODE` lets work finish first.",
    ),
    ReasonCode.DRAINED: _means(
        "The machine's node has left Ray as it was asked to, so the machine is given back. The chain says why it "
        "was asked.",
    ),
    ReasonCode.DRAIN_DEADLINE: _means(
        "The machine was asked to leave and did not in time, so it is given back with what still ran on it.",
        "To give work more time: `timeouts: {drain_timeout_s: N}` in the cluster's file.",
    ),
    ReasonCode.REPLICA_BROKEN: _means(
        "One host of a replica of several failed. They only work together, so all are given back.",
        "Nothing: a whole replica comes if demand needs one. `rayfleet history` shows which host it was.",
    ),
    ReasonCode.LAUNCH_FAILED: _means(
        "The provider could not start the machine. Its offer backs off; another offer or pool is used if one fits.",
        "Read the error. Out of stock: allow more zones or types. A quota: have it raised. Denied: repair the "
        "permissions, then `rayfleet up` again.",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.STILL_LISTED: _means(
        "The machine was given back some time ago and still exists, so it is given back once more.",
        "If it goes on: end it where it runs; `rayfleet why` names it.",
        since_s="seconds since it was released first",
    ),
    ReasonCode.STANDBY_SURPLUS: _means(
        "More machines of the pool wait on standby than are wanted: the number was lowered, or another has come back. "
        "The one that has waited longest is given back.",
        "To keep more: `rayfleet set standby:POOL=N`, or `standby` in the cluster's file.",
        pool="the pool",
        have="how many waited, in machines",
        wanted="how many are wanted",
    ),
    ReasonCode.STILL_RUNNING: _means(
        "The machine was to wait on standby and is not at rest yet, so it is stopped once more.",
        "If it goes on: look at the machine where it runs; `rayfleet drain` gives it back.",
        since_s="seconds since it was to be stopped",
    ),
    ReasonCode.CANNOT_STOP: _means(
        "The provider does not let the machine wait on standby, so it is given back.",
        "Read the error. Some kinds of machines (spot, mostly) cannot be stopped: take `standby` from their pool.",
        error="what kind of failure, and the provider's own words",
    ),
}

STAYS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.BUSY: _means(
        "Work runs on the machine, or it holds objects that are in use.",
        NOTHING,
        used="resources in use, or what Ray says that keeps it",
    ),
    ReasonCode.NOT_IDLE_YET: _means(
        "The machine is idle, but not for long enough.",
        "To let it leave sooner: `rayfleet set idle_timeout_s=N`, or `rayfleet drain NODE`.",
        idle_s="seconds for which nothing has run on it",
        idle_timeout_s="the time-out that holds for its pool, in seconds",
    ),
    ReasonCode.NEEDED: _means(
        "The machine is, or will be, idle, and something counts on it.",
        "`rayfleet why SHAPE` shows the demand.",
        by="kind of demand (tasks, gang, requested), the minimum of its pool, or who joined it by hand",
    ),
    ReasonCode.BOOTING: _means("The machine is on its way, or has just joined."),
    ReasonCode.IS_HEAD: _means(
        "The head carries the cluster's state, so no plan releases it.",
        "To end the cluster: `rayfleet down`.",
    ),
    ReasonCode.DO_NOT_DISRUPT: _means(
        'The machine carries the label `rayfleet.io/do-not-disrupt: "true"`, so idleness alone does not end it.',
        "Nothing, or `rayfleet drain NODE`; for machines to come, take the label out of the pool's `labels`.",
    ),
    ReasonCode.REPLACING: _means(
        "The machine is to leave, for the reason in its chain, as soon as there is room elsewhere for what it does.",
    ),
    ReasonCode.ON_STANDBY: _means(
        "The machine waits on standby, without Ray and (stopped) without most of its price. Launches of its offer use "
        "it before new ones.",
        "To have fewer: `rayfleet set standby:POOL=N`; `rayfleet drain NODE` gives this one back.",
    ),
    ReasonCode.STANDS_IN: _means(
        "Nothing runs on the machine yet; it has room for the work of one that is leaving.",
    ),
    ReasonCode.SCALE_DOWN_UTILIZATION: _means(
        "The machine is idle or little used, but without it more of its pool would be in use than is wanted: it stays "
        "as room to spare.",
        "`rayfleet set scale_down_utilization=null`, or a larger share.",
        pool="its pool",
        utilization="which share of the pool's fullest resource would be in use without it",
        scale_down_utilization="the share that is wanted at most",
    ),
    ReasonCode.DISRUPTION_BUDGET: _means(
        "The machine may go, but as many as a disruption budget allows are leaving already, or it allows none now.",
        "Nothing: it goes when its turn comes. `rayfleet set disruption_budgets=100%` lets all of them go.",
        why="why it may go: idle, drifted, expired or underused",
        nodes="how many the budget allows at a time, a number or a share",
        leaving="how many are leaving voluntarily or about to",
    ),
    ReasonCode.DRAIN_REFUSED: _means(
        "The machine was asked to leave for being idle, and Ray refused because work had come in the meantime.",
        NOTHING,
        retry_s="seconds until it may be asked again",
    ),
    ReasonCode.LEAVING: _means("The machine is leaving already; the chain says why."),
    ReasonCode.DOWNSCALING_SPEED: _means(
        "The machine may leave, but enough of its pool are leaving already.",
        "`rayfleet set downscaling_speed=null` lifts the limit.",
        downscaling_speed="the limit: at most this times the ready machines leave at once, and five in any case",
    ),
}

WAITS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.NO_POOL_FITS: _means(
        "No pool has a machine that could take this, however long it waits. The pools' own reasons say what is "
        "missing.",
        "Ask for less, or add a pool (or labels) that fits to the cluster's file, and `rayfleet up FILE` again.",
        shape="what was asked for",
    ),
    ReasonCode.TOO_SMALL: _means(
        "A machine of this pool has less of a resource than one task, actor or bundle asks for.",
        "Ask for less, or for larger machines: `resources` of the pool in the cluster's file.",
        resource="the first resource that is too little",
        have="how much a machine of the pool has (memory: bytes)",
        need="how much is asked for (memory: bytes)",
    ),
    ReasonCode.LABELS_DIFFER: _means(
        "A machine of this pool has not the labels that are asked for.",
        "Correct the label selector in the program, or `labels` of the pool in the cluster's file.",
        selector="the labels that are asked for, alternatives joined by `or`",
    ),
    ReasonCode.MAX_WORKERS: _means(
        "More machines are needed than the whole cluster may have.",
        "`rayfleet set max_workers=N` (null: no maximum), or wait until other work has ended.",
        max_workers="the cluster's maximum, in machines",
    ),
    ReasonCode.POOL_MAX_WORKERS: _means(
        "More machines of this pool are needed than it may have.",
        "`rayfleet set POOL.max_workers=N` (null: no maximum); if it was ordered, `rayfleet scale POOL --clear`.",
        max_workers="the pool's maximum, in machines",
    ),
    ReasonCode.BUDGET: _means(
        "One more machine would cost more than the budget leaves.",
        "`rayfleet set max_usd_per_hour=N` (null: no budget), or wait until other machines have left.",
        max_usd_per_hour="the budget, in USD per hour",
    ),
    ReasonCode.MAX_RESOURCES: _means(
        "One more machine would exceed what all workers together may have of a resource.",
        "`rayfleet set max_resources:CPU=N` (null: no limit), or wait until other machines have left.",
        resource="the resource",
        have="how much of it the workers have (memory: bytes)",
        most="how much is allowed",
    ),
    ReasonCode.DAY_BUDGET: _means(
        "With one more machine, running until midnight (UTC), today would cost more than its budget.",
        "`rayfleet set max_usd_per_day=N` (null: no budget), or wait: what ends earlier leaves its share.",
        max_usd_per_day="the budget of the day, in USD",
        spent_usd="USD spent since midnight (UTC)",
    ),
    ReasonCode.LAUNCH_RATE: _means(
        "As many machines were launched within a minute as are allowed; more follow when the minute is over.",
        "Wait, or `rayfleet set max_launches_per_min=null`.",
        launched="machines launched within the minute, this plan's included",
        max_launches_per_min="the limit, in machines per minute",
    ),
    ReasonCode.QUOTA: _means(
        "The owner of this work (a team, a job) uses as much as its quota lets machines be launched for.",
        "Raise it: `rayfleet set quota:VALUE:CPU=N` (null: no limit), or wait until its other work has ended.",
        owner="label and value of the quota",
        resource="the first resource of which too little is left",
        used="how much of it the owner uses, this plan included (memory: bytes)",
        most="the quota",
    ),
    ReasonCode.FAIR_SHARE: _means(
        "The limits do not leave room for everybody's work, so owners of quotas took turns by their weights.",
        "Raise the limit that is named beside it, or the owner's `weight`.",
        owner="whose work it is",
        weight="its weight",
    ),
    ReasonCode.SPARED: _means(
        "The pool has an accelerator that the work does not need. A plain machine was not to be had only because its "
        "provider gave no clear answer, and it is asked again in a moment, so nothing dearer is started.",
        "Nothing: the work waits for some seconds. When the answers stay away (for about five minutes), or when plain "
        "machines are out of stock, at a quota or denied, machines with accelerators are used.",
        offer="the plain offer",
        left_s="seconds until it is asked again",
    ),
    ReasonCode.WORK_FIRST: _means(
        "Room that is kept free (a buffer, a target of utilisation, a forecast) is not launched while tasks wait that "
        "would take it at once: those that a threshold, a quota or the upscaling speed holds back. Otherwise machines "
        "would be launched for these tasks after all.",
        "Nothing: once the tasks run or go away the room is made. Or lift what holds them back.",
    ),
    ReasonCode.PENDING_THRESHOLD: _means(
        "Too few tasks wait, and none for long enough, for machines to be launched for them.",
        "Wait, or `rayfleet set scale_up_pending_threshold=null` to launch at once.",
        pending="tasks that wait and that a machine could be launched for",
        age_s="seconds for which the oldest of them has waited",
        threshold="how many tasks, or for how long, start a launch",
    ),
    ReasonCode.UPSCALING_SPEED: _means(
        "Enough machines of this pool are starting already; more follow when these have joined.",
        "Wait, or `rayfleet set upscaling_speed=null` to start all at once.",
        upscaling_speed="the limit: at most this times the ready machines start at once, and five in any case",
        starting="how many are starting",
    ),
    ReasonCode.BACKED_OFF: _means(
        "The provider has refused or failed to start machines of this pool, so it is not asked for a while. The wait "
        "doubles with each failure in a row.",
        "Read the error and repair its cause; what is still waiting is asked for again by itself.",
        left_s="seconds until it is asked again",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.GANG_TOO_WIDE: _means(
        f"A placement group needs more machines at the same time than {_LIMITS} allow. Nothing is started for it until "
        "all of it can be.",
        "Raise those limits, use fewer bundles, or a strategy that needs fewer machines (PACK).",
        bundles="bundles of the group",
        missing="how many new machines it needs",
    ),
    ReasonCode.ENGINE_DOWN: _means(
        "Ray's control service (GCS) does not answer. Nothing is started or released for demand until it does.",
        "Mostly wait: it is started again by itself. If it stays so: `rayfleet logs`.",
    ),
    ReasonCode.WAITING_FOR_HEAD: _means(
        "The head is not ready yet, so nothing else is started.",
        "Wait; `rayfleet logs` if it takes long.",
    ),
    ReasonCode.SHUTTING_DOWN: _means(
        "The cluster is being ended, so nothing is started any more.",
        "To have it back: `rayfleet up`.",
    ),
}

OFFERS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.CHOSEN: _means(
        "This offer is what was launched, or would be, for the work that was asked about.",
        NOTHING,
        machines="how many machines, in words",
    ),
    ReasonCode.ROOM_EXISTS: _means(
        "Nothing is launched, because the work has room on machines that exist or are on their way.",
        "Nothing. Ray puts the work there by itself; while these machines start, it waits for them.",
        machines="some of them, with what each takes",
    ),
    ReasonCode.ACCELERATOR_KEPT: _means(
        "Machines with an accelerator are not launched for work that asks for none while others would do.",
        "Nothing; if the work does need one, ask for it (`num_gpus=1`).",
        resource="the accelerator",
        offer="what was launched instead",
    ),
    ReasonCode.LOWER_PRIORITY: _means(
        "A pool of higher priority could take the work. Priority goes above price.",
        "To prefer this pool: `rayfleet set POOL.priority=N`.",
        priority="the priority of its pool",
        offer="what was launched instead",
        highest="the priority of that pool",
    ),
    ReasonCode.DEARER: _means(
        "As many machines of this offer as the work needs cost more than those of the offer that was taken.",
        "Nothing; to have it all the same: `rayfleet set POOL.priority=N`, or ask for its labels.",
        more_usd_per_hour="how much more, in USD per hour",
        usd_per_hour="what the machines that the work needs would cost, in USD per hour",
        machines="how many machines that would be, in words",
        offer="what was launched instead",
        least_usd_per_hour="what the launched machines cost, in USD per hour",
    ),
    ReasonCode.EQUALLY_DEAR: _means(
        "It costs the same as what was launched. Of such offers the one with least waste goes first, then the one "
        "with fewer machines, then the first in the file.",
        "Nothing; to prefer it: `rayfleet set POOL.priority=N`.",
        offer="what was launched instead",
        usd_per_hour="what either costs, in USD per hour",
    ),
    ReasonCode.TOGETHER: _means(
        "For this work alone the offer would be cheaper. Machines were chosen for everything that waits together, and "
        "that as a whole was the best that was found.",
        "Nothing; `rayfleet plan --effort thorough` looks longer for a cheaper whole.",
        less_usd_per_hour="how much less this work alone would cost, in USD per hour",
        offer="what was launched instead",
    ),
    ReasonCode.PRICE_UNKNOWN: _means(
        "An offer without a price is compared with others by the usual price of its resources, which may be wrong.",
        "Write `usd_per_hour` to the offer in the cluster's file.",
        offer="the offer without a price",
    ),
}

FINDINGS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.IMPOSSIBLE: _means(
        "What is seen of a machine contradicts what is recorded of it. It is judged by what is seen.",
        "If it happens again, keep `rayfleet history --tick last` and report it.",
        claim="name of the record",
        phase="the phase that it is in",
        fact="what was seen",
    ),
    ReasonCode.ADOPTED: _means(
        "A machine carries this cluster's name, and nothing was recorded of it. It is recorded now, and used or given "
        "back like any other.",
        NOTHING,
        machine="the provider's name for it",
    ),
    ReasonCode.RELEASE_FAILED: _means(
        "The provider did not take a machine back. It is asked again.",
        "Read the error. Denied: repair the permissions, or the machine goes on running.",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.BAD_ORDER: _means(
        "An order cannot be carried out, for example because its pool or machine is gone. It is dropped.",
        "Give the order again in a form that fits what `rayfleet status` shows.",
        order="name of the order",
        why="what is wrong with it",
    ),
    ReasonCode.BROKEN_INVARIANT: _means(
        "A plan broke a rule that must hold of every plan: a mistake in rayfleet.",
        "Keep `rayfleet history --tick last`, which repeats it anywhere, and report it.",
        rule="the rule",
        what="how it was broken",
    ),
    ReasonCode.UNKNOWN_POOL: _means(
        "A machine is recorded of a pool that the cluster's file does not have.",
        "If that was a mistake, put the pool back and run `rayfleet up FILE` again.",
        claim="name of the record",
        pool="the pool",
    ),
}

SECTIONS: Final = {
    "Why machines are launched": LAUNCHES,
    "Why machines leave": RELEASES,
    "Why machines stay": STAYS,
    "Why work waits": WAITS,
    "Why an offer was not launched": OFFERS,
    "Findings": FINDINGS,
}
"""The codes by what they are mostly said of; a code may turn up elsewhere too."""

MEANINGS: Final[dict[ReasonCode, Meaning]] = LAUNCHES | RELEASES | STAYS | WAITS | OFFERS | FINDINGS
