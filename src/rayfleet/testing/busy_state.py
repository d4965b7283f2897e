"""What Ray would tell of a cluster on which a training job runs, for everything that shows it.

The same arguments give the same state; the nodes' machines are named as in `big_record`.
"""

from __future__ import annotations

import hashlib
from typing import Final

from rayfleet.contracts.state import (
    ActorState,
    BundleState,
    JobState,
    NodeMemory,
    NodeState,
    ObjectState,
    PlacementGroupState,
    TaskState,
)
from rayfleet.model import FrozenMap
from rayfleet.testing.fake_state import FakeState

_GIB: Final = 2**30
_MINUTE_MS: Final = 60_000
_WORKERS: Final = 6
_CPU: Final = FrozenMap({"CPU": 1.0})
_GPU: Final = FrozenMap({"CPU": 4.0, "GPU": 1.0})
_TRAIN: Final = "raysubmit_kT3wQvUe9XJm2ZpA"
_LOG_LINES: Final = 400


def busy_state(now: float) -> FakeState:
    """Return it as it is at a moment. `now`: seconds since the epoch."""
    now_ms = int(now * 1000)
    return FakeState(
        node_rows=_nodes(now_ms),
        actor_rows=_actors(),
        task_rows=_tasks(now_ms),
        group_rows=_groups(),
        object_rows=_objects(),
        job_rows=_jobs(now_ms),
        memory_rows=_memory(),
        logs=_logs(),
        printed={
            _TRAIN: _printed(),
            _actor_id(0): ["worker 0: step 41200, loss 1.8127", "worker 0: checkpoint written"],
        },
    )


def node_id(number: int) -> str:
    """Return the id that Ray gives a node; 0 is the head's."""
    return hashlib.sha256(f"node {number}".encode()).hexdigest()[:56]


def _actor_id(number: int) -> str:
    return hashlib.sha256(f"actor {number}".encode()).hexdigest()[:24] + "02000000"


def _nodes(now_ms: int) -> list[NodeState]:
    started = now_ms - 50 * _MINUTE_MS
    head = NodeState(node_id(0), "10.0.0.2", "head", is_head_node=True, state="ALIVE", start_time_ms=started)
    workers = [
        NodeState(
            node_id(number),
            f"10.0.1.{number}",
            f"w{number}",
            f"m{number}",
            "gpu8",
            state="ALIVE",
            start_time_ms=started + number * _MINUTE_MS,
        )
        for number in range(1, _WORKERS + 1)
    ]
    gone = NodeState(node_id(99), "10.0.1.99", "w99", "m99", "gpu8", state="DEAD", state_message="drained: idle")
    return [head, *workers, gone]


def _actors() -> list[ActorState]:
    workers = [
        ActorState(
            _actor_id(number),
            "TrainWorker",
            "ALIVE",
            "02000000",
            node_id=node_id(1 + number % _WORKERS),
            pid=2100 + number,
            required_resources=_GPU,
            num_restarts=int(number == 2),  # noqa: PLR2004 - one of them
            placement_group_id="pg-train",
        )
        for number in range(8)
    ]
    waiting = [
        ActorState(_actor_id(20 + number), "Evaluator", "PENDING_CREATION", "02000000", required_resources=_GPU)
        for number in range(2)
    ]
    store = ActorState(
        _actor_id(30), "Checkpoints", "ALIVE", name="checkpoints", node_id=node_id(0), pid=911, is_detached=True,
        required_resources=_CPU,
    )  # fmt: skip
    cause = "The actor died because its node was drained: the spot machine was taken away."
    dead = ActorState(_actor_id(40), "TrainWorker", "DEAD", required_resources=_GPU, num_restarts=1, death_cause=cause)
    return [*workers, *waiting, store, dead]


def _tasks(now_ms: int) -> list[TaskState]:
    wanted = (("FINISHED", 60), ("RUNNING", 12), ("PENDING_NODE_ASSIGNMENT", 20), ("FAILED", 2))
    states = [state for state, count in wanted for _ in range(count)]
    return [
        *(_task(number, state, now_ms) for number, state in enumerate(states)),
        *(TaskState(f"s{n:04d}", name="TrainWorker.step", type="ACTOR_TASK", state="RUNNING") for n in range(8)),
    ]


