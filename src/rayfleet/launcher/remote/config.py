"""A cluster's file as it is to be on the head: paths mean the head's own files there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rayfleet.config.alerting_form import is_indirect
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.remote.install import home_of
from rayfleet.launcher.remote.login import KEY, POOL_TOKEN


def on_head(raw: Mapping[str, Any], cluster: str, *, with_key: bool, with_pool_token: bool = False) -> dict[str, Any]:
    """Return the file for the head's controller.

    Files to be copied are taken from where they were copied to on the head; workers are reached from there without a
    proxy. `with_key`, `with_pool_token`: such a file was written into the cluster's folder.
    """
    auth = {key: value for key, value in (raw.get("auth") or {}).items() if key not in _OF_THE_LAUNCHER}
    if with_key:
        auth["ssh_private_key"] = f"{home_of(cluster)}/{KEY}"
    found = {**raw, "cluster_name": cluster}
    found |= {"auth": auth} if auth else {}
    place = {key: value for key, value in (raw.get("provider") or {}).items() if key != _TOKEN_FILE}
    if with_pool_token:
        place[_TOKEN_FILE] = f"{home_of(cluster)}/{POOL_TOKEN}"
    found |= {"provider": place} if place else {}
    mounts = raw.get("file_mounts")
    if mounts:
        found["file_mounts"] = {target: target for target in mounts}
    return found


def without_alert_secrets(
    raw: Mapping[str, Any], cluster: str, read: Callable[[str], str | None]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the file with the secrets of its alerts in files of the head, and those files: name -> content.

    `read`: returns what a value `env:NAME` or `file:PATH` means here; None: nothing, and it may mean something there.
    """
    files: dict[str, str] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [moved(each) for each in value]
        found = read(value) if isinstance(value, str) and is_indirect(value) else None
        if found is None:
            return value
        name = f"alert-secret-{len(files)}"
        files[name] = found
        return f"file:{home_of(cluster)}/{name}"

    monitoring = raw.get("monitoring_config") or {}
    if not monitoring.get("alerting"):
        return dict(raw), files
    return {**raw, "monitoring_config": {**monitoring, "alerting": moved(monitoring["alerting"])}}, files


_TOKEN_FILE = "coordinator_token_file"  # noqa: S105 - the name of a key
_OF_THE_LAUNCHER = frozenset({"ssh_proxy_command", "ssh_public_key", "ssh_private_key"})


def resized(raw: Mapping[str, Any], least: int | None, most: int | None) -> dict[str, Any]:
    """Return the file with the limits of `--min-workers` and `--max-workers`; None: as it is.

    Raises:
        LauncherError: a minimum is asked for, and there are several kinds of workers.
    """
    found = dict(raw)
    if most is not None:
        found["max_workers"] = most
    if least is None:
        return found
    types = dict(raw.get("available_node_types") or {})
    head = raw.get("head_node_type")
    workers = [name for name in types if name != head] or list(types)
    if not types:
        return {**found, "min_workers": least}
    if len(workers) != 1:
        raise LauncherError(
            f"--min-workers {least} could be of any of {', '.join(workers)}",
            "write min_workers below the type that you mean, or afterwards: rayfleet scale POOL N",
        )
    most_of = types[workers[0]].get("max_workers")
    room = {} if most_of is None or most_of >= least else {"max_workers": least}
    types[workers[0]] = {**types[workers[0]], "min_workers": least, **room}
    return {**found, "available_node_types": types}
