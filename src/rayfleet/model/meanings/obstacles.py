"""Reasons why work waits and offers are not asked, and findings."""

from __future__ import annotations

from typing import Final

from rayfleet.model.meanings.meaning import NOTHING, Meaning, means
from rayfleet.model.reason import ReasonCode

_LIMITS: Final = "the limits in its chain"

WAITS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.NO_POOL_FITS: means(
        "No pool has a machine that could take this, however long it waits. The pools' own reasons say what is "
        "missing.",
        "Ask for less, or add a pool (or labels) that fits to the cluster's file, and `rayfleet up FILE` again.",
        shape="what was asked for",
    ),
    ReasonCode.TOO_SMALL: means(
        "A machine of this pool has less of a resource than one task, actor or bundle asks for.",
        "Ask for less, or for larger machines: `resources` of the pool in the cluster's file.",
        resource="the first resource that is too little",
        have="how much a machine of the pool has (memory: bytes)",
        need="how much is asked for (memory: bytes)",
    ),
    ReasonCode.LABELS_DIFFER: means(
        "A machine of this pool has not the labels that are asked for.",
        "Correct the label selector in the program, or `labels` of the pool in the cluster's file.",
        selector="the labels that are asked for, alternatives joined by `or`",
    ),
    ReasonCode.MAX_WORKERS: means(
        "More machines are needed than the whole cluster may have.",
        "`rayfleet set max_workers=N` (null: no maximum), or wait until other work has ended.",
        max_workers="the cluster's maximum, in machines",
    ),
    ReasonCode.POOL_MAX_WORKERS: means(
        "More machines of this pool are needed than it may have.",
        "`rayfleet set POOL.max_workers=N` (null: no maximum); if it was ordered, `rayfleet scale POOL --clear`.",
        max_workers="the pool's maximum, in machines",
    ),
    ReasonCode.BUDGET: means(
        "One more machine would cost more than the budget leaves.",
        "`rayfleet set max_usd_per_hour=N` (null: no budget), or wait until other machines have left.",
        max_usd_per_hour="the budget, in USD per hour",
    ),
    ReasonCode.MAX_RESOURCES: means(
        "One more machine would exceed what all workers together may have of a resource.",
        "`rayfleet set max_resources:CPU=N` (null: no limit), or wait until other machines have left.",
        resource="the resource",
        have="how much of it the workers have (memory: bytes)",
        most="how much is allowed",
    ),
    ReasonCode.DAY_BUDGET: means(
        "With one more machine, running until midnight (UTC), today would cost more than its budget.",
        "`rayfleet set max_usd_per_day=N` (null: no budget), or wait: what ends earlier leaves its share.",
        max_usd_per_day="the budget of the day, in USD",
        spent_usd="USD spent since midnight (UTC)",
    ),
    ReasonCode.LAUNCH_RATE: means(
        "As many machines were launched within a minute as are allowed; more follow when the minute is over.",
        "Wait, or `rayfleet set max_launches_per_min=null`.",
        launched="machines launched within the minute, this plan's included",
        max_launches_per_min="the limit, in machines per minute",
    ),
    ReasonCode.QUOTA: means(
        "The owner of this work (a team, a job) uses as much as its quota lets machines be launched for.",
        "Raise it: `rayfleet set quota:VALUE:CPU=N` (null: no limit), or wait until its other work has ended.",
        owner="label and value of the quota",
        resource="the first resource of which too little is left",
        used="how much of it the owner uses, this plan included (memory: bytes)",
        most="the quota",
    ),
    ReasonCode.FAIR_SHARE: means(
        "The limits do not leave room for everybody's work, so owners of quotas took turns by their weights.",
        "Raise the limit that is named beside it, or the owner's `weight`.",
        owner="whose work it is",
        weight="its weight",
    ),
    ReasonCode.SPARED: means(
        "The pool has an accelerator that the work does not need. A plain machine was not to be had only because its "
        "provider gave no clear answer, and it is asked again in a moment, so nothing dearer is started.",
        "Nothing: the work waits for some seconds. When the answers stay away (for about five minutes), or when plain "
        "machines are out of stock, at a quota or denied, machines with accelerators are used.",
        offer="the plain offer",
        left_s="seconds until it is asked again",
    ),
    ReasonCode.WORK_FIRST: means(
        "Room that is kept free (a buffer, a target of utilisation, a forecast) is not launched while tasks wait that "
        "would take it at once: those that a threshold, a quota or the upscaling speed holds back. Otherwise machines "
        "would be launched for these tasks after all.",
        "Nothing: once the tasks run or go away the room is made. Or lift what holds them back.",
    ),
    ReasonCode.PENDING_THRESHOLD: means(
        "Too few tasks wait, and none for long enough, for machines to be launched for them.",
        "Wait, or `rayfleet set scale_up_pending_threshold=null` to launch at once.",
        pending="tasks that wait and that a machine could be launched for",
        age_s="seconds for which the oldest of them has waited",
        threshold="how many tasks, or for how long, start a launch",
    ),
    ReasonCode.UPSCALING_SPEED: means(
        "Enough machines of this pool are starting already; more follow when these have joined.",
        "Wait, or `rayfleet set upscaling_speed=null` to start all at once.",
        upscaling_speed="the limit: at most this times the ready machines start at once, and five in any case",
        starting="how many are starting",
    ),
    ReasonCode.BACKED_OFF: means(
        "The provider has refused or failed to start machines of this pool, so it is not asked for a while. The wait "
        "doubles with each failure in a row.",
        "Read the error and repair its cause; what is still waiting is asked for again by itself.",
        left_s="seconds until it is asked again",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.GANG_TOO_WIDE: means(
        f"A placement group needs more machines at the same time than {_LIMITS} allow. Nothing is started for it until "
        "all of it can be.",
        "Raise those limits, use fewer bundles, or a strategy that needs fewer machines (PACK).",
        bundles="bundles of the group",
        missing="how many new machines it needs",
    ),
    ReasonCode.GANG_APART: means(
        "All machines of a placement group must have the same value of a label (`same_label` of the group, or "
        "`gangs_same_label`), such as one zone, and for no value can all of them be had. Nothing is started for it.",
        "Add offers so that one zone (or whatever the label names) has all the machines that its bundles need, or take "
        "the key away.",
        label="the label on which its machines have to agree",
    ),
    ReasonCode.ENGINE_DOWN: means(
        "Ray's control service (GCS) does not answer. Nothing is started or released for demand until it does.",
        "Mostly wait: it is started again by itself. If it stays so: `rayfleet logs`.",
    ),
    ReasonCode.WAITING_FOR_HEAD: means(
        "The head is not ready yet, so nothing else is started.",
        "Wait; `rayfleet logs` if it takes long.",
    ),
    ReasonCode.SHUTTING_DOWN: means(
        "The cluster is being ended, so nothing is started any more.",
        "To have it back: `rayfleet up`.",
    ),
}