def _task(number: int, state: str, now_ms: int) -> TaskState:
    failed = state == "FAILED"
    return TaskState(
        f"t{number:04d}",
        name="tokenize",
        type="NORMAL_TASK",
        state=state,
        job_id="02000000",
        node_id=node_id(1 + number % _WORKERS),
        error_type="TASK_EXECUTION_EXCEPTION" if failed else "",
        error_message="Traceback (most recent call last):\nValueError: shard 17 holds no text" if failed else "",
        end_time_ms=now_ms - number * 900 if failed or state == "FINISHED" else None,
    )


def _groups() -> list[PlacementGroupState]:
    placed = tuple(BundleState(_GPU, node_id(1 + number % _WORKERS)) for number in range(8))
    waits = tuple(BundleState(_GPU) for _ in range(4))
    return [
        PlacementGroupState("5f1c" * 9, "train", "SPREAD", "CREATED", bundles=placed),
        PlacementGroupState(
            "a07e" * 9, "evaluate", "STRICT_PACK", "PENDING", bundles=waits, scheduling_state="NO_RESOURCES"
        ),
    ]


def _objects() -> list[ObjectState]:
    sites = ("train.py:88 in load", "train.py:140 in broadcast", "data.py:31 in tokenize")
    return [
        ObjectState(
            f"{number:04x}" * 14,
            (31 - number) * 48 * 2**20,
            "LOCAL_REFERENCE" if number % 3 else "PINNED_IN_MEMORY",
            "FINISHED",
            sites[number % 3],
            "WORKER" if number else "DRIVER",
            2100 + number,
            f"10.0.1.{1 + number % _WORKERS}",
        )
        for number in range(30)
    ]


def _memory() -> list[NodeMemory]:
    head = NodeMemory(
        node_id(0), "10.0.0.2", is_head_node=True, store_used_bytes=_GIB // 2, store_capacity_bytes=8 * _GIB,
        memory_used_bytes=9 * _GIB, memory_total_bytes=32 * _GIB,
    )  # fmt: skip
    workers = [
        NodeMemory(
            node_id(number),
            f"10.0.1.{number}",
            f"m{number}",
            store_used_bytes=(30 + number * 9) * _GIB,
            store_capacity_bytes=200 * _GIB,
            spilled_bytes=number // 5 * 12 * _GIB,
            memory_used_bytes=(310 + number * 20) * _GIB,
            memory_total_bytes=768 * _GIB,
        )
        for number in range(1, _WORKERS + 1)
    ]
    return [head, *workers]


def _jobs(now_ms: int) -> list[JobState]:
    minutes = _MINUTE_MS
    return [
        JobState("01000000", "raysubmit_c8RrN1yHqWb6LxdV", "SUBMISSION", "SUCCEEDED", "python prepare.py --shards 512",
                 "Job finished successfully.", "", 700, "10.0.0.2", now_ms - 49 * minutes, now_ms - 41 * minutes),
        JobState("02000000", _TRAIN, "SUBMISSION", "RUNNING", "python train.py --workers 8 --checkpoint-every 200",
                 "", "", 812, "10.0.0.2", now_ms - 40 * minutes),
        JobState("03000000", "raysubmit_Zf5sD0aKg7PvE4tB", "SUBMISSION", "FAILED", "python evaluate.py --split test",
                 "ModuleNotFoundError: No module named 'evaluate'", "", 933, "10.0.0.2", now_ms - 12 * minutes,
                 now_ms - 12 * minutes + 4_000),
        JobState("04000000", "", "DRIVER", "RUNNING", "", "", "", 1201, "10.0.0.2", now_ms - 3 * minutes),
    ]  # fmt: skip


def _printed() -> list[str]:
    steps = range(40_000, 41_220, 20)
    return [f"step {step}: loss {2.4 - step / 70_000:.4f}, 8 workers, {18_400 + step % 700} tokens/s" for step in steps]


def _logs() -> dict[str, dict[str, list[str]]]:
    raylet = [f"[{number:05d}] raylet: resources of the cluster changed" for number in range(_LOG_LINES)]
    printed = [f"tokenize: shard {number} done, {900 + number % 40} kB" for number in range(_LOG_LINES)]
    return {
        node_id(number): {
            "gcs_server.out" if not number else "dashboard_agent.log": ["started"],
            "raylet.out": raylet,
            "worker-2101-02000000.out": printed,
            "worker-2101-02000000.err": ["ValueError: shard 17 holds no text"],
        }
        for number in range(_WORKERS + 1)
    }
