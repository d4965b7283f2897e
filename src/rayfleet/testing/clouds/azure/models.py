"""Whether a body is one that Azure's own client could have written: its models say what may be in it."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import azure.mgmt.compute.models as compute
import azure.mgmt.network.models as network
import azure.mgmt.resource.resources.models as resources

_MODELS: Final[dict[str, tuple[Any, str]]] = {
    "resourcegroups": (resources, "ResourceGroup"),
    "microsoft.compute/virtualmachines": (compute, "VirtualMachine"),
    "microsoft.network/networkinterfaces": (network, "NetworkInterface"),
    "microsoft.network/publicipaddresses": (network, "PublicIPAddress"),
    "microsoft.network/networksecuritygroups": (network, "NetworkSecurityGroup"),
    "microsoft.network/virtualnetworks": (network, "VirtualNetwork"),
}
_BY_HAND: Final[dict[str, frozenset[str]]] = {
    "microsoft.managedidentity/userassignedidentities": frozenset(),
    "microsoft.authorization/roleassignments": frozenset(
        {"roleDefinitionId", "principalId", "principalType", "description"}
    ),
}
"""Kinds whose models no client here has: what their `properties` may hold."""
_OPEN_ENUMS: Final = frozenset({"VirtualMachineSizeTypes", "StorageAccountTypes"})
"""Lists in the models that Azure adds to before the models do."""


def known(kind: str) -> bool:
    """Say whether there is such a kind of resource here."""
    return kind in _MODELS or kind in _BY_HAND or kind == "microsoft.compute/disks"


def update_problems(body: Any) -> list[str]:
    """Return what is wrong with the body of a machine's PATCH; empty: nothing."""
    return list(_model(compute.VirtualMachineUpdate, compute, body, "VirtualMachineUpdate"))


def problems(kind: str, body: Any) -> list[str]:
    """Return what is wrong with the body of a PUT; empty: nothing."""
    if kind in _BY_HAND:
        return list(_by_hand(_BY_HAND[kind], body))
    module, name = _MODELS[kind]
    return list(_model(getattr(module, name), module, body, name))


def _by_hand(allowed: frozenset[str], body: Any) -> Iterator[str]:
    for key in body.keys() - {"location", "tags", "properties"}:
        yield f"{key}: unknown"
    for key in (body.get("properties") or {}).keys() - allowed:
        yield f"properties.{key}: unknown"


@cache
def _fields(model: Any, module: Any) -> Mapping[str, tuple[Any, bool]]:
    """Return a model's fields: name on the wire -> (annotation, may be written)."""
    model({})  # the client fills in its tables when a model is first made
    hints: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        if base.__module__.startswith(module.__name__):
            hints.update(typing.get_type_hints(base, localns={"_models": module}))
    table = model._attr_to_rest_field  # noqa: SLF001 - the client has no other list of its fields
    return {
        field._rest_name: (hints.get(name, Any), field._visibility != ["read"])  # noqa: SLF001 - as above
        for name, field in table.items()
    }


def _model(model: Any, module: Any, body: Any, where: str) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{where}: an object is wanted"
        return
    fields = _fields(model, module)
    for key, value in body.items():
        if key not in fields:
            yield f"{where}.{key}: unknown"
            continue
        hint, writable = fields[key]
        if not writable:
            yield f"{where}.{key}: may not be set"
        elif value is not None:
            yield from _value(hint, module, value, f"{where}.{key}")


def _value(hint: Any, module: Any, value: Any, where: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        yield from _choice([a for a in arguments if a is not type(None)], module, value, where)
    elif origin in (list, typing.List):  # noqa: UP006 - older clients write it so
        yield from _each(enumerate(value) if isinstance(value, list) else (), arguments[0], module, where)
        if not isinstance(value, list):
            yield f"{where}: a list is wanted"
    elif origin in (dict, typing.Dict):  # noqa: UP006 - as above
        yield from _each(value.items() if isinstance(value, dict) else (), arguments[1], module, where)
    elif isinstance(hint, type) and hasattr(hint, "as_dict"):
        yield from _model(hint, module, value, where)
    elif hint in (str, int, bool, float) and not _is(hint, value):
        yield f"{where}: {hint.__name__} is wanted, not {value!r}"


def _each(items: Any, hint: Any, module: Any, where: str) -> Iterator[str]:
    for key, value in items:
        if value is not None:
            yield from _value(hint, module, value, f"{where}.{key}")


def _choice(hints: list[Any], module: Any, value: Any, where: str) -> Iterator[str]:
    """Check against an enumeration where there is one, else against the only other choice."""
    for hint in hints:
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            if hint.__name__ not in _OPEN_ENUMS and value not in {member.value for member in hint}:
                yield f"{where}: {value!r} is none of {', '.join(str(member.value) for member in hint)}"
            return
    yield from _value(hints[0], module, value, where)


def _is(hint: type, value: Any) -> bool:
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    return isinstance(value, (int, float)) if hint is float else isinstance(value, hint)
