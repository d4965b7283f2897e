"""Rules between the parts of a scenario: names that are taken twice or unknown, limits that contradict.

They read the plain document, whatever is in it, so that they report together with wrong types.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rayfleet.config.document import Document
from rayfleet.config.forms import at
from rayfleet.config.policy_checks import shared_contradictions, too_many
from rayfleet.config.problems import Path, Problem, did_you_mean
from rayfleet.config.scenario_form import MachineForm

DEMAND_MAX: Final = 1_000_000
"""Largest number of tasks, of gang bundles and of requested bundles in a scenario."""
MACHINES_MAX: Final = 1_000_000
EFFORT_MAX: Final = 1_000_000

_ORIGIN = ("provider", "region", "zone", "market")
_SHARED = (
    "pool", *_ORIGIN, "phase", "since", "created", "batch", "head", "found", "deadline", "mode", "standby", "reuse",
)  # fmt: skip
"""Keys of machine rows that belong to the replica."""


def contradictions(document: Document) -> list[Problem]:
    """Return what contradicts in a scenario document."""
    rules = (_pools, _offers, _machines, _replicas, _references, _drains, _amounts, _gangs, _shared)
    return [problem for rule in rules for problem in rule(document)]


def _shared(document: Document) -> Iterator[Problem]:
    pools = {str(pool.get("name")): pool for _, pool in rows(document, "policy", "pools")}
    yield from shared_contradictions(document, ("policy",), pools)


def rows(document: Document, *path: str | int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield place and value of each mapping in the list at `path`."""
    listed = at(document.value, path)
    for n, row in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(row, dict):
            yield (*path, n), row


def _all_pools(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    yield from rows(document, "policy", "pools")
    head = at(document.value, ("policy", "head"))
    if isinstance(head, dict):
        yield ("policy", "head"), head


def _int(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < float("inf") else 0


def _pools(document: Document) -> Iterator[Problem]:
    if at(document.value, ("policy", "pools")) == [] and not at(document.value, ("policy", "head")):
        yield document.problem(("policy", "pools"), "must not be empty", "a plan needs a pool to choose from")
    taken: set[str] = set()
    for path, pool in rows(document, "policy", "pools"):  # a head may be of a pool that has workers too
        name, least, most = pool.get("name"), pool.get("min_workers", 0), pool.get("max_workers")
        if isinstance(name, str) and name in taken:
            yield document.problem((*path, "name"), f"the pool {name} is given twice")
        taken.add(str(name))
        if most is not None and _int(least) > _int(most) >= 0:
            yield document.problem((*path, "min_workers"), f"{least} is more than max_workers, {most}")


def _offers(document: Document) -> Iterator[Problem]:
    for path, _ in _all_pools(document):
        taken: set[tuple[Any, ...]] = set()
        for inner, offer in rows(document, *path, "offers"):
            key = tuple(str(offer.get(k, "on_demand" if k == "market" else None)) for k in _ORIGIN)
            if key in taken:
                yield document.problem(inner, "the same offer is given twice", "let zone or market differ")
            taken.add(key)


def _machines(document: Document) -> Iterator[Problem]:
    taken: set[str] = set()
    for path, row in rows(document, "machines"):
        name = row.get("id")
        if isinstance(name, str) and name in taken:
            yield document.problem((*path, "id"), f"the machine {name} is given twice")
        taken.add(str(name))


def _replicas(document: Document) -> Iterator[Problem]:
    first: dict[str, dict[str, Any]] = {}
    for path, row in rows(document, "machines"):
        replica = str(row.get("replica") or row.get("id"))
        leader = first.setdefault(replica, row)
        if leader is row or not ("replica" in row or "replica" in leader):
            continue  # the same id twice without replicas is told by `_machines`
        if "replica" not in row or "replica" not in leader:
            yield document.problem((*path, "id"), f"{replica} is the name of a machine and of a replica")
        for key in _SHARED:
            if key in row and row[key] != leader.get(key, MachineForm.model_fields[key].default):
                message = f"differs from the first host of replica {replica}"
                yield document.problem((*path, key), message, "hosts of a replica share it")


def _references(document: Document) -> Iterator[Problem]:
    removed = at(document.value, ("removed_pools",))
    names = [str(pool.get("name")) for _, pool in _all_pools(document)]
    known = {*names, *(str(name) for name in (removed if isinstance(removed, list) else []))}
    for section in ("machines", "backoff", "strays"):
        for path, row in rows(document, section):
            name = row.get("pool")
            if isinstance(name, str) and name and name not in known:
                hint = did_you_mean(name, known) or f"pools: {', '.join(names) or 'none'}"
                yield document.problem((*path, "pool"), f"there is no pool {name}", hint)


def _drains(document: Document) -> Iterator[Problem]:
    for path, row in rows(document, "machines"):
        for key in ("asked_at", "drain_reason", "mode"):
            if row.get(key) is not None and row.get("deadline") is None:
                yield document.problem((*path, key), "needs a deadline beside it")


def _amounts(document: Document) -> Iterator[Problem]:
    for section in ("tasks", "requested"):
        yield from _too_many(document, ("demand", section), 1)
    yield from too_many(document, ("expected",), "expected pieces")
    bundles = [(path, row, row.get("bundles")) for path, row in rows(document, "demand", "gangs")]
    total = sum(max(0, _int(row.get("count", 1))) * len(b) for _, row, b in bundles if isinstance(b, list))
    if total > DEMAND_MAX:
        yield document.problem(("demand", "gangs"), f"{total:,} bundles in all; at most {DEMAND_MAX:,} can be planned")
    for path, pool in _all_pools(document):
        if _int(pool.get("min_workers", 0)) > MACHINES_MAX:
            yield document.problem((*path, "min_workers"), f"at most {MACHINES_MAX:,} machines can be planned")
    if _int(at(document.value, ("effort",))) > EFFORT_MAX:
        yield document.problem(("effort",), f"must be at most {EFFORT_MAX:,}")


def _too_many(document: Document, path: tuple[str, str], each: int) -> Iterator[Problem]:
    total = 0
    for place, row in rows(document, *path):
        total += max(0, _int(row.get("count", 1))) * each
        if total > DEMAND_MAX:
            message = f"{total:,} in all up to here; at most {DEMAND_MAX:,} can be planned"
            yield document.problem((*place, "count"), message, "a plan for fewer shows the same")
            return


def _gangs(document: Document) -> Iterator[Problem]:
    machines = {str(row.get("id")) for _, row in rows(document, "machines")}
    for path, row in rows(document, "demand", "gangs"):
        placed, bundles = row.get("placed"), row.get("bundles")
        if not isinstance(placed, dict) or not placed:
            continue
        if row.get("count", 1) != 1:
            yield document.problem((*path, "count"), "a gang that is placed in part has count 1")
        last = len(bundles) - 1 if isinstance(bundles, list) else 0
        for index, machine in placed.items():
            place = (*path, "placed", index)
            if index not in {str(n) for n in range(last + 1)}:
                yield document.problem(place, f"there is no bundle {index}", f"bundles: 0 to {last}", of_key=True)
            if isinstance(machine, str) and machine not in machines:
                yield document.problem(place, f"there is no machine {machine}", did_you_mean(machine, machines))
