"""Which worker pods go and which come.

    pods of a group --+--> named in workersToDelete, ended, left over from a broken replica  -> go
                      |--> of a replica that is being made                                   -> its other hosts come
                      '--> the others stand in their slots --+--> fewer than wanted          -> free slots are filled
                                                             '--> more than wanted           -> surplus goes (see below)

With an autoscaler surplus stays until it is named: only the autoscaler knows which pods are idle. Every choice depends
on what is seen alone, so that repeating it before its effect is seen chooses the same pods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from rayfleet.config.rayio.raycluster import WorkerGroupSpec
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.health import Health, created_at, health, moment, slot_of, terminated
from rayfleet.kube_operator.raycluster.names import REPLICA_NAME_LABEL, Slot, pod_name
from rayfleet.kube_operator.reconciling import Observed
from rayfleet.wire.kube.objects import Object, is_leaving, key_of, labels_of

LONG_LIFE_S: Final = 600.0
"""A pod that ended after at least so long is replaced at once: its end is no habit."""
RETRY_FIRST_S: Final = 5.0
RETRY_MAX_S: Final = 300.0


@dataclass(slots=True)
class Change:
    """What one group needs: pods that go, each with why, and slots to fill. `again_s`: as in `Reconciled`."""

    gone: list[tuple[Object, str]] = field(default_factory=list)
    wanted: list[Slot] = field(default_factory=list)
    again_s: float | None = None


def desired_replicas(group: WorkerGroupSpec) -> int:
    """Return how many replicas a group is to have: `replicas` within its limits."""
    if group.suspend:
        return 0
    return max(group.min_replicas, min(group.replicas, group.max_replicas))


def change(cluster: Cluster, group: WorkerGroupSpec, pods: Iterable[Object], seen: Observed) -> Change:
    """Decide about the pods of one group."""
    result = Change()
    named = set(group.scale_strategy.workers_to_delete)
    replicas: dict[object, list[Object]] = defaultdict(list)
    for pod in sorted(pods, key=_place):
        if not is_leaving(pod):
            replicas[_replica(group, pod)].append(pod)
    standing = {
        replica: members
        for replica, members in replicas.items()
        if not _goes(members, named, seen, result, whole=_is_whole(cluster, group, members, seen))
    }
    surplus = len(standing) - desired_replicas(group)
    if surplus > 0 and _may_choose(cluster, group):
        for replica, members in sorted(standing.items(), key=lambda item: _worth(item[1]))[:surplus]:
            result.gone += [(pod, "more workers than wanted") for pod in members]
            del standing[replica]
    for members in standing.values():
        result.wanted += _missing(group, members)
    if surplus < 0:
        # Also the slots of pods that are told to go only now are taken: their derived names are not free before that.
        result.wanted += _free_slots(group, replicas.values(), -surplus)
    return result


def token(group: WorkerGroupSpec, replica: int, seen: Observed) -> tuple[object, ...]:
    """Return what tells the pods that are to stand in a replica's slots now from all that stood there before.

    Every pod that leaves changes it for the whole replica: its hosts are made together and go together.
    """
    slots = (Slot(group.group_name, replica, host) for host in range(group.num_of_hosts))
    return seen.incarnation, sum(seen.departed.get(str(slot), 0) for slot in slots)


def _is_whole(cluster: Cluster, group: WorkerGroupSpec, members: list[Object], seen: Observed) -> bool:
    """Say whether a replica has all its hosts, or is being made just now: we asked for what is seen, and none has left.

    In the latter case its other hosts may exist already, and be seen later; a replica that has lost one is broken.
    """
    return len(members) >= group.num_of_hosts or all(
        key_of(pod).name == pod_name(cluster.name, slot, cluster.uid, *token(group, slot.replica, seen))
        for pod in members
        for slot in (slot_of(pod),)
    )


def _missing(group: WorkerGroupSpec, members: list[Object]) -> list[Slot]:
    """Return the slots of a replica's hosts that are not seen."""
    if len(members) >= group.num_of_hosts:
        return []
    there = {slot_of(pod) for pod in members}
    replica = slot_of(members[0]).replica
    slots = (Slot(group.group_name, replica, host) for host in range(group.num_of_hosts))
    return [slot for slot in slots if slot not in there]


def _goes(members: list[Object], named: set[str], seen: Observed, result: Change, *, whole: bool) -> bool:
    """Say whether a replica is to go, and note it: one member's end is the end of all."""
    why = ""
    if any(key_of(pod).name in named for pod in members):
        why = "named in workersToDelete"
    elif not whole:
        why = "its replica is not whole"
    elif ended := [pod for pod in members if health(pod) is Health.ENDED]:
        wait_s = max(stays_s(pod, seen) for pod in ended)
        if wait_s > 0:  # it stays for people to look at, and keeps its place
            result.again_s = min(wait_s, result.again_s or wait_s)
            return False
        why = "it has ended"
    result.gone += [(pod, why) for pod in members] if why else []
    return bool(why)


def stays_s(pod: Object, seen: Observed) -> float:
    """Return how long an ended pod stays: longer each time that its slot's pods end soon after their start."""
    ended_at = _ended_at(pod)
    times = seen.departed.get(str(slot_of(pod)), 0)
    if not times or ended_at - created_at(pod) >= LONG_LIFE_S:
        return 0.0
    return ended_at + min(RETRY_FIRST_S * 2.0 ** min(times - 1, 16), RETRY_MAX_S) - seen.now


def _ended_at(pod: Object) -> float:
    """Return when a pod ended; of one that was evicted no container says so, but its conditions changed then."""
    finished = moment((terminated(pod) or {}).get("finishedAt"))
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return finished or max([created_at(pod), *(moment(one.get("lastTransitionTime")) for one in conditions)])


def _may_choose(cluster: Cluster, group: WorkerGroupSpec) -> bool:
    """Say whether we choose which surplus goes: with an autoscaler only what no longer may be there at all."""
    return group.suspend or not cluster.autoscaled or cluster.settings.random_pod_delete


def _worth(members: list[Object]) -> tuple[object, ...]:
    """Order replicas by what is lost with them: not ready ones first, then the youngest."""
    ready = all(health(pod) is Health.READY for pod in members)
    return (ready, -max(created_at(pod) for pod in members), [-slot_of(pod).replica for pod in members])


def _free_slots(group: WorkerGroupSpec, there: Iterable[list[Object]], count: int) -> Iterator[Slot]:
    """Yield the slots of `count` new replicas: gaps first."""
    taken = {slot_of(members[0]).replica for members in there}
    replica = 0
    while count > 0:
        if replica not in taken:
            yield from (Slot(group.group_name, replica, host) for host in range(group.num_of_hosts))
            count -= 1
        replica += 1


def _replica(group: WorkerGroupSpec, pod: Object) -> object:
    """Return what the pods of one replica have in common."""
    return labels_of(pod).get(REPLICA_NAME_LABEL) if group.num_of_hosts > 1 else key_of(pod)


def _place(pod: Object) -> tuple[Slot, str]:
    return slot_of(pod), key_of(pod).name
