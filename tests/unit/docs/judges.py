"""What a block of the documentation is held against: the real parser, the real checks of files, the real packages."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tests.unit.config.clouds import every_place
from tests.unit.docs.pages import ROOT, Block, Command
from typer.main import get_command

from rayfleet.cli import kubectl
from rayfleet.cli.app import app
from rayfleet.config import check, load_scenario, show
from rayfleet.config.cluster_form import ClusterForm
from rayfleet.config.scenario_form import ScenarioForm
from rayfleet.launcher import orders
from rayfleet.launcher.errors import InvalidOrder
from rayfleet.model import Policy, Pool, Resources
from rayfleet.simulator.scene import parse_scene

Tree = dict[str, Any]

# ---- commands -----------------------------------------------------------------------------------------------------

PROGRAMS: Mapping[str, Any] = {
    "rayfleet": get_command(app),
    "kubectl rayfleet": get_command(kubectl.app),
}


def parsed(words: tuple[str, ...]) -> tuple[str, ...]:
    """Have the real parser take the words of a command of ours, and return its full verb; nothing is run.

    Raises:
        Exception: the parser's own usage errors.
    """
    length = 2 if words[:2] == ("kubectl", "rayfleet") else 1
    name, rest = " ".join(words[:length]), list(words[length:])
    command, context, verb = PROGRAMS[name], None, [name]
    while True:
        context = command.make_context(verb[-1], rest, parent=context)
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(command, "commands") or not rest:
            return tuple(verb)
        found, command, rest = command.resolve_command(context, rest)
        verb.append(found)


def is_ours(command: Command) -> bool:
    """Tell the commands that our own parser knows."""
    return command.words[0] == "rayfleet" or command.words[:2] == ("kubectl", "rayfleet")


def named_verb(words: tuple[str, ...]) -> Any:
    """Return the parser of a verb that a text names, however it goes on.

    Raises:
        KeyError: there is no such verb.
    """
    found = PROGRAMS["rayfleet" if words[0] == "rayfleet" else "kubectl rayfleet"]
    for word in words[1 if words[0] == "rayfleet" else 2 :]:
        if not hasattr(found, "commands"):
            break
        if word not in found.commands and getattr(found, "invoke_without_command", False):
            break
        found = found.commands[word]
    return found


OWNED = ("buffer:", "standby:", "quota:")
"""Settings of something that the cluster's own file has to have."""


def settings(words: tuple[str, ...]) -> list[str]:
    """Return what a command cannot set (`set`, `--what-if`): keys that there are not, values that they do not take.

    Any name is that of a pool.
    """
    pairs = [word for before, word in pairwise(words) if before == "--what-if" or (words[1] == "set" and "=" in word)]
    gone = words[2:] if words[1] == "set" and "--clear" in words else ()
    cleared = [word for word in gone if re.fullmatch("[a-z_.:]+", word)]
    keys = [*pairs, *cleared]
    names = {key.partition(".")[0] for key in keys if "." in key.partition("=")[0]}
    policy = Policy(pools=tuple(Pool(name, Resources({"CPU": 1})) for name in sorted(names)))
    return [problem for key in keys if not key.startswith(OWNED) for problem in unsettable(policy, key)]


def unsettable(policy: Policy, key: str) -> Iterator[str]:
    """Yield why a key (or key=value) cannot be set."""
    name, given, value = key.partition("=")
    try:
        if given:
            orders.change(policy, name, value, orders.Author("reader", 0.0))
        else:
            orders.unset(policy, name, orders.Author("reader", 0.0))
    except InvalidOrder as error:
        yield f"{key}: {error}"


# ---- YAML ---------------------------------------------------------------------------------------------------------