OFFERS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.CHOSEN: means(
        "This offer is what was launched, or would be, for the work that was asked about.",
        NOTHING,
        machines="how many machines, in words",
    ),
    ReasonCode.ROOM_EXISTS: means(
        "Nothing is launched, because the work has room on machines that exist or are on their way.",
        "Nothing. Ray puts the work there by itself; while these machines start, it waits for them.",
        machines="some of them, with what each takes",
    ),
    ReasonCode.ACCELERATOR_KEPT: means(
        "Machines with an accelerator are not launched for work that asks for none while others would do.",
        "Nothing; if the work does need one, ask for it (`num_gpus=1`).",
        resource="the accelerator",
        offer="what was launched instead",
    ),
    ReasonCode.LOWER_PRIORITY: means(
        "A pool of higher priority could take the work. Priority goes above price.",
        "To prefer this pool: `rayfleet set POOL.priority=N`.",
        priority="the priority of its pool",
        offer="what was launched instead",
        highest="the priority of that pool",
    ),
    ReasonCode.DEARER: means(
        "As many machines of this offer as the work needs cost more than those of the offer that was taken.",
        "Nothing; to have it all the same: `rayfleet set POOL.priority=N`, or ask for its labels.",
        more_usd_per_hour="how much more, in USD per hour",
        usd_per_hour="what the machines that the work needs would cost, in USD per hour",
        machines="how many machines that would be, in words",
        offer="what was launched instead",
        least_usd_per_hour="what the launched machines cost, in USD per hour",
    ),
    ReasonCode.EQUALLY_DEAR: means(
        "It costs the same as what was launched. Of such offers the one with least waste goes first, then the one "
        "with fewer machines, then the first in the file.",
        "Nothing; to prefer it: `rayfleet set POOL.priority=N`.",
        offer="what was launched instead",
        usd_per_hour="what either costs, in USD per hour",
    ),
    ReasonCode.TOGETHER: means(
        "For this work alone the offer would be cheaper. Machines were chosen for everything that waits together, and "
        "that as a whole was the best that was found.",
        "Nothing; `rayfleet plan --effort thorough` looks longer for a cheaper whole.",
        less_usd_per_hour="how much less this work alone would cost, in USD per hour",
        offer="what was launched instead",
    ),
    ReasonCode.PRICE_UNKNOWN: means(
        "An offer without a price is compared with others by the usual price of its resources, which may be wrong.",
        "Write `usd_per_hour` to the offer in the cluster's file.",
        offer="the offer without a price",
    ),
}

FINDINGS: Final[dict[ReasonCode, Meaning]] = {
    ReasonCode.IMPOSSIBLE: means(
        "What is seen of a machine contradicts what is recorded of it. It is judged by what is seen.",
        "If it happens again, keep `rayfleet history --tick last` and report it.",
        claim="name of the record",
        phase="the phase that it is in",
        fact="what was seen",
    ),
    ReasonCode.ADOPTED: means(
        "A machine carries this cluster's name, and nothing was recorded of it. It is recorded now, and used or given "
        "back like any other.",
        NOTHING,
        machine="the provider's name for it",
    ),
    ReasonCode.RELEASE_FAILED: means(
        "The provider did not take a machine back. It is asked again.",
        "Read the error. Denied: repair the permissions, or the machine goes on running.",
        error="what kind of failure, and the provider's own words",
    ),
    ReasonCode.BAD_ORDER: means(
        "An order cannot be carried out, for example because its pool or machine is gone. It is dropped.",
        "Give the order again in a form that fits what `rayfleet status` shows.",
        order="name of the order",
        why="what is wrong with it",
    ),
    ReasonCode.BROKEN_INVARIANT: means(
        "A plan broke a rule that must hold of every plan: a mistake in rayfleet.",
        "Keep `rayfleet history --tick last`, which repeats it anywhere, and report it.",
        rule="the rule",
        what="how it was broken",
    ),
    ReasonCode.UNKNOWN_POOL: means(
        "A machine is recorded of a pool that the cluster's file does not have.",
        "If that was a mistake, put the pool back and run `rayfleet up FILE` again.",
        claim="name of the record",
        pool="the pool",
    ),
}
