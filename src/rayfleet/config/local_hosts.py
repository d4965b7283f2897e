"""A file for hosts of one's own (`type: local`) that names no node types, as Ray's do: the hosts are one.

As in Ray, all hosts are in the cluster unless `min_workers` at the top says less, and there are never more than hosts.
Where a coordinator hands hosts out (`coordinator_address`), nobody can count them here: `max_workers` says how many
may be asked for, and `min_workers`, which is 0 unless set, how many are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from rayfleet.config.document import Document
from rayfleet.config.problems import Problem

LOCAL = "local"
NODE_TYPE = "local.cluster.node"
"""What Ray calls the one type; it is the head's, too."""
_HOST_KEYS = ("head_ip", "external_head_ip", "worker_ips", "hosts")
TYPE_KEYS = ("available_node_types", "worker_node_types", "worker_nodes", "head_node")


class Expanded(NamedTuple):
    """The file with its node type written out, and what there is to say."""

    document: Document
    notices: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def expanded(document: Document) -> Expanded:
    """Return the file as if it named its node type; any other file is returned as it is."""
    value: dict[str, Any] = document.value
    provider = value.get("provider")
    if not isinstance(provider, dict) or provider.get("type") != LOCAL:
        return Expanded(document)
    typed = any(value.get(key) for key in TYPE_KEYS) or isinstance(value.get("head_node_type"), dict)
    if provider.get("coordinator_address") is not None:
        unused = tuple(_unused(document, provider))
        return Expanded(document, unused) if typed else _pooled(document, unused)
    if typed:
        return Expanded(document)
    hosts = provider.get("worker_ips")
    return _own(document, len(hosts) if isinstance(hosts, list) else 0)


def _unused(document: Document, provider: dict[str, Any]) -> Iterator[Problem]:
    for key in _HOST_KEYS:
        if provider.get(key):
            yield document.problem(("provider", key), "is not used: the coordinator says which hosts there are")


def _pooled(document: Document, unused: tuple[Problem, ...]) -> Expanded:
    most = document.value.get("max_workers")
    if most is None:
        message = "is needed with provider.coordinator_address: nobody else says how many hosts this cluster may have"
        missing = document.problem((), f"max_workers {message}", "max_workers: 2")
        return Expanded(_with(document, 0, 0), unused, (missing,))
    # What is no number is told by whoever reads the types.
    return Expanded(_with(document, document.value.get("min_workers", 0), most), unused)


def _own(document: Document, hosts: int) -> Expanded:
    notices = []
    for key in ("min_workers", "max_workers"):
        asked = _count(document.value.get(key))
        if asked is not None and asked > hosts:
            message = f"{asked} is more than there are hosts in provider.worker_ips: {hosts} counts"
            notices.append(document.problem((key,), message))
    most = _count(document.value.get("max_workers"))
    if most is not None and most < hosts:
        message = f"{most} of the {hosts} hosts in provider.worker_ips are used at most"
        notices.append(document.problem(("max_workers",), message))
    most = hosts if most is None else min(most, hosts)
    least = _count(document.value.get("min_workers"))
    return Expanded(_with(document, most if least is None else min(least, hosts), most), tuple(notices))


def _with(document: Document, least: Any, most: Any) -> Document:
    kept = {key: part for key, part in document.value.items() if key != "min_workers"}
    kind = {"resources": {}, "node_config": {}, "min_workers": least, "max_workers": most}
    types = {"available_node_types": {NODE_TYPE: kind}, "head_node_type": NODE_TYPE, "max_workers": most}
    return replace(document, value={**kept, **types})


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
