"""A cluster file -> ClusterSpec. `check` tells everything about a file; `load` is for those who only want to use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from rayfleet.config.alerting_form import alerting_notes
from rayfleet.config.checked import Checked
from rayfleet.config.cluster_catalogue import Filled, Place, added_head, fill, more_machines
from rayfleet.config.cluster_form import (
    COMMAND_KEYS,
    FILE_KEYS,
    NODE_KEYS,
    PLACE_KEYS,
    REMOTE_KEYS,
    TYPE_PLACE_KEYS,
    ClusterForm,
)
from rayfleet.config.cluster_policy import RAY_MAX_WORKERS, bootstrap, has_workers, monitoring, policy, setups
from rayfleet.config.cluster_spec import ClusterSpec, Registry, SettingsKind, TypeSetup
from rayfleet.config.cluster_types import Types, default_types, is_short_dialect, node_types
from rayfleet.config.document import Document, read, read_all
from rayfleet.config.forms import at, in_order, validate
from rayfleet.config.kubernetes_files import has_resource, looks_like_kubernetes, manifest, may_be_manifest
from rayfleet.config.local_hosts import LOCAL, expanded
from rayfleet.config.policy_checks import shared_contradictions
from rayfleet.config.problems import ConfigInvalid, Problem, did_you_mean, shown
from rayfleet.config.standby_form import cache_remarks, modes_it_lacks, with_kept
from rayfleet.model import FrozenMap, Market, Policy, Pool

DEFAULT_NAME = "default"
PROCESS = "process"
LATER = ("local", "aws", "gcp", "azure", "aliyun", "kuberay", "pods", "external")
"""Types of places that a release may have; without their kind a file is checked as far as it goes."""


ELSEWHERE = {
    "vsphere": "a NodeProvider class of your own runs as {type: external, module: package.module.Class}",
    "fake_multinode": "real Ray nodes on this machine: leave provider out",
    "fake_multinode_docker": "real Ray nodes on this machine: leave provider out",
    "kubernetes": "write a RayCluster resource, which `rayfleet up` takes as well",
    "kubernetes_operator": "write a RayCluster resource, which `rayfleet up` takes as well",
    "readonly": "Ray's own word for a cluster that nobody scales; name the place that machines come from",
    "spark": "ray.util.spark starts and ends such clusters by itself",
}
"""Types that Ray knows and rayfleet does not -> what to do instead."""


def load(text: str, registry: Registry, file: str) -> ClusterSpec:
    """Read a cluster file that is to be used. `registry`: the installed kinds of places by name.

    Raises:
        ConfigInvalid: with everything that is wrong; also when the file's place is not installed.
    """
    found = check(text, registry, file)
    if found.spec is None:
        raise ConfigInvalid(found.problems or found.notices)
    if not found.can_run:
        why = [notice for notice in found.notices if notice.path == "provider.type"]
        raise ConfigInvalid(why or [Problem(found.verdict(file).partition(": ")[2], file=file)])
    return found.spec


def check(text: str, registry: Registry, file: str) -> Checked:
    """Read a cluster file and tell everything about it; a place that is not installed is a notice."""
    try:
        if may_be_manifest(text) and has_resource(documents := read_all(text, file, old_booleans=True)):
            return manifest(documents, registry)
        document = read(text, file, old_booleans=True)
    except ConfigInvalid as error:
        return Checked(None, error.problems, ())
    if not isinstance(document.value, dict):
        message = f"must be a mapping of keys to values, not {shown(document.value)}"
        return Checked(None, (document.problem((), message),), ())
    told = looks_like_kubernetes(document)
    if told is not None:
        return told
    return _cluster(document, registry)


def default_spec(
    name: str,
    pools: Iterable[Pool],
    head: Pool,
    *,
    provider: str = PROCESS,
    provider_settings: Any = None,
    limits: Policy | None = None,
) -> ClusterSpec:
    """Return the spec of a cluster that has no file. `limits`: all of the Policy but its pools."""
    return ClusterSpec(name, replace(limits or Policy(), pools=tuple(pools), head=head), provider, provider_settings)


def _cluster(written: Document, registry: Registry) -> Checked:
    document, notes, missing = expanded(written)
    form, problems = validate(ClusterForm, document)
    place, settings, found = _provider(document, registry)
    # Where nothing is known of machines, there is no default to fall back on: then it is a head only.
    types = (_place(place, settings, registry) and default_types(document)) or node_types(document)
    problems += [*missing, *types.problems]
    problems += _limits(document, types)
    sections = {kind.name: at(document.value, kind.path) or {} for kind in types.types if has_workers(kind)}
    problems += shared_contradictions(document, (), sections)
    notices = [*notes, *types.notices, *_notices(document, types, "" if found else place, registry)]
    problems += found
    if form is None or problems:
        return Checked(None, tuple(in_order(problems)), tuple(in_order(notices)))
    boot_timeout_s = getattr(registry.get(place), "boot_timeout_s", None)
    short = is_short_dialect(document)
    made = policy(form, types, short=short, here=place == PROCESS, boot_timeout_s=boot_timeout_s)
    known = _known(document, types, made, setups(form, types), _place(place, settings, registry))
    able = getattr(registry.get(place), "standby", ())
    made = with_kept(known.policy, settings, able)
    problems += known.problems
    if place in registry:
        pools = [(kind.path, pool) for kind in types.types for pool in made.pools if pool.name == kind.name]
        problems += modes_it_lacks(document, pools, place, able)
    if problems:
        return Checked(None, tuple(in_order(problems)), tuple(in_order(notices)))
    notices += [*known.notices, *_remarks(document, types, made, registry.get(place))]
    notices += cache_remarks(document, settings, able)
    spec = ClusterSpec(
        name=form.cluster_name or DEFAULT_NAME,
        policy=made,
        provider=place,
        provider_settings=settings,
        types=known.setups,
        bootstrap=bootstrap(form, COMMAND_KEYS, FILE_KEYS),
        monitoring=monitoring(form),
        refresh_prices=form.refresh_prices,
        notes=tuple(in_order(notices)),
        raw=document.value,
    )
    return Checked(spec, (), spec.notes, can_run=place in registry)


class _Known(NamedTuple):
    """Policy and setups with what the place's catalogue knows."""

    policy: Policy
    setups: FrozenMap[TypeSetup]
    notices: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def _place(name: str, settings: Any, registry: Registry) -> Place | None:
    """Return the place, if anything is known about its machines."""
    catalogue = getattr(registry.get(name), "catalogue", None)
    return Place(name, catalogue, settings) if catalogue is not None else None


