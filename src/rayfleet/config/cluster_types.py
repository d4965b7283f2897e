"""Node types of a cluster file, whichever way it writes them -> one list, each with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rayfleet.config.cluster_form import SHORT_KEYS, NodeTypeForm, ShortTypeForm
from rayfleet.config.document import Document
from rayfleet.config.forms import validate
from rayfleet.config.legacy_files import mixed, several_kinds
from rayfleet.config.problems import Path, Problem, did_you_mean, shown

HEAD = "head"
WORKER = "worker"
_TYPE_KEYS = ("available_node_types", "head_node_type", "head_node", "worker_nodes", "worker_node_types")
"""Keys of a file that say what machines there are."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """One node type as the file has it. `listed`: under `available_node_types`, where it may be head and worker."""

    name: str
    form: NodeTypeForm
    path: Path
    head: bool = False
    listed: bool = False

    @property
    def instance_type(self) -> str | None:
        """Return what the short dialect calls the machine, None elsewhere."""
        return self.form.instance_type if isinstance(self.form, ShortTypeForm) else None


@dataclass
class Types:
    """All node types without problems, the places of all (`sections`), and what was found while reading them."""

    types: list[NodeType]
    sections: list[Path]
    problems: list[Problem]
    notices: list[Problem]

    @property
    def head(self) -> NodeType | None:
        """Return the type that carries the head."""
        return next((kind for kind in self.types if kind.head), None)


def node_types(document: Document) -> Types:
    """Read every node type of a cluster file and find out which one carries the head."""
    found = Types([], [], [], [])
    value: dict[str, Any] = document.value
    head_word = value.get("head_node_type")
    listed = value.get("available_node_types")
    if isinstance(listed, dict):
        for name in listed:
            _add(found, document, ("available_node_types", name), NodeTypeForm, name, listed=True)
        found.problems += _two_ways(document)
    elif listed is None:
        _older(found, document)
    if isinstance(head_word, dict):
        _add(found, document, ("head_node_type",), ShortTypeForm, HEAD, head=True)
    elif head_word is not None and not isinstance(head_word, str):
        found.problems.append(
            document.problem(("head_node_type",), f"must be the name of a node type, not {shown(head_word)}")
        )
    _choose_head(found, document)
    found.problems += _same_names(found, document)
    return found


def default_types(document: Document) -> Types | None:
    """Return the types of a file that names a cloud and nothing else, as Ray's smallest examples do; None: it does."""
    if any(key in document.value for key in _TYPE_KEYS):
        return None
    names = (f"ray.{HEAD}.default", f"ray.{WORKER}.default")
    kinds = [
        NodeType(name, NodeTypeForm(), ("available_node_types", name), head=name == names[0], listed=True)
        for name in names
    ]
    return Types(kinds, [], [], [])


def _add(found: Types, document: Document, path: Path, form: type[NodeTypeForm], name: str, **flags: bool) -> None:
    """Validate the type at `path`; problems are kept, a type without its form is left out."""
    read, problems = validate(form, document, path, empty=True)
    found.sections.append(path)
    found.problems += problems
    if read is not None:
        own = read.name if isinstance(read, ShortTypeForm) else None
        found.types.append(NodeType(own or name, read, path, **flags))


def _older(found: Types, document: Document) -> None:
    """Read the short dialect (`worker_node_types`, `worker_nodes` with resources) and Ray's older files."""
    value: dict[str, Any] = document.value
    for key in ("head_node", "worker_nodes", "worker_node_types"):
        for n, (path, row) in enumerate(_rows(document, key)):
            name = HEAD if key == "head_node" else WORKER if n == 0 else f"{WORKER}-{n + 1}"
            if not isinstance(row, dict) or key == "worker_node_types" or is_short(row):
                _add(found, document, path, ShortTypeForm, name, head=key == "head_node")
            elif row:
                found.types.append(_legacy(name, row, path, value if key == "worker_nodes" else {}))
                found.problems += mixed(document, path, name, row)
    found.problems += several_kinds(document)


def is_short_dialect(document: Document) -> bool:
    """Say whether a file is of the short dialect, which has no cap that is not written."""
    value = document.value
    if "available_node_types" in value:
        return False
    older = [row for key in ("head_node", "worker_nodes") for _, row in _rows(document, key)]
    return (
        any(key in value for key in SHORT_KEYS)
        or isinstance(value.get("head_node_type"), dict)
        or any(isinstance(row, dict) and bool(row) and is_short(row) for row in older)
    )


def is_short(row: dict[str, Any]) -> bool:
    """Say whether a `head_node` or `worker_nodes` section is of the short dialect, not a cloud's own node config."""
    return "resources" in row or set(row) <= set(ShortTypeForm.model_fields)


def _legacy(name: str, row: dict[str, Any], path: Path, limits: dict[str, Any]) -> NodeType:
    """Return the type that Ray made of an older file: the section is the cloud's, the limits are the cluster's."""
    counts = {key: limits[key] for key in ("min_workers", "max_workers") if isinstance(limits.get(key), int)}
    return NodeType(name, ShortTypeForm.model_construct(node_config=row, **counts), path, head=name == HEAD)


def _rows(document: Document, key: str) -> Iterator[tuple[Path, Any]]:
    rows = document.value.get(key)
    if isinstance(rows, list):
        yield from (((key, n), row) for n, row in enumerate(rows))
    elif rows not in (None, {}):
        yield (key,), rows


def _two_ways(document: Document) -> Iterator[Problem]:
    for key in ("worker_node_types", "worker_nodes", "head_node"):
        if document.value.get(key):
            hint = f"keep available_node_types and remove {key}"
            yield document.problem((key,), "describes node types a second time", hint, of_key=True)


def _choose_head(found: Types, document: Document) -> None:
    word = document.value.get("head_node_type")
    listed = document.value.get("available_node_types")
    # A type with problems is there all the same.
    names = list(listed) if isinstance(listed, dict) else [kind.name for kind in found.types]
    if isinstance(word, str):
        _mark(found, word)
        if word not in names:
            hint = did_you_mean(word, names) or f"node types: {', '.join(names) or 'none'}"
            found.problems.append(document.problem(("head_node_type",), f"there is no node type {word}", hint))
        return
    if found.head is not None:
        return
    likely = [name for name in names if HEAD in name.lower()]
    if len(likely) == 1:
        _mark(found, likely[0])
        message = f"no head_node_type: {likely[0]} carries the head"
    elif names:
        message = "no head_node_type: a head without CPUs is added"
    else:
        return
    found.notices.append(document.problem((), message))


def _mark(found: Types, name: str) -> None:
    found.types = [
        NodeType(kind.name, kind.form, kind.path, head=kind.name == name, listed=kind.listed) for kind in found.types
    ]


def _same_names(found: Types, document: Document) -> Iterator[Problem]:
    taken: set[str] = set()
    for kind in found.types:
        if kind.name in taken:
            yield document.problem((*kind.path, "name"), f"the node type {kind.name} is given twice")
        taken.add(kind.name)
