"""Which hosts a pool has, from `--hosts` and `--hosts-file`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rayfleet.launcher.errors import LauncherError
from rayfleet.providers.local.settings import HostForm

_OF_THE_CLUSTERS: Final = frozenset({"ssh_user", "ssh_port"})


def forms(addresses: Iterable[str], file: Path | None) -> tuple[Mapping[str, Any], ...]:
    """Return the hosts' forms, each host once: those that are named, then those of the file.

    The file (YAML or JSON) is a list; an entry is an address, or has the keys of `provider.hosts`.

    Raises:
        LauncherError: an entry cannot be a host's, or one is named twice.
    """
    entries = [{"address": address} for address in addresses] + ([*map(_entry, _read(file))] if file else [])
    found = [_form(entry) for entry in entries]
    named = [form["address"] for form in found]
    twice = sorted({address for address in named if named.count(address) > 1})
    if twice:
        raise LauncherError(f"{', '.join(twice)} is named twice", "a host is in the pool once")
    return tuple(found)


def _entry(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {"address": value}


def _read(file: Path) -> list[Any]:
    try:
        value = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise LauncherError(f"{file} cannot be read: {error}") from error
    if not isinstance(value, list):
        raise LauncherError(f"{file} is no list of hosts", "an entry is an address, or {address: ..., resources: ...}")
    return value


def _form(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    told = ", ".join(sorted(_OF_THE_CLUSTERS & entry.keys()))
    if told:
        raise LauncherError(f"{told}: every user has a login of his own", "it is in each cluster's file, under auth")
    try:
        form = HostForm.model_validate(entry)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise LauncherError(f"{entry.get('address')!r} cannot be a host: {said}") from error
    return form.model_dump(exclude_defaults=True)