def _known(document: Document, types: Types, made: Policy, setups: FrozenMap[TypeSetup], place: Place | None) -> _Known:
    if place is None:
        return _Known(made, setups)
    pools = {pool.name: pool for pool in made.pools}
    given, head = dict(setups), made.head
    found: list[Filled] = []
    for kind in types.types:
        setup = given[kind.name]
        if kind.name in pools:
            found.append(filled := fill(document, kind, pools[kind.name], setup, place))
            pools[kind.name], given[kind.name] = filled.pool, filled.setup
        if kind.head and head is not None:
            found.append(filled := fill(document, kind, head, setup, place))
            head, given[kind.name] = filled.pool, filled.setup
    problems = tuple(dict.fromkeys(problem for filled in found for problem in filled.problems))
    if head is not None and types.head is None and head.name in given and not problems:
        added = added_head(head, given[head.name], place)
        head, given[head.name] = added.pool, added.setup
    most = made.max_workers
    most = None if most is None else most + more_machines(pools.values(), most)
    policy = replace(made, pools=tuple(pools.values()), head=head, max_workers=most)
    notices = tuple(dict.fromkeys(notice for filled in found for notice in filled.notices))
    return _Known(policy, FrozenMap(given), notices, problems)


def _remarks(document: Document, types: Types, made: Policy, place: SettingsKind | None) -> Iterator[Problem]:
    """Pass on what the kind of place says about the pools, each at its line."""
    remarks = getattr(place.settings, "remarks", None) if place else None
    pools = {pool.name: pool for pool in (*made.pools, *([made.head] if made.head else []))}
    for name, resource, text in remarks(pools.values()) if remarks else ():
        path = next((kind.path for kind in types.types if kind.name == name), ())
        yield document.problem((*path, "resources", resource), text)


def _provider(document: Document, registry: Registry) -> tuple[str, Any, list[Problem]]:
    """Return type and validated settings of the place (None when it is not installed), and the problems."""
    section = document.value.get("provider")
    if section is not None and not isinstance(section, dict):
        return PROCESS, None, []  # the file's form says so
    kind = (section or {}).get("type", PROCESS if section is None else None)
    known = [*registry, *LATER]
    if isinstance(kind, str) and kind in ELSEWHERE and kind not in registry:
        return PROCESS, None, [document.problem(("provider", "type"), f"there is no provider {kind}", ELSEWHERE[kind])]
    if kind is None:
        return PROCESS, None, [document.problem(("provider", "type"), "is required", f"one of {', '.join(registry)}")]
    if not isinstance(kind, str) or kind not in known:
        hint = did_you_mean(kind, known) or f"one of {', '.join(registry)}"
        return PROCESS, None, [document.problem(("provider", "type"), f"there is no provider {shown(kind)}", hint)]
    if kind not in registry:
        return kind, None, []
    settings, problems = validate(registry[kind].settings, document, ("provider",), empty=True, without=("type",))
    return kind, settings, problems


