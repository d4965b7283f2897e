"""python -m benchmarks.problems.peers v2|v1 CASE: Ray's own planners on a problem, by themselves, as one line of JSON.

A program of its own, because it may have to be ended: `run` gives it so many seconds of processor time. Version 2 is
`ResourceDemandScheduler.schedule` on the request that Ray's reconciler would make; version 1 is `get_nodes_for`, which
knows neither labels nor running machines, so it is only asked about plain tasks.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.problems.cases import case
from benchmarks.problems.model import Amounts, Case, Group, Node, Selector

_MANY = 10**6
_START_S = 8
"""Processor time that importing Ray may take."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a planner of Ray's would launch: its price, machines, requests that are left, and its processor time."""

    usd_per_hour: float
    machines: int
    unmet: int
    cpu_s: float


def run(version: str, name: str, cpu_limit_s: float) -> Answer | None:
    """Have `v2` or `v1` plan a case in a process of its own; None when it takes longer than allowed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.problems.peers", version, name, str(cpu_limit_s)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode < 0 and not lines:
        return None
    if done.returncode or not lines:
        raise RuntimeError(f"Ray's planner {version} fails on {name}: {done.stderr[-2000:]}")
    return Answer(**json.loads(lines[-1]))


def knows(version: str, problem: Case) -> bool:
    """Say whether a version of Ray's planner can be told the problem."""
    return version == "v2" or not (problem.groups or problem.nodes or any(shape.selector for shape in problem.shapes))


def main(version: str, name: str, cpu_limit_s: str) -> None:
    """Plan, and print the answer."""
    problem = case(name)
    ask = _v2 if version == "v2" else _v1
    most = int(float(cpu_limit_s) + _START_S)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    print(json.dumps(asdict(ask(problem))))


# ---- v2 ----------------------------------------------------------------------------------------------------


def _v2(problem: Case) -> Answer:
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

    request = _request_of(problem)
    began = time.process_time()
    reply = ResourceDemandScheduler().schedule(request)
    cpu_s = time.process_time() - began
    prices = {each.name: each.usd_per_hour for each in problem.types}
    unmet = len(reply.infeasible_resource_requests) + len(reply.infeasible_gang_resource_requests)
    usd = sum(prices[launch.instance_type] * launch.count for launch in reply.to_launch)
    return Answer(usd, sum(launch.count for launch in reply.to_launch), unmet, cpu_s)


def _request_of(problem: Case) -> Any:
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
    from ray.autoscaler.v2.scheduler import SchedulingRequest
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    tasks = [
        ResourceRequestByCount(request=_asked(each.resources, each.selector), count=each.count)
        for each in problem.shapes
    ]
    gangs = [_gang(group, f"{n}-{k}") for n, group in enumerate(problem.groups) for k in range(group.count)]
    return SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs={
            each.name: NodeTypeConfig(each.name, 0, _MANY, resources=dict(each.resources), labels=dict(each.labels))
            for each in problem.types
        },
        resource_requests=tasks,
        gang_resource_requests=gangs,
        current_instances=[_instance(number, node) for number, node in enumerate(problem.nodes)],
    )


def _asked(resources: Amounts, selector: Selector = (), apart: list[Any] | None = None) -> Any:
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.common_pb2 import LABEL_OPERATOR_IN, LABEL_OPERATOR_NOT_IN

    wishes = [
        (key, LABEL_OPERATOR_IN if wanted else LABEL_OPERATOR_NOT_IN, list(values)) for key, wanted, values in selector
    ]
    return ResourceRequestUtil.make(dict(resources), apart, [wishes] if wishes else None)


def _gang(group: Group, name: str) -> Any:
    """Return a placement group as the GCS tells it: strict ones by constraints on a label of their own."""
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import GangResourceRequest

    kinds = ResourceRequestUtil.PlacementConstraintType
    kind = {"STRICT_SPREAD": kinds.ANTI_AFFINITY, "STRICT_PACK": kinds.AFFINITY}.get(group.strategy)
    apart = [(kind, f"_PG_{name}", "")] if kind else None
    return GangResourceRequest(requests=[_asked(bundle, apart=apart) for bundle in group.bundles])


def _instance(number: int, node: Node) -> Any:
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    running = Instance(
        instance_id=node.name,
        cloud_instance_id=node.name,
        node_id=f"{number:056x}",
        status=Instance.RAY_RUNNING,
        instance_type=node.type.name,
        node_kind=NodeKind.WORKER,
    )
    state = NodeState(
        node_id=number.to_bytes(28, "big"),
        instance_id=node.name,
        ray_node_type_name=node.type.name,
        total_resources=dict(node.type.resources),
        available_resources={name: amount for name, amount in node.available.items() if amount},
        status=NodeStatus.RUNNING,
        labels=dict(node.type.labels),
    )
    return AutoscalerInstance(cloud_instance_id=node.name, ray_node=state, im_instance=running)


# ---- v1 ----------------------------------------------------------------------------------------------------


def _v1(problem: Case) -> Answer:
    from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer, get_nodes_for

    types = {
        each.name: {"resources": dict(each.resources), "node_config": {}, "max_workers": _MANY}
        for each in problem.types
    }
    waiting = [dict(shape.resources) for shape in problem.shapes for _ in range(shape.count)]

    def score(resources: Any, demands: Any, name: str) -> Any:
        return _default_utilization_scorer(resources, demands, name, node_availability_summary=_nothing())

    began = time.process_time()
    nodes, left = get_nodes_for(types, {}, "", _MANY, waiting, score)
    cpu_s = time.process_time() - began
    prices = {each.name: each.usd_per_hour for each in problem.types}
    usd = sum(prices[name] * count for name, count in nodes.items())
    return Answer(usd, sum(nodes.values()), len(left), cpu_s)


def _nothing() -> Any:
    from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary

    return NodeAvailabilitySummary({})


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stderr(io.StringIO()):
        main(*sys.argv[1:])