CLUSTERS: tuple[Tree, ...] = tuple(
    {
        "cluster_name": "fragment",
        "provider": provider,
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {"CPU": 0}}},
    }
    for provider in ({"type": "process"}, {"type": "aws", "region": "us-west-2"})
)
CONTAINER = {"name": "ray", "image": "rayproject/ray:2.60.0", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
TEMPLATE: Tree = {"spec": {"containers": [CONTAINER]}}
CLUSTER_SPEC: Tree = {
    "rayVersion": "2.60.0",
    "enableInTreeAutoscaling": True,
    "headGroupSpec": {"rayStartParams": {}, "template": TEMPLATE},
    "workerGroupSpecs": [
        {
            "groupName": "workers",
            "replicas": 1,
            "minReplicas": 0,
            "maxReplicas": 9,
            "rayStartParams": {},
            "template": TEMPLATE,
        }
    ],
}
RESOURCES: Mapping[str, Tree] = {
    "RayCluster": CLUSTER_SPEC,
    "RayService": {"serveConfigV2": "applications: []\n", "rayClusterConfig": CLUSTER_SPEC},
}
FREE = {"head.autoscalerOptions."}
"""Values that a chart passes on as they are."""


def tree(text: str) -> Any:
    """Return a YAML text as plain values."""
    return YAML(typ="safe").load(text)


def written(value: Tree) -> str:
    """Return plain values as YAML."""
    stream = StringIO()
    YAML(typ="safe").dump(value, stream)
    return stream.getvalue()


def over(base: Tree, part: Tree) -> Tree:
    """Return `base` with what `part` says instead; lists are replaced."""
    both = {key: over(base[key], part[key]) if isinstance(base.get(key), dict) and isinstance(part[key], dict)
            else part[key] for key in part}  # fmt: skip
    return {**base, **both}


def cluster_file(text: str, where: str) -> list[str]:
    """Check a cluster file; a part of one is put into a whole one first, of a place that takes it."""
    value = tree(text)
    whole = {"provider", "available_node_types"} <= value.keys() or "worker_node_types" in value
    if whole or value.get("provider", {}).get("type") == "local":
        return checked(text, where)
    return min((checked(written(within(base, value)), where) for base in CLUSTERS), key=len)


def within(base: Tree, part: Tree) -> Tree:
    """Return a whole cluster file that has this part."""
    types = {**base["available_node_types"], **part.get("available_node_types", {})}
    return {**base, **part, "available_node_types": types}


def checked(text: str, where: str) -> list[str]:
    """Return what is wrong with a whole cluster file, keys without an effect included; `config show` prints it, too."""
    found = check(text, every_place(), where)
    if found.spec is None or not found.can_run:
        return [*map(str, found.problems), f"{where}: cannot run"]
    json.dumps(show(found.spec))
    notices = (str(notice) for notice in found.notices)
    return [*map(str, found.problems), *(one for one in notices if "has no effect" in one or "unknown key" in one)]


def resource(text: str, where: str) -> list[str]:
    """Check a resource of Ray's; a part of one is put into a whole one first."""
    value = tree(text)
    bases = [{"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "fragment"}, "spec": spec}
             for kind, spec in RESOURCES.items()]  # fmt: skip
    tried = [text] if "kind" in value else [written(over(base, value)) for base in bases]
    found = [check(one, every_place(), where) for one in tried]
    return min(([*map(str, one.problems), *map(str, one.notices)] for one in found), key=len)


def scenario(text: str, where: str) -> list[str]:
    """Load a scenario; a part of one gets a pool."""
    value = tree(text)
    if "pools" not in value.get("policy", {}):
        value = over({"policy": {"pools": [{"name": "cpu16", "resources": {"CPU": 16}}]}}, value)
    load_scenario(written(value), where)
    return []


def world(text: str, where: str) -> list[str]:
    """Load what machines of the simulator do."""
    parse_scene(text, where)
    return []


def values(text: str, where: str) -> list[str]:
    """Look for each key in a chart's own values, as far down as those say what there is."""
    charts = [
        tree(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "deploy" / "helm").glob("*/values.yaml"))
    ]
    missing = [list(unknown(tree(text), chart)) for chart in charts]
    return [] if [] in missing else [f"{where}: no value {path} in a chart" for path in missing[0]]


def unknown(part: Tree, whole: Tree, before: str = "") -> Iterator[str]:
    """Yield the keys of `part` that `whole` has not; below empty sections anything goes."""
    for key, value in part.items():
        if key not in whole:
            yield f"{before}{key}"
        elif isinstance(value, dict) and whole[key] and f"{before}{key}." not in FREE:
            yield from unknown(value, whole[key], f"{before}{key}.")


KINDS: Mapping[str, Callable[[str, str], list[str]]] = {
    "cluster file": cluster_file,
    "resource": resource,
    "scenario": scenario,
    "world": world,
    "values": values,
}


def kind_of(text: str) -> str:
    """Say what a YAML block is a piece of, by its keys."""
    keys = set(tree(text))
    if {"apiVersion", "spec", "metadata"} & keys:
        return "resource"
    if keys & {"policy", "machines", "demand", "now"} and keys <= set(ScenarioForm.model_fields):
        return "scenario"
    if keys & {"boot_s", "join_s", "spot_interruptions_per_hour"}:
        return "world"
    short = {"head_node", "head_node_type", "worker_nodes", "worker_node_types", "autoscaling_config"}
    return "cluster file" if keys <= {*ClusterForm.model_fields, *short} else "values"


# ---- Python, JSON -------------------------------------------------------------------------------------------------


def program_of(block: Block) -> list[str]:
    """Compile a program, import what it imports, and look for each public name of ours that it uses."""
    found = ast.parse(block.text, block.where)
    return [f"{block.where}: {name}" for node in ast.walk(found) for name in missing_names(node)]


def missing_names(node: ast.AST) -> Iterator[str]:
    """Yield what a piece of a program takes from a module that has no such thing."""
    match node:
        case ast.Import(names=names):
            for each in names:
                importlib.import_module(each.name)
        case ast.ImportFrom(module=str() as module, names=names):
            holder = importlib.import_module(module)
            yield from (f"{module}.{each.name}" for each in names if not hasattr(holder, each.name))
        case ast.Attribute(value=ast.Name(id="rayfleet"), attr=name):
            if not hasattr(importlib.import_module("rayfleet"), name):
                yield f"rayfleet.{name}"
        case _:
            pass


def as_json(block: Block) -> list[str]:
    """Read JSON."""
    json.loads(block.text)
    return []


def files_of(words: tuple[str, ...]) -> list[Path]:
    """Return the files of this project that a command names."""
    ours = ("examples/", "deploy/", "docs/", "scripts/", "src/", "benchmarks/")
    return [ROOT / word for word in words if word.startswith(ours)]