def _limits(document: Document, types: Types) -> Iterator[Problem]:
    """Check that minimums fit below maximums, each and together, whatever else is wrong with the types."""
    total = 0
    for path in types.sections:
        least, most = (_count(at(document.value, (*path, key))) for key in ("min_workers", "max_workers"))
        total += least or 0
        if least is not None and most is not None and least > most:
            yield document.problem((*path, "min_workers"), f"{least} is more than max_workers, {most}")
    most = _count(document.value.get("max_workers"))
    if most is not None and total > most:
        message = f"the node types want {total} workers at least, which is more than {most}"
        yield document.problem(("max_workers",), message)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _notices(document: Document, types: Types, place: str, registry: Registry) -> Iterator[Problem]:
    value = document.value
    if value.get("cluster_name") is None:
        yield document.problem((), f"no cluster_name: the cluster is called {DEFAULT_NAME}, or as --name says")
    if value.get("provider") is None:
        yield document.problem((), "no provider: machines are processes on this machine")
    if place and place not in registry:
        installed = f"installed: {', '.join(registry)}"
        yield document.problem(("provider", "type"), f"provider {place} is not available in this version", installed)
    elif place:
        yield from _unused(document, types, place, registry)
    if not types.problems and not any(
        has_workers(kind) for kind in types.types
    ):  # a type with problems is not among them
        yield document.problem((), "no node types for workers: the cluster has a head only")
    found = place in ("", LOCAL) or getattr(registry.get(place), "catalogue", None) is not None
    yield from _odd_offers(document, types)
    yield from _unseen_cap(document, types)
    yield from _odd_resources(document, types, here=place == PROCESS, found=found)
    yield from alerting_notes(document, ("monitoring_config", "alerting"))
    if "min_workers" in value and "worker_nodes" not in value:
        yield document.problem(("min_workers",), "means nothing here, as in Ray", "give it to a node type", of_key=True)


def _unseen_cap(document: Document, types: Types) -> Iterator[Problem]:
    """Tell of minimums that Ray's own maximum, which no line of the file shows, cuts off."""
    least = sum(kind.form.min_workers for kind in types.types)
    limits = document.value.get("autoscaling_config")
    written = "max_workers" in document.value or isinstance(limits, dict) or is_short_dialect(document)
    if not written and least > RAY_MAX_WORKERS:
        message = (
            f"no max_workers: at most {RAY_MAX_WORKERS} workers, as in Ray, although the types want {least} at least"
        )
        yield document.problem((), message)


def _unused(document: Document, types: Types, place: str, registry: Registry) -> Iterator[Problem]:
    """Name every key that has a value and that the place takes no notice of."""
    kind_of_place = registry[place]
    used: frozenset[str] = frozenset(getattr(kind_of_place.settings, "uses", ()))
    used |= frozenset(REMOTE_KEYS if getattr(kind_of_place, "remote", False) else ())
    used |= frozenset(NODE_KEYS if getattr(kind_of_place, "catalogue", None) is not None else ())
    message = f"has no effect with provider {place}"
    for key in PLACE_KEYS:
        if document.value.get(key) and key not in used:
            yield document.problem((key,), message, of_key=True)
    for kind in types.types:
        for key in TYPE_PLACE_KEYS:
            if getattr(kind.form, key, None) and key not in used:
                yield document.problem((*kind.path, key), message, of_key=True)


def _odd_offers(document: Document, types: Types) -> Iterator[Problem]:
    for kind in types.types:
        for n, offer in enumerate(kind.form.offers or ()):
            if offer.max_usd_per_hour is not None and offer.market is not Market.SPOT:
                path = (*kind.path, "offers", n, "max_usd_per_hour")
                message = f"has no effect on an offer {offer.market}"
                yield document.problem(path, message, "it is for market: spot", of_key=True)


def _odd_resources(document: Document, types: Types, *, here: bool, found: bool) -> Iterator[Problem]:
    for kind in types.types:
        if not found and (kind.form.resources is None or not (here or kind.form.resources)):
            default = "it has no CPUs" if kind.head else "it gets one CPU"
            message = f"no resources: {default}" if here else "no resources: they come from its instance type"
            yield document.problem(kind.path, message, of_key=True)
        for name in kind.form.resources or ():
            if name not in ("CPU", "GPU") and name.upper() in ("CPU", "GPU"):
                message = f"is a resource of your own, not Ray's {name.upper()}"
                place = (*kind.path, "resources", name)
                yield document.problem(place, message, f"did you mean {name.upper()}?", of_key=True)
